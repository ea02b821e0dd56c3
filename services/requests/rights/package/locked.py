"""The locked file: an HTML page with its own opener and, in chunks, a report and a ZIP archive under one key.

The key is PBKDF2-SHA256 of a passphrase (WebCrypto offers nothing stronger), new for each file, with as many rounds as the passphrase
needs; or it is drawn, and stands in the header as JWE for a key of the person's own (decision 0036). Every chunk is AES-256-GCM; its nonce says part, place and whether it is the part's last, and the header is authenticated with each, so
a chunk that is moved, dropped or brought from another file does not open.
"""

import base64
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from services.requests.rights.package import lock
from services.requests.rights.package.passphrase import rounds
from services.requests.rights.statements import seal_key

FORMAT, FOR_A_KEY = "wardline-package/1", "wardline-package-for-a-key/1"
REPORT, ARCHIVE = 0, 1
CHUNK = 1 << 20


Header = dict[str, str | int]


def lock_up(package: UUID, words: str) -> tuple[Header, AESGCM]:
    """What the file says of its lock, and the key of everything in it. words: a passphrase, or a person's own key (`lock.with_key`)."""
    own = lock.key_of(words)
    if own is None:
        how = header(package, rounds(words))
        return how, key_from(words, how)
    drawn = AESGCM.generate_key(256)
    return {"format": FOR_A_KEY, "package": str(package), "sealed": seal_key(drawn, own)}, AESGCM(drawn)


def header(package: UUID, rounds: int) -> Header:
    """What one needs to know to open this file, with a fresh salt. `rounds`: of PBKDF2, as the passphrase needs them."""
    return {
        "format": FORMAT,
        "package": str(package),
        "hash": "SHA-256",
        "iterations": rounds,
        "salt": base64.b64encode(os.urandom(16)).decode(),
    }


def key_from(passphrase: str, header: Header) -> AESGCM:
    """However the passphrase was typed: spaces around it don't count, and composed letters are one."""
    typed = unicodedata.normalize("NFC", passphrase.strip()).encode()
    salt, iterations = base64.b64decode(str(header["salt"])), int(header["iterations"])
    return AESGCM(PBKDF2HMAC(SHA256(), 32, salt, iterations).derive(typed))


def spelled(header: Header) -> str:
    """The header as it stands in the file, byte for byte what each chunk authenticates."""
    return json.dumps(header, separators=(",", ":"))


def nonce(part: int, place: int, last: bool) -> bytes:
    return bytes([part]) + place.to_bytes(10, "big") + bytes([last])


class LockedPart:
    """One part, written like a file that cannot seek; `close` writes the last chunk."""

    def __init__(self, out: "Digested", key: AESGCM, header: str, part: int) -> None:
        self.out, self.key, self.authentic, self.part = out, key, header.encode(), part
        self._held = bytearray()
        self._place = 0

    def write(self, data: bytes) -> int:
        self._held += data
        while len(self._held) > CHUNK:
            self._lock(bytes(self._held[:CHUNK]), last=False)
            del self._held[:CHUNK]
        return len(data)

    def flush(self) -> None:
        """Nothing to do: a chunk is written when it is full."""

    def close(self) -> None:
        self._lock(bytes(self._held), last=True)

    def _lock(self, plain: bytes, last: bool) -> None:
        locked = self.key.encrypt(nonce(self.part, self._place, last), plain, self.authentic)
        self.out.write(b'<script type="text/plain" data-part="%d">' % self.part)
        self.out.write(base64.b64encode(locked))
        self.out.write(b"</script>\n")
        self._place += 1


class Digested:
    """A file that is hashed and counted as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256, self.bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.bytes += len(data)
        return self.file.write(data)


def opened(chunks: list[str], key: AESGCM, header: str, part: int) -> Iterator[bytes]:
    """A part's plain bytes. Raises cryptography's InvalidTag for a wrong passphrase or a changed file."""
    for place, chunk in enumerate(chunks):
        last = place == len(chunks) - 1
        yield key.decrypt(nonce(part, place, last), base64.b64decode(chunk), header.encode())
