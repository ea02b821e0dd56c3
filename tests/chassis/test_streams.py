"""Several streams in one answer: each comes out as it went in, and what ends one of them ends no other."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from chassis import telemetry
from chassis.errors import Conflict, Unavailable
from chassis.streams import joined, parted
from tests.patience import PATIENCE
from tests.serving import serve


async def _of(*pieces: bytes | Exception) -> AsyncGenerator[bytes]:
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        yield piece


async def _cut(answer: AsyncGenerator[bytes], size: int = 5, until: int | None = None) -> AsyncIterator[bytes]:
    """As it comes over the wire: cut anywhere, and perhaps never to its end."""
    whole = b"".join([each async for each in answer])[:until]
    for at in range(0, len(whole), size):
        yield whole[at : at + size]
    if until is not None:
        raise Unavailable


async def _all(part: AsyncGenerator[bytes]) -> bytes:
    async with aclosing(part):
        return b"".join([piece async for piece in part])


async def test_each_comes_out_as_it_went_in_however_the_answer_is_cut():
    streams = [_of(b"one", b"", b"x" * 100_000), _of(), _of(*[b"%d," % n for n in range(100)])]
    async with parted(_cut(joined(streams)), 3) as parts:
        found = await asyncio.gather(*map(_all, parts))
    assert found == [b"one" + b"x" * 100_000, b"", b"".join(b"%d," % n for n in range(100))]


async def test_what_is_refused_in_one_is_raised_there_and_nowhere_else():
    refusing = joined([_of(b"one"), _of(b"two", Conflict("two at once")), _of(b"three")])
    async with parted(_cut(refusing), 3) as parts:
        one, refused, three = await asyncio.gather(*map(_all, parts), return_exceptions=True)
    assert isinstance(refused, Conflict) and refused.detail == "two at once"
    assert (one, three) == (b"one", b"three")


async def test_of_an_answer_that_was_cut_nothing_ends_as_if_it_were_whole():
    async with parted(_cut(joined([_of(b"one"), _of(b"x" * 50)]), until=30), 2) as parts:
        one, other = await asyncio.gather(*map(_all, parts), return_exceptions=True)
    assert one == b"one"
    assert isinstance(other, Unavailable)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ((), []),
        ((httpx2.RemoteProtocolError("peer closed connection"),), []),
        ((Unavailable(),), []),
        ((b"\0\7\0\0\0\0\0",), ["answer not understood"]),
    ],
    ids=["it ends early", "its connection breaks", "it is given up", "a place that nobody asked for"],
)
async def test_however_an_answer_ends_too_early_everybody_is_told_and_only_nonsense_is_a_fault_of_ours(
    last: tuple[bytes | Exception, ...], told: list[str], monkeypatch: pytest.MonkeyPatch
):
    """Who only waited for the rest would wait for ever."""
    faults: list[str] = []
    monkeypatch.setattr(telemetry, "log", lambda: SimpleNamespace(error=lambda said, **_: faults.append(said)))
    begun = b"\0\0\0\0\0\0\3one" + b"\0\0\1\0\0\0\0"
    async with parted(_of(begun, *last), 2) as parts, asyncio.timeout(PATIENCE):
        one, other = await asyncio.gather(*map(_all, parts), return_exceptions=True)
    assert one == b"one" and isinstance(other, Unavailable) and faults == told


async def test_who_reads_no_further_makes_nobody_give_more():
    """What waits for a slow reader is bounded on both sides of the wire, and once she left nobody reads on for her."""
    given, closed = [0], asyncio.Event()

    async def endless() -> AsyncGenerator[bytes]:
        try:
            while given[0] < 10_000:
                given[0] += 1
                yield b"x" * (1 << 16)
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with aclosing(joined([endless()])) as answer:
        async with parted(answer, 1) as [one], aclosing(one):
            await anext(one)
            for _ in range(1000):
                await asyncio.sleep(0)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert given[0] < 50
    assert closed.is_set()


async def test_a_fault_cuts_the_answer():
    with pytest.raises(ZeroDivisionError):
        async with aclosing(joined([_of(b"one"), _of(ZeroDivisionError())])) as answer:
            [_ async for _ in answer]


async def test_who_takes_no_more_of_one_keeps_nobody_waiting():
    many = [b"x" * 1000] * 100
    async with parted(_cut(joined([_of(*many), _of(*many)]), 1000), 2) as (one, other):
        async with aclosing(one):
            await anext(one)
            for _ in range(100):
                await asyncio.sleep(0)  # until whoever deals waits for this one
        assert await asyncio.wait_for(_all(other), PATIENCE) == b"".join(many)


async def test_who_has_taken_all_leaves_no_connection_of_the_client_open(recwarn: pytest.WarningsRecorder):
    """Of a pool some connections are too old whenever an answer ends, and are closed then: who is cancelled there forgets the others."""
    gc.collect()
    recwarn.clear()
    app = FastAPI()

    @app.get("/several")
    async def several() -> StreamingResponse:
        return StreamingResponse(joined([_of(b"one"), _of(b"other")]))

    limits = httpx2.Limits(keepalive_expiry=0.1)
    async with serve(app) as url, httpx2.AsyncClient(trust_env=False, limits=limits) as http:
        for _ in range(10):
            await asyncio.gather(*(http.get(url) for _ in range(6)))
            await asyncio.sleep(0.08)
            for _ in range(2):
                async with http.stream("GET", f"{url}/several") as answer:
                    async with parted(answer.aiter_bytes(), 2) as parts:
                        assert await asyncio.gather(*map(_all, parts)) == [b"one", b"other"]
                await asyncio.sleep(0.02)
    gc.collect()
    assert [str(each.message) for each in recwarn if each.category is ResourceWarning] == []


async def test_a_slow_one_keeps_nobody_waiting():
    told = asyncio.Event()

    async def slow() -> AsyncGenerator[bytes]:
        await told.wait()
        yield b"late"

    async with aclosing(joined([slow(), _of(b"soon")])) as answer, parted(answer, 2) as (late, soon):
        assert await asyncio.wait_for(_all(soon), PATIENCE) == b"soon"
        told.set()
        assert await asyncio.wait_for(_all(late), PATIENCE) == b"late"


async def test_a_reader_that_goes_away_closes_every_stream():
    closed = []

    async def endless(name: str) -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(name)

    async with aclosing(joined([endless("one"), endless("other")])) as answer:
        await anext(answer)
    assert sorted(closed) == ["one", "other"]


async def test_what_is_little_goes_together_and_waits_for_no_stream_that_is_slow():
    more = asyncio.Event()

    async def slow() -> AsyncGenerator[bytes]:
        yield b"one"
        await more.wait()
        yield b"two"

    async def begun() -> AsyncGenerator[bytes]:
        for n in range(20):
            await asyncio.sleep(0)
            yield b"%d," % n

    assert len([piece async for piece in joined([begun()])]) == 1
    async with aclosing(joined([slow()])) as answer, asyncio.timeout(PATIENCE):
        assert (await anext(answer)).endswith(b"one")
        more.set()
        assert b"two" in await anext(answer)
