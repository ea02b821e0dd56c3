"""What one caller whom nobody knows may do to a process that listens: nothing that others notice."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import repeat

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from ops import connections, serving
from tests.patience import busy

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n"


LARGE = 16 << 20


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads everything and says how much it was; who searches waits for the body, and who reports gets more than a line takes at once."""
    if scope["method"] == "REPORT":
        pieces = 1 if scope["path"] == "/whole" else 256
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
        for n in range(pieces):
            piece = {"type": "http.response.body", "body": bytes(LARGE // pieces), "more_body": n + 1 < pieces}
            await send(piece)
        return
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
    if scope["method"] == "SEARCH":
        await asyncio.sleep(0.5)
    await send({"type": "http.response.body", "body": b"%8d" % length})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(connections, "SLOWEST_HEAD", 0.3)
    listener = socket.create_server(("127.0.0.1", 0))
    config = serving.settings(app, "127.0.0.1", 0, connections.StrangersConnection)
    config.lifespan, config.loop = "off", "none"
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    task = asyncio.create_task(server.serve(sockets=[listener]))
    yield listener.getsockname()[1]
    server.should_exit = server.force_exit = True
    await task


async def until_cut(port: int, begins: bytes, goes_on: Iterator[bytes], pause: float = 0) -> tuple[int, bytes]:
    """How much was sent before the other side would have no more, and what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    try:
        writer.write(begins)
        for piece in goes_on:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
            sent += len(piece)
    except OSError:
        """Cut."""
    try:
        said = await asyncio.wait_for(reader.read(100), 5)
    except ConnectionError:
        said = b""
    writer.close()
    return sent, said


@pytest.mark.parametrize(
    ("begins", "piece"),
    [
        (HEAD + b"x-long: ", b"A" * 16_384),
        (HEAD, b"x-many: A\r\n" * 1_000),
        (b"GET /?", b"A" * 16_384),
        (
            HEAD.replace(b"GET", b"POST") + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-trailer: ",
            b"A" * 16_384,
        ),
        (HEAD.replace(b"GET", b"POST") + b"transfer-encoding: chunked\r\n\r\n3;x=", b"A" * 16_384),
    ],
    ids=["one long header", "many headers", "a long address", "what follows a body", "what describes a piece of it"],
)
async def test_a_head_that_never_ends_is_not_kept_in_memory(port: int, begins: bytes, piece: bytes):
    sent, said = await until_cut(port, begins, repeat(piece, 800))
    assert sent < 8 << 20 and said[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 400", b"")


@pytest.mark.parametrize("begins", [b"", HEAD, b"\r\n"], ids=["nothing", "half a head", "an empty line"])
async def test_who_connects_and_never_asks_is_let_go(port: int, begins: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begins)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_head_that_drips_is_cut_off_too(port: int):
    sent, _ = await until_cut(port, HEAD + b"x-slow: ", repeat(b"A", 100), pause=0.05)
    assert sent < 60, "two looks, and not five seconds"


async def test_a_connection_that_was_used_and_then_drips_empty_lines_is_let_go(port: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"\r\n")
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(8)
    with pytest.raises(ConnectionError):
        for _ in range(100):
            writer.write(b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)
    writer.close()


async def test_a_large_body_and_a_slow_answer_are_nobody_s_fault(port: int):
    """Also when it takes longer than a head may, and over one connection that is used again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(HEAD.replace(b"GET", b"POST") + b"x-large: %s\r\ncontent-length: 400000\r\n\r\n" % (b"A" * 30_000))
        for _ in range(10):
            writer.write(b"B" * 40_000)
            await writer.drain()
            await asyncio.sleep(0.1)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        assert int(await reader.readexactly(8)) == 400_000
    writer.close()


@pytest.mark.parametrize(("path", "kept"), [(b"/", b"keep-alive"), (b"/whole", b"keep-alive"), (b"/whole", b"close")])
async def test_who_takes_nothing_of_her_answer_is_let_go(port: int, path: bytes, kept: bytes):
    """Also when all of it is written, and only the line's other end is waited for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
    writer.write(b"REPORT %s HTTP/1.1\r\nhost: x\r\nconnection: %s\r\n\r\n" % (path, kept))
    await asyncio.sleep(2)
    taken = 0
    with suppress(ConnectionError):
        while piece := await asyncio.wait_for(reader.read(1 << 20), 5):
            taken += len(piece)
    assert taken < LARGE
    writer.close()


@pytest.mark.parametrize("path", [b"/", b"/whole"])
async def test_who_takes_it_slowly_gets_it(port: int, monkeypatch: pytest.MonkeyPatch, path: bytes):
    """Slower than it is written, for many looks, and not slower than the slowest line."""
    monkeypatch.setattr(connections, "SLOWEST_READER", 1 << 20)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
    writer.write(b"REPORT %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path)
    taken = 0
    while piece := await reader.read(256 << 10):
        taken += len(piece)
        await asyncio.sleep(len(piece) / (5 << 20))
    assert taken > LARGE
    writer.close()


async def test_an_answer_is_one_packet_and_its_head_waits_for_no_body_that_is_not_there_yet(port: int):
    sizes = []
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.setblocking(False)
        for method in (b"GET", b"GET", b"HEAD", b"SEARCH"):
            await asyncio.get_running_loop().sock_sendall(caller, HEAD.replace(b"GET", method) + b"\r\n")
            head, _, body = (await asyncio.get_running_loop().sock_recv(caller, 1000)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            sizes.append(len(body))
    assert sizes == [8, 8, 0, 0]


class Soon(serving.Server):
    """Of uvicorn's handling of signals only the effect: the test's own process goes on."""

    def __init__(self, when: str) -> None:
        config = serving.settings(app, "127.0.0.1", 0)
        config.lifespan, config.loop = "off", "none"
        super().__init__(config)
        self.when, self.looks = when, 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.when == "just before it waits":
            self.handle_exit(signal.SIGTERM, None)

    async def on_tick(self, counter: int) -> bool:
        self.looks += 1
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for each in self.servers:
            each.close()


@pytest.mark.parametrize("when", ["before it starts", "just before it waits", "while it waits"])
async def test_a_process_ends_when_it_is_told_to_and_not_at_its_next_look(when: str):
    server, listener = Soon(when), socket.create_server(("127.0.0.1", 0))
    if when == "before it starts":
        server.handle_exit(signal.SIGTERM, None)
    task = asyncio.create_task(server._serve([listener]))
    if when == "while it waits":
        async with asyncio.timeout(5):
            while not server.looks:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        server.handle_exit(signal.SIGINT, None)
    began = time.monotonic()
    await task
    assert time.monotonic() - began < 0.5 * busy() and server.looks <= 2
    server.handle_exit(signal.SIGINT, None)
    assert server.force_exit, "who asks twice waits for nobody"
