"""Real HTTP inside a test: an app on a free loopback port, and an issuer whose tokens a test may bend."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import uvicorn
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey

from chassis.settings import Settings


def told(settings: Settings) -> dict[str, str]:
    """These settings as the environment of a process of its own."""
    said = {f"WARDLINE_{name.upper()}": value for name, value in settings.model_dump(mode="json").items() if value}
    return {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in said.items()}


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """The base URL of a running app; start-up and shutdown included."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await _accepting(listener, task)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        async with asyncio.timeout(60):  # an app that does not end is a failure with a name, and no suite that hangs
            await task


async def _accepting(listener: socket.socket, task: "asyncio.Task[None]") -> None:
    """Until the app answers, whatever it answers; its failure to start is raised here."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = asyncio.create_task(http.get(f"http://127.0.0.1:{listener.getsockname()[1]}/health/live", timeout=30))
        await asyncio.wait({answer, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            answer.cancel()
            task.result()
        await answer


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
