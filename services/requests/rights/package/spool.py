"""What was collected from one store, kept encrypted until the package is built: rows as they came.

What is little is for the database to keep, with the step that collected it; the rest lies on the disk. Frames of AES-256-GCM under a key derived for this file; the last frame says that it is the last, so a cut file does not
open.
"""

import io
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chassis.errors import Unavailable
from chassis.ids import new_id
from services.anonymizer.contract import EndLine, TableLine
from services.requests.rights.package.files import private

_FRAME = 1 << 20
# Some thousand rows, which wait nowhere where their package is built at once.
_LITTLE = 1 << 18
_SALT = 16


@dataclass(frozen=True)
class Rows:
    """Some whole lines of the last table, each ended by a newline."""

    lines: bytes


@dataclass(frozen=True)
class Spool:
    """What one step collects: where it is kept, and under which key."""

    path: Path
    key: bytes = field(repr=False)
    step: UUID


@dataclass(frozen=True)
class Kept:
    """How many rows each table gave, and all of them locked, unless they are many: then the spool's file holds them."""

    counts: dict[str, int]
    little: bytes | None = field(default=None, repr=False)


async def keep(spools: Sequence[Spool], stream: AsyncIterator[bytes]) -> list[Kept]:
    """Keeps a collection's stream for each person apart, all of it or nothing.

    Raises Unavailable when the stream ends without its last line: then nothing was collected.
    """
    writers, rest = [_Writer(spool) for spool in spools], b""
    try:
        given = _Given(writers)
        async for piece in stream:
            block = rest + piece
            cut = block.rfind(b"\n") + 1
            given.take(block[:cut])
            rest = block[cut:]
        given.close()
        for writer, spool in zip(writers, spools, strict=True):
            if writer.place:
                writer.path.replace(spool.path)
    finally:
        for writer in writers:
            if writer.place:
                writer.path.unlink(missing_ok=True)
    return [Kept(counts, writer.little) for counts, writer in zip(given.counts, writers, strict=True)]


class _Given:
    """The lines of a collection, each given to whom it belongs. Of several people each row says first whose it is."""

    def __init__(self, writers: "Sequence[_Writer]") -> None:
        self.writers, self.counts = writers, [dict[str, int]() for _ in writers]
        self.table: TableLine | None = None
        self.ended = False

    def take(self, lines: bytes) -> None:
        for part in _split(lines):
            if isinstance(part, TableLine):
                self._announce(part)
            elif isinstance(part, EndLine):
                self.ended = True
            elif self.table.file or len(self.writers) == 1:
                self._give((self.table.subjects or [0])[0], part.lines, part.lines.count(b"\n"))
            else:
                for line in part.lines.split(b"\n")[:-1]:
                    place, _, values = line[1:].partition(b",")
                    self._give(int(place), b"[%s\n" % values, 1)

    def _announce(self, table: TableLine) -> None:
        self.table, line = table, orjson.dumps(table.model_dump(mode="json"), option=orjson.OPT_APPEND_NEWLINE)
        for place in table.subjects or range(len(self.writers)):
            self.writers[place].write(line)
            if not table.file:
                self.counts[place][table.table] = 0

    def _give(self, place: int, lines: bytes, rows: int) -> None:
        self.writers[place].write(lines)
        if not self.table.file:
            self.counts[place][self.table.table] += rows

    def close(self) -> None:
        if not self.ended:
            raise Unavailable("The store stopped in the middle of its answer.")
        for writer in self.writers:
            writer.close()


class _Writer:
    """The file is open only while a frame is written: a process may have only so many, and people are many."""

    def __init__(self, spool: Spool) -> None:
        self.path = spool.path.with_name(f".{spool.path.name}.{new_id()}")
        self.salt, self.held, self.place = os.urandom(_SALT), bytearray(), 0
        self.little: bytes | None = None
        self.lock = _lock(spool.key, self.salt, spool.step)

    def write(self, lines: bytes) -> None:
        self.held += lines
        while len(self.held) > _FRAME:
            self._put(bytes(self.held[:_FRAME]), last=False)
            del self.held[:_FRAME]

    def close(self) -> None:
        if self.place or len(self.held) > _LITTLE:
            self._put(bytes(self.held), last=True)
        else:
            self.little = self.salt + _framed(self.lock, 0, bytes(self.held), last=True)

    def _put(self, plain: bytes, last: bool) -> None:
        if not self.place:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with private(self.path, "ab") as file:
            file.write((b"" if self.place else self.salt) + _framed(self.lock, self.place, plain, last))
        self.place += 1


def parts(kept: Path | bytes, key: bytes, step: UUID) -> Iterator[TableLine | Rows]:
    """What a spool holds, in order, in memory a frame at a time."""
    rest = b""
    for block in _frames(kept, key, step):
        block = rest + block
        cut = block.rfind(b"\n") + 1
        yield from _split(block[:cut])
        rest = block[cut:]


def _split(lines: bytes) -> Iterator[TableLine | EndLine | Rows]:
    """A JSON text holds no raw newline, so `{` after one can only begin a control line."""
    start = 0
    while start < len(lines):
        if lines[start] == ord("{"):
            stop = lines.index(b"\n", start) + 1
            if said := _control(lines[start:stop]):
                yield said
        else:
            stop = lines.find(b"\n{", start) + 1 or len(lines)
            yield Rows(lines[start:stop])
        start = stop


@lru_cache(maxsize=256)
def _control(line: bytes) -> TableLine | EndLine | None:
    """Read once: a table is announced alike for everybody."""
    said = orjson.loads(line)
    if "table" in said:
        return TableLine.model_validate(said)
    return EndLine.model_validate(said) if said.get("end") is True else None


def _frames(kept: Path | bytes, key: bytes, step: UUID) -> Iterator[bytes]:
    with io.BytesIO(kept) if isinstance(kept, bytes) else kept.open("rb") as file:
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
