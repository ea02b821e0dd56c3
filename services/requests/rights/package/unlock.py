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
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import ECKey

from services.requests.rights.package.locked import ARCHIVE, FOR_A_KEY, FORMAT, REPORT, key_from, opened
from services.requests.rights.package.passphrase import STRETCHED
from services.requests.rights.statements import open_key

_HEADER = re.compile(r'<script type="application/json" id="header">(.*?)</script>')
_WRONG = "the passphrase or key is wrong, or the file was changed"
_CHUNK = re.compile(r'<script type="text/plain" data-part="(\d)">([A-Za-z0-9+/=]+)</script>')


class DoesNotOpen(ValueError):
    """A wrong passphrase or key, a changed file, or no package at all."""


@dataclass(frozen=True)
class Unlocked:
    """`report` is the HTML page, `archive` the ZIP file's bytes."""

    report: str
    archive: bytes


def is_for_a_key(path: Path) -> bool:
    """Whether it opens with the file of a key, and not with a passphrase. Raises DoesNotOpen."""
    return _header(_said(path.read_text(encoding="ascii", errors="replace")))["format"] == FOR_A_KEY


def unlock(path: Path, opens_with: str | ECKey) -> Unlocked:
    """opens_with: a passphrase, or the person's own private key. Raises DoesNotOpen."""
    text = path.read_text(encoding="ascii", errors="replace")
    said = _said(text)
    key = _key(_header(said), opens_with)
    chunks: dict[int, list[str]] = {REPORT: [], ARCHIVE: []}
    for part, chunk in _CHUNK.findall(text):
        chunks[int(part)].append(chunk)
    if not all(chunks.values()):
        raise DoesNotOpen("a part of this file is missing")
    try:
        report = b"".join(opened(chunks[REPORT], key, said, REPORT))
        archive = b"".join(opened(chunks[ARCHIVE], key, said, ARCHIVE))
    except (InvalidTag, ValueError):
        raise DoesNotOpen(_WRONG) from None
    return Unlocked(gzip.decompress(report).decode(), archive)


def _said(text: str) -> str:
    found = _HEADER.search(text)
    if found is None:
        raise DoesNotOpen("this file is no locked package")
    return html.unescape(found[1])


def _key(header: dict[str, Any], opens_with: str | ECKey) -> AESGCM:
    if isinstance(opens_with, str) != (header["format"] == FORMAT):
        raise DoesNotOpen("this package opens with the other of the two: a passphrase, or a key's file")
    if isinstance(opens_with, str):
        return key_from(opens_with, header)
    try:
        return AESGCM(open_key(header["sealed"], opens_with))
    except ValueError:
        raise DoesNotOpen(_WRONG) from None


def _header(said: str) -> dict[str, Any]:
    """Raises DoesNotOpen, also for one that asks for more rounds than any of ours: they would take for ever."""
    try:
        header = json.loads(said)
        if header["format"] == FOR_A_KEY:
            known = isinstance(header["sealed"], str)
        else:
            known = header["format"] == FORMAT and header["iterations"] in range(1, STRETCHED + 1)
            base64.b64decode(header["salt"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        known = False
    if not known:
        raise DoesNotOpen("this package is of a kind this program does not know: ask the operator for it again")
    return header
