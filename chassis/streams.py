"""Several streams in one answer, each piece under the place of its stream: who asks for six things at once makes one call.

    StreamingResponse(joined([one, other]))            # async generators of bytes
    async with parted(answer, 2) as (one, other): ...  # what they gave, each by itself

A stream that raises a Problem ends with that Problem on the other side, and the others go on. Whatever else goes wrong cuts the answer:
then all that had not ended by then end with Unavailable. Whoever takes no more of a stream closes it; its rest is passed over.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from enum import IntEnum

import httpx2
import orjson

from chassis import telemetry
from chassis.errors import Problem, Unavailable, problem_from

_HEAD = struct.Struct("!HBI")  # place, kind, and how long what follows is
_AHEAD = 8  # pieces that may wait for a slow reader
_AT_ONCE = 1 << 16
_ENDING = 1  # second in which an answer that told everything closes by itself
_HELD = 0.05  # seconds that a little may wait for more: whoever reads wants whole streams, and each answer's piece is work on both sides


class _Kind(IntEnum):
    piece, end, problem = 0, 1, 2


async def joined(streams: Sequence[AsyncGenerator[bytes]]) -> AsyncGenerator[bytes]:
    """All of them at once; a slow one keeps nobody waiting. What is little goes when a stream ends, or soon."""
    frames = asyncio.Queue[tuple[_Kind, bytes] | Exception](_AHEAD)

    async def read(place: int, stream: AsyncGenerator[bytes]) -> None:
        kind, last = _Kind.end, b""
        try:
            async with aclosing(stream):
                async for piece in stream:
                    await frames.put((_Kind.piece, _HEAD.pack(place, _Kind.piece, len(piece)) + piece))
        except Problem as problem:
            kind, last = _Kind.problem, orjson.dumps(problem.body())
        except Exception as fault:
            await frames.put(fault)
            raise
        await frames.put((kind, _HEAD.pack(place, kind, len(last)) + last))

    reading, left = [asyncio.create_task(read(*each)) for each in enumerate(streams)], len(streams)
    try:
        while left:
            several, size, ended, frame = [], 0, False, await frames.get()
            soon = asyncio.get_running_loop().time() + _HELD
            while True:
                if isinstance(frame, Exception):
                    raise frame
                kind, said = frame
                several.append(said)
                size, ended, left = size + len(said), ended or kind != _Kind.piece, left - (kind != _Kind.piece)
                if size >= _AT_ONCE or (ended and frames.empty()):
                    break
                try:
                    async with asyncio.timeout_at(soon):
                        frame = await frames.get()
                except TimeoutError:
                    break
            yield b"".join(several)
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


@asynccontextmanager
async def parted(answer: AsyncIterator[bytes], count: int) -> AsyncIterator[list[AsyncGenerator[bytes]]]:
    parts = [_Part() for _ in range(count)]
    dealing = asyncio.create_task(_deal(answer, parts))
    try:
        yield [part.pieces() for part in parts]
    finally:
        # A client that is cancelled while it closes an answer forgets the idle connections that it was about to close as well.
        if all(part.told for part in parts):
            await asyncio.wait({dealing}, timeout=_ENDING)
        dealing.cancel()
        await asyncio.gather(dealing, return_exceptions=True)


class _Part:
    """over: nobody takes more of it · told: and nothing more is to come."""

    def __init__(self) -> None:
        self.waiting = asyncio.Queue[bytes | Problem | None](_AHEAD)
        self.over = self.told = False

    async def take(self, piece: bytes | Problem | None) -> None:
        last = not isinstance(piece, bytes)
        if not self.over:
            self.over = last
            await self.waiting.put(piece)
        self.told = self.told or last

    async def pieces(self) -> AsyncGenerator[bytes]:
        try:
            while (piece := await self.waiting.get()) is not None:
                if isinstance(piece, Problem):
                    raise piece
                yield piece
        finally:
            self.over = True
            while not self.waiting.empty():
                self.waiting.get_nowait()


async def _deal(answer: AsyncIterator[bytes], parts: Sequence[_Part]) -> None:
    held = bytearray()
    try:
        async for block in answer:
            held += block
            at = 0
            while len(held) - at >= _HEAD.size:
                place, kind, size = _HEAD.unpack_from(held, at)
                stop = at + _HEAD.size + size
                if stop > len(held):
                    break
                await parts[place].take(_said(_Kind(kind), bytes(held[at + _HEAD.size : stop])))
                at = stop
            del held[:at]
    except (Problem, httpx2.HTTPError):
        pass  # cut, as is told to each below
    except Exception:  # noqa: BLE001 - nobody waits for this task, and those who wait for its pieces are told
        telemetry.log().error("answer not understood", exc_info=True)
    for part in parts:
        await part.take(Unavailable("The answer stopped in the middle."))


def _said(kind: _Kind, said: bytes) -> bytes | Problem | None:
    if kind is _Kind.problem:
        body = orjson.loads(said)
        return problem_from(body, body["status"])
    return said if kind is _Kind.piece else None
