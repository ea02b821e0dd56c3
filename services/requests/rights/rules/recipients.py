"""Who is told what became of data they received: named, by the policy book (GDPR Art. 19)."""

from collections.abc import Iterable

from services.registry.contract import PolicyBook, Text
from services.requests.rights.contract import Recipient


def recipients_of(book: PolicyBook, categories: Iterable[str]) -> list[tuple[Recipient, list[str]]]:
    """The sub-processors that work with any of these categories, each with those it has. Where somebody else was only told on
    an authority's order, nothing is said: whom the law let know is not ours to tell."""
    # What was erased under an earlier book may be in none of its categories by now.
    wanted = sorted(set(categories) & {category.key for category in book.categories})
    found = []
    for row in book.subprocessors:
        theirs = [category for category in wanted if _touches(book, row.covers, category)]
        if row.status == "active" and theirs:
            label = Text(sv=row.legal_name, en=row.legal_name)
            found.append((Recipient(recipient=row.key, label=label), theirs))
    return found


def _touches(book: PolicyBook, covers: Iterable[str], category: str) -> bool:
    elements = set(book.elements_of(category))
    return any(elements & set(book.elements_of(covered)) for covered in covers)
