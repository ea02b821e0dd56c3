"""What was collected from one store, kept encrypted on disk until the package is built: rows as they came.

Frames of AES-256-GCM under a key derived for this file; the last frame says that it is the last, so a cut file does not
open.
"""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chassis.errors import Unavailable
from services.anonymizer.contract import EndLine, TableLine
from services.requests.rights.package.files import private

_FRAME = 1 << 20
_SALT = 16
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Rows:
    """Some whole lines of the last table, each ended by a newline."""

    lines: bytes


async def keep(path: Path, key: bytes, step: UUID, stream: AsyncIterator[bytes]) -> dict[str, int]:
    """Writes a collection's stream, all of it or nothing, and answers how many rows each table gave.

    Raises Unavailable when the stream ends without its last line: then nothing was collected.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    salt = os.urandom(_SALT)
    lock, held, place, tail = _lock(key, salt, step), bytearray(), 0, b""
    with private(fresh) as file:
        file.write(salt)
        async for piece in stream:
            held += piece
            tail = (tail + piece)[-_LONGEST_LINE:]
            while len(held) > _FRAME:
                file.write(_framed(lock, place, bytes(held[:_FRAME]), last=False))
                del held[:_FRAME]
                place += 1
        file.write(_framed(lock, place, bytes(held), last=True))
    end = _end_of(tail)
    if end is None:
        fresh.unlink()
        raise Unavailable("The store stopped in the middle of its answer.")
    fresh.replace(path)
    return end.counts


def parts(path: Path, key: bytes, step: UUID) -> Iterator[TableLine | Rows]:
    """What a spool holds, in order, in memory a frame at a time."""
    rest = b""
    for block in _frames(path, key, step):
        block = rest + block
        cut = block.rfind(b"\n") + 1
        yield from _split(block[:cut])
        rest = block[cut:]
    yield from _split(rest + b"\n" if rest else b"")


def _split(lines: bytes) -> Iterator[TableLine | Rows]:
    """A JSON text holds no raw newline, so `{` after one can only begin a control line."""
    start = 0
    while start < len(lines):
        if lines[start] == ord("{"):
            stop = lines.index(b"\n", start) + 1
            said = orjson.loads(lines[start:stop])
            if "table" in said:
                yield TableLine.model_validate(said)
        else:
            stop = lines.find(b"\n{", start) + 1 or len(lines)
            yield Rows(lines[start:stop])
        start = stop


def _end_of(tail: bytes) -> EndLine | None:
    line = tail.rstrip(b"\n").rpartition(b"\n")[2]
    if not line.startswith(b"{"):
        return None
    said = orjson.loads(line)
    return EndLine.model_validate(said) if said.get("end") is True else None


def _frames(path: Path, key: bytes, step: UUID) -> Iterator[bytes]:
    with path.open("rb") as file:
        lock = _lock(key, file.read(_SALT), step)
        place, length = 0, file.read(4)
        while length:
            locked = file.read(int.from_bytes(length, "big"))
            length = file.read(4)
            yield lock.decrypt(_nonce(place, last=not length), locked, None)
            place += 1


def _framed(lock: AESGCM, place: int, plain: bytes, last: bool) -> bytes:
    locked = lock.encrypt(_nonce(place, last), plain, None)
    return len(locked).to_bytes(4, "big") + locked


def _nonce(place: int, last: bool) -> bytes:
    return place.to_bytes(11, "big") + bytes([last])


def _lock(key: bytes, salt: bytes, step: UUID) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, step.bytes).derive(key))
