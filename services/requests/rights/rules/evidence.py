"""What may be sent along as evidence: known by its first bytes, whatever its name says. Nothing is ever unpacked or run here."""

from services.requests.rights.contract import EvidenceRefused

# Pages with scripts, archives (and office documents, which are archives) and everything else are refused: staff would open them.
_KINDS = {b"%PDF-": "pdf", b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
# What makes a PDF do something by itself when it is opened.
_ACTIVE = (b"/JavaScript", b"/JS", b"/Launch", b"/OpenAction", b"/EmbeddedFile", b"/RichMedia")


def kind_of(content: bytes) -> str:
    """Raises EvidenceRefused."""
    for begin, kind in _KINDS.items():
        if content.startswith(begin):
            if kind == "pdf" and any(word in content for word in _ACTIVE):
                raise EvidenceRefused("This PDF does something by itself; send it printed to PDF, or as a picture.")
            return kind
    raise EvidenceRefused("Send a PDF, PNG or JPEG.")
