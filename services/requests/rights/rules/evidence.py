"""What may be sent along as evidence: known by its first bytes, whatever its name says. Nothing is ever unpacked or run here."""

import re

from services.requests.rights.contract import EvidenceRefused

# Pages with scripts, archives (and office documents, which are archives) and everything else are refused: staff would open them.
_KINDS = {b"%PDF-": "pdf", b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
# What makes a PDF do something by itself when it is opened; a name may be spelled with its letters' numbers (`/J#53`).
_ACTIVE = re.compile(
    rb"/(JavaScript|JS|Launch|OpenAction|AA|EmbeddedFiles?|RichMedia|XFA|SubmitForm|ImportData)(?![0-9A-Za-z])"
)
_SPELLED = re.compile(rb"#([0-9A-Fa-f]{2})")


def kind_of(content: bytes) -> str:
    """Raises EvidenceRefused."""
    for begin, kind in _KINDS.items():
        if content.startswith(begin):
            if kind == "pdf" and _ACTIVE.search(_SPELLED.sub(lambda code: bytes([int(code[1], 16)]), content)):
                raise EvidenceRefused("This PDF does something by itself; send it printed to PDF, or as a picture.")
            return kind
    raise EvidenceRefused("Send a PDF, PNG or JPEG.")
