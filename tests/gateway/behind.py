"""Stands in for a service behind an edge: says what it was sent, or misbehaves as it is told. Plain ASGI, no framework in between."""

import asyncio
import json
from typing import Any

from starlette.types import Receive, Scope, Send


class Behind:
    """`begun`: how many requests have reached it, be it in part · `seen` holds every request: method, path, query, headers (latin-1), body. `answer` changes what comes back."""

    def __init__(self) -> None:
        self.url = ""
        self.behave()

    def behave(self) -> None:
        """As before any test."""
        self.begun = 0
        self.seen: list[dict[str, Any]] = []
        self.headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json")]
        self.status = 200
        self.cut = False
        self.slow_parts = 0
        self.released = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _live(receive, send)
        self.begun += 1
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        told = {
            "method": scope["method"],
            "path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            "body": len(body),
        }
        self.seen.append(told)
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        if self.cut:
            await send({"type": "http.response.body", "body": b"[1,", "more_body": True})
            raise ConnectionError("as told")
        if self.slow_parts:
            await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
            await self.released.wait()
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
