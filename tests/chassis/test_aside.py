"""What is read fast and taken slowly: nothing of it waits at its source, and nothing of it can be read where it lies."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from chassis.aside import aside
from chassis.errors import Unavailable
from tests.patience import PATIENCE

PIECES = [b"anna@example.com %d " % n + b"x" * (n * 997 % 70_000) for n in range(200)]


class Source:
    """Says when it was closed, and how far it was read."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces, self.given, self.closed = pieces, 0, asyncio.Event()

    async def stream(self) -> AsyncGenerator[bytes]:
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                self.given += 1
                yield piece
        finally:
            self.closed.set()


async def test_a_source_is_over_while_nobody_takes_anything_and_all_comes_in_its_order(tmp_path: Path) -> None:
    source = Source(*PIECES)
    async with aclosing(aside(source.stream(), tmp_path)) as given:
        first = await anext(given)
        async with asyncio.timeout(PATIENCE):
            await source.closed.wait()
        assert source.given == len(PIECES)
        assert [first, *[piece async for piece in given]] == PIECES


async def test_what_lies_aside_has_no_name_and_nobody_can_read_it(tmp_path: Path) -> None:
    source, own = Source(*PIECES), Path("/proc/self/fd")
    async with aclosing(aside(source.stream(), tmp_path)) as given:
        await anext(given)
        await source.closed.wait()
        assert list(tmp_path.iterdir()) == []
        [lying] = [fd for fd in own.iterdir() if fd.is_symlink() and os.readlink(fd).startswith(str(tmp_path))]
        content = lying.read_bytes()
        assert len(content) > sum(map(len, PIECES)) and b"anna" not in content


async def test_a_fault_of_the_source_is_met_where_it_stood(tmp_path: Path) -> None:
    source, taken = Source(*PIECES[:3], Unavailable("away")), []
    with pytest.raises(Unavailable, match="away"):
        async for piece in aside(source.stream(), tmp_path):
            taken.append(piece)
    assert taken == PIECES[:3]
    with pytest.raises(Unavailable):
        await anext(aside(Source(Unavailable("at once")).stream(), tmp_path))


async def test_a_source_of_whom_no_more_is_taken_is_closed(tmp_path: Path) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            closed.set()

    closed = asyncio.Event()
    async with aclosing(aside(endless(), tmp_path)) as given:
        await anext(given)
    assert closed.is_set()


async def test_a_disk_that_is_full_cuts_the_stream_and_closes_its_source(tmp_path: Path, monkeypatch) -> None:
    source = Source(*PIECES)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("chassis.aside.os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        await anext(aside(source.stream(), tmp_path))
    assert source.closed.is_set() and source.given == 1
