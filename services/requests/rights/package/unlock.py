"""Opens a locked file without a browser, with the same checks."""

import base64
import gzip
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag

from services.requests.rights.package.locked import ARCHIVE, FORMAT, REPORT, key_from, opened
from services.requests.rights.package.passphrase import STRETCHED

_HEADER = re.compile(r'<script type="application/json" id="header">(.*?)</script>')
_CHUNK = re.compile(r'<script type="text/plain" data-part="(\d)">([A-Za-z0-9+/=]+)</script>')


class DoesNotOpen(ValueError):
    """A wrong passphrase, a changed file, or no package at all."""


@dataclass(frozen=True)
class Unlocked:
    """`report` is the HTML page, `archive` the ZIP file's bytes."""

    report: str
    archive: bytes


def unlock(path: Path, passphrase: str) -> Unlocked:
    """Raises DoesNotOpen."""
    text = path.read_text(encoding="ascii", errors="replace")
    found = _HEADER.search(text)
    if found is None:
        raise DoesNotOpen("this file is no locked package")
    said = html.unescape(found[1])
    header = _header(said)
    chunks: dict[int, list[str]] = {REPORT: [], ARCHIVE: []}
    for part, chunk in _CHUNK.findall(text):
        chunks[int(part)].append(chunk)
    if not all(chunks.values()):
        raise DoesNotOpen("a part of this file is missing")
    key = key_from(passphrase, header)
    try:
        report = b"".join(opened(chunks[REPORT], key, said, REPORT))
        archive = b"".join(opened(chunks[ARCHIVE], key, said, ARCHIVE))
    except (InvalidTag, ValueError):
        raise DoesNotOpen("the passphrase is wrong, or the file was changed") from None
    return Unlocked(gzip.decompress(report).decode(), archive)


def _header(said: str) -> dict[str, Any]:
    """Raises DoesNotOpen, also for one that asks for more rounds than any of ours: they would take for ever."""
    try:
        header = json.loads(said)
        known = header["format"] == FORMAT and header["iterations"] in range(1, STRETCHED + 1)
        base64.b64decode(header["salt"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        known = False
    if not known:
        raise DoesNotOpen("this package is of a kind this program does not know: ask the operator for it again")
    return header
