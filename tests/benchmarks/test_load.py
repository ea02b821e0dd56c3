"""The load generator, against a server that is told how to answer."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.load import load, request


@asynccontextmanager
async def answering(status: str = "200 OK", pause: float = 0) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(pause)
                # In two pieces, as a slow network would bring them.
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\nde".encode())
                await writer.drain()
                writer.write(b"ad")
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


ASKED = request("GET", "/", {})


async def test_it_asks_as_fast_as_it_is_answered_on_every_connection() -> None:
    async with answering(pause=0.01) as port:
        seen = await load(port, itertools.repeat(ASKED), status=200, connections=5, seconds=0.5)
    assert 50 < len(seen.took) <= 5 * 51
    assert seen.milliseconds(50) >= 10
    assert seen.per_second == pytest.approx(len(seen.took) / seen.seconds)


async def test_at_a_set_rate_it_asks_no_faster() -> None:
    async with answering() as port:
        seen = await load(port, itertools.repeat(ASKED), status=200, connections=4, seconds=0.5, rate=100)
    assert 30 <= len(seen.took) <= 51


async def test_a_request_that_had_to_wait_for_a_connection_has_waited_since_it_was_due() -> None:
    async with answering(pause=0.05) as port:
        seen = await load(port, itertools.repeat(ASKED), status=200, connections=1, seconds=0.6, rate=60)
    assert seen.milliseconds(90) > 200


async def test_an_answer_with_another_status_is_no_measurement() -> None:
    async with answering("503 Service Unavailable") as port:
        with pytest.raises(RuntimeError, match="503"):
            await load(port, itertools.repeat(ASKED), status=200, connections=2, seconds=0.1)
