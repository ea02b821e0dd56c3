"""What may be sent along as evidence: known by its first bytes, whatever its name says. Nothing is ever unpacked or run here: what a PDF
has compressed is unpacked by `inside.py`, in a process of its own."""

import io
import re
import zipfile

from services.requests.rights.contract import EvidenceRefused

# Pages with scripts, archives (and office documents, which are archives) and everything else are refused: staff would open them.
_KINDS = {b"%PDF-": "pdf", b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
# What makes a PDF do something by itself when it is opened; a name may be spelled with its letters' numbers (`/J#53`). Where it opens
# (`/OpenAction [3 0 R /Fit]`) is no action.
_ACTIVE = re.compile(
    rb"/(JavaScript|JS|Launch|OpenAction(?!\s*\[)|AA|EmbeddedFiles?|RichMedia|XFA|SubmitForm|ImportData)(?![0-9A-Za-z])"
)
# Without `/First` nobody finds an object in a stream.
_PACKED = re.compile(rb"/(ObjStm|First|Encrypt)(?![0-9A-Za-z])")
_STREAMS = re.compile(rb"/ObjStm(?![0-9A-Za-z])")
_SPELLED = re.compile(rb"#([0-9A-Fa-f]{2})")
# A picture of nothing is small in a file, and fills whatever shows it; no telephone takes larger ones.
_MOST_PIXELS = 200_000_000
# JPEG's segments without a frame's size: tables, and what is reserved.
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})


def kind_of(content: bytes) -> str:
    """Raises EvidenceRefused."""
    # An archive is found by its end, and may begin as anything: renamed, such a picture is an office document with its macros.
    if zipfile.is_zipfile(io.BytesIO(content)):
        raise EvidenceRefused("This file is an archive as well.")
    kind = next((kind for begin, kind in _KINDS.items() if content.startswith(begin)), None)
    if kind is None:
        raise EvidenceRefused("Send a PDF, PNG or JPEG.")
    if kind == "pdf":
        must_be_still(content)
    if kind != "pdf" and not 0 < (_png if kind == "png" else _jpeg)(content) <= _MOST_PIXELS:
        raise EvidenceRefused("This picture is too large to be shown, or does not say how large it is.")
    return kind


def must_be_still(text: bytes) -> None:
    """Of a PDF, or of objects that were packed in it. Raises EvidenceRefused."""
    if _ACTIVE.search(plain(text)):
        raise EvidenceRefused("This PDF does something by itself; send it printed to PDF, or as a picture.")


def has_packed(content: bytes) -> bool:
    """Whether a PDF may hold objects that only show when it is unlocked, or a stream in it unpacked."""
    return bool(_PACKED.search(plain(content)))


def streams_of_objects(content: bytes) -> int:
    """How many of its streams say that they hold objects."""
    return len(_STREAMS.findall(plain(content)))


def plain(text: bytes) -> bytes:
    """With every name in its own letters."""
    return _SPELLED.sub(lambda code: bytes([int(code[1], 16)]), text)


def _png(content: bytes) -> int:
    """How many pixels it has, by its first chunk; 0 where that is none."""
    return _area(content[16:20], content[20:24]) if content[12:16] == b"IHDR" else 0


def _jpeg(content: bytes) -> int:
    """The same, by the frame that follows tables and comments."""
    at = 2
    while content[at : at + 1] == b"\xff" and at + 9 <= len(content):
        mark = content[at + 1]
        if mark in range(0xC0, 0xD0) and mark not in _NO_FRAME:
            return _area(content[at + 5 : at + 7], content[at + 7 : at + 9])
        at += 1 if mark == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return 0


def _area(*sides: bytes) -> int:
    width, height = (int.from_bytes(side, "big") for side in sides)
    return width * height
