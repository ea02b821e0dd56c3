"""What a person may take along (Art. 20): data processed on consent or agreement, never what rests on law or interests alone."""

from services.registry.contract import PolicyBook


def may_be_taken_along(element: str, book: PolicyBook) -> bool:
    """Whether the book processes the element, for any purpose, on one of the bases that its right of portability names."""
    bases = book.right("portability").bases
    found = (book.basis(purpose.key, element) for purpose in book.purposes)
    return any(row is not None and row.basis in bases for row in found)
