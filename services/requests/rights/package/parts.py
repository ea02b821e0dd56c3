"""A portability package on its way to another operator: one ZIP, encrypted in parts, each small enough for one request.

Every part is AES-256-GCM under a key made for this transfer; its nonce says its place and whether it is the last, and the reception it
is meant for is authenticated with it: a part that is moved, dropped or brought from another transfer does not open.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.requests.rights.package.build import Contents, portable
from services.requests.rights.package.files import private

# In base64 still well below what an edge reads of one body.
PART = 512 * 1024
OVERHEAD = 16
MOST_PARTS = 4096
_NOTE = "finished"


class DoesNotOpen(ValueError):
    """A part was changed or is missing, or the key is another transfer's."""


@dataclass(frozen=True)
class Written:
    """`sha256`: of all parts, one after the other."""

    key: bytes
    parts: int
    bytes: int
    sha256: str


class _Parts:
    """Written like a file that cannot seek; `close` writes the last part."""

    def __init__(self, folder: Path, key: bytes, reception: UUID) -> None:
        self.folder, self.lock, self.reception = folder, AESGCM(key), reception.bytes
        self.sha256, self.bytes, self.place = hashlib.sha256(), 0, 0
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        while len(self._held) > PART:
            self._seal(bytes(self._held[:PART]), last=False)
            del self._held[:PART]
        return len(data)

    def flush(self) -> None:
        """Nothing to do: a part is written when it is full."""

    def close(self) -> None:
        self._seal(bytes(self._held), last=True)

    def _seal(self, plain: bytes, last: bool) -> None:
        sealed = self.lock.encrypt(_nonce(self.place, last), plain, self.reception)
        with private(place_of(self.folder, self.place)) as file:
            file.write(sealed)
        self.sha256.update(sealed)
        self.bytes += len(sealed)
        self.place += 1


def write(folder: Path, reception: UUID, contents: Contents) -> Written:
    """Blocks: run it in a thread. What an earlier try finished is handed over as it was, since the other operator may have it already;
    what one left half done is overwritten."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if finished := _noted(folder, reception, contents.key):
        return finished
    key = os.urandom(32)
    parts = _Parts(folder, key, reception)
    portable(parts, contents)
    parts.close()
    written = Written(key, parts.place, parts.bytes, parts.sha256.hexdigest())
    _note(folder, reception, contents.key, written)
    return written


def _note(folder: Path, reception: UUID, key: bytes, written: Written) -> None:
    """Under the key of what was collected, which ends with the request."""
    said = asdict(written) | {"key": written.key.hex()}
    nonce = os.urandom(12)
    with private(folder / _NOTE) as file:
        file.write(nonce + AESGCM(key).encrypt(nonce, orjson.dumps(said), reception.bytes))


def _noted(folder: Path, reception: UUID, key: bytes) -> Written | None:
    """None where nothing was finished, or was noted only in part."""
    try:
        sealed = (folder / _NOTE).read_bytes()
        said = orjson.loads(AESGCM(key).decrypt(sealed[:12], sealed[12:], reception.bytes))
    except (FileNotFoundError, InvalidTag, ValueError):
        return None
    return Written(**said | {"key": bytes.fromhex(said["key"])})


def place_of(folder: Path, place: int) -> Path:
    return folder / f"{place:06}.part"


def digest(folder: Path, count: int) -> tuple[int, str]:
    """Bytes and SHA-256 of all parts. Raises DoesNotOpen when one of them is not there."""
    whole, length = hashlib.sha256(), 0
    for place in range(count):
        path = place_of(folder, place)
        if not path.exists():
            raise DoesNotOpen("a part is missing")
        content = path.read_bytes()
        whole.update(content)
        length += len(content)
    return length, whole.hexdigest()


def opened(folder: Path, count: int, key: bytes, reception: UUID) -> Iterator[bytes]:
    """The ZIP's bytes. Raises DoesNotOpen."""
    lock = AESGCM(key)
    for place in range(count):
        try:
            sealed = place_of(folder, place).read_bytes()
            yield lock.decrypt(_nonce(place, place == count - 1), sealed, reception.bytes)
        except (InvalidTag, FileNotFoundError):
            raise DoesNotOpen("a part was changed or is missing") from None


def _nonce(place: int, last: bool) -> bytes:
    return place.to_bytes(11, "big") + bytes([last])
