"""Real HTTP inside a test: an app on a free loopback port, and an issuer whose tokens a test may bend."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
import uvicorn
from fastapi import FastAPI, Request
from joserfc import jwt
from joserfc.jwk import ECKey

from chassis.client import trust
from chassis.settings import Settings
from tests.patience import PATIENCE


def told(settings: Settings) -> dict[str, str]:
    """These settings as the environment of a process of its own."""
    said = {f"WARDLINE_{name.upper()}": value for name, value in settings.model_dump(mode="json").items() if value}
    return {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in said.items()}


# Seconds, as in `ops/serving.py`: longer than a client keeps a connection. Who ends one just when it is used again has heard nothing.
KEPT = 15


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """The base URL of a running app; start-up and shutdown included."""
    # Told that it is TCP, or asyncio lets the kernel wait with an answer's body until its head was acknowledged: 40 ms for each call.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    told = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(app, timeout_keep_alive=KEPT, **told))
    server.install_signal_handlers = lambda: None
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await _accepting(listener, task)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        # An app that does not end is a failure with a name, and no suite that hangs.
        async with asyncio.timeout(PATIENCE):
            await task


@asynccontextmanager
async def stranger(says: bytes, then: bytes) -> AsyncIterator[str]:
    """The URL of somebody else's system: it answers so, and goes on saying something for ever."""
    speaking: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speaking.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(says)
        with suppress(ConnectionError):
            while True:
                writer.write(then)
                await writer.drain()
                await asyncio.sleep(0.01)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in speaking:
            writer.close()


@dataclass
class SlowReader:
    """Took the beginning of an answer, and takes no more of it for now."""

    first: bytes
    rest: AsyncIterator[bytes]

    async def reads_on(self) -> bytes:
        return self.first + b"".join([piece async for piece in self.rest])


@asynccontextmanager
async def slow_readers(urls: Sequence[str], headers: Mapping[str, str]) -> AsyncIterator[list[SlowReader]]:
    """Each of an answer that is much larger than what the kernel keeps for who does not read, some four megabytes on the other side."""
    little = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)]
    way = httpx2.AsyncHTTPTransport(verify=trust(), trust_env=False, socket_options=little)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(transport=way, timeout=PATIENCE))
        readers = []
        for url in urls:
            answer = await stack.enter_async_context(http.stream("GET", url, headers=headers))
            assert answer.status_code == 200
            first, pieces = b"", answer.aiter_bytes()
            while len(first) < 100_000:
                first += await anext(pieces)
            readers.append(SlowReader(first, pieces))
        yield readers


async def _accepting(listener: socket.socket, task: "asyncio.Task[None]") -> None:
    """Until the app answers, whatever it answers; its failure to start is raised here."""
    async with httpx2.AsyncClient(trust_env=False, verify=trust()) as http:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/health/live"
        answer = asyncio.create_task(http.get(url, timeout=PATIENCE))
        await asyncio.wait({answer, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            answer.cancel()
            task.result()
        await answer


async def until_some(request: Request, there: Callable[[], bool], seconds: float) -> None:
    """A feed that is played waits as a real one does: whoever follows one that answers at once asks ten times a second, for as long as
    its house stands."""
    over = time.monotonic() + seconds
    while not there() and time.monotonic() < over and not await request.is_disconnected():
        await asyncio.sleep(0.05)


class Issuer:
    """Signs whatever a test asks for; its JWKS is served over HTTP."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "test-issuer"}, private=True)
        self.name = "http://issuer.test"
        self.app = FastAPI()
        self.app.add_api_route("/jwks", lambda: {"keys": [self.key.as_dict(private=False)]})

    def claims(self, audience: str, scope: str, tenant: UUID | None = None, **bent: Any) -> dict[str, Any]:
        now = int(time.time())
        usual = {
            "iss": self.name,
            "aud": audience,
            "sub": "tester",
            "client_id": "tester",
            "kind": "client",
            "scope": scope,
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + 300,
        }
        return usual | ({"tenant": str(tenant)} if tenant else {}) | bent

    def token(self, audience: str, scope: str, tenant: UUID | None = None, **bent: Any) -> str:
        return self.sign(self.claims(audience, scope, tenant, **bent))

    def sign(self, claims: dict[str, Any], typ: str = "at+jwt") -> str:
        return jwt.encode({"alg": "ES256", "typ": typ, "kid": self.key.kid}, claims, self.key)
