"""The short road: a plain request of a caller who is known already is answered in front of FastAPI, without its machinery.

    in_front(app, {("POST", "/v1/consents"): Hot(("consent.write",), created("/v1/consents", GiveConsent, given))})

What is not plain (a token seen for the first time, a caller without the scope or a tenant, a large body or one of unknown length)
goes on to the ordinary route of the same path, which asks the same code: the short road is only faster.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from fastapi import FastAPI
from prometheus_client import Counter, Histogram
from pydantic import BaseModel
from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis import bodies, idempotency, telemetry
from chassis.app import broken, database_trouble
from chassis.auth import Caller
from chassis.durable import PASSING
from chassis.errors import Problem
from chassis.idempotency import AGAIN, Reply, Write
from chassis.ids import request_id

_AGAIN = tuple((name.encode(), value.encode()) for name, value in AGAIN)

Headers = dict[bytes, bytes]
Wish = TypeVar("Wish", bound=BaseModel)


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = b"application/json"


@dataclass(frozen=True)
class Hot:
    """answer: (app, caller, headers, body) → Answer; it may raise a Problem. scopes: one of them is needed · largest: longer bodies take
    the ordinary road."""

    scopes: tuple[str, ...]
    answer: Callable[[FastAPI, Caller, Headers, bytes], Awaitable[Answer]]
    largest: int = 64 * 1024


def created(
    path: str, wanted: type[Wish], create: Callable[[State, Caller, Wish, Write], Awaitable[Reply]]
) -> Callable[[FastAPI, Caller, Headers, bytes], Awaitable[Answer]]:
    """What is posted once under its key: read as `wanted`, and given to `create` within a span of its own."""

    async def answer(app: FastAPI, caller: Caller, headers: Headers, raw: bytes) -> Answer:
        state = app.state
        carried = {"traceparent": _text(headers, b"traceparent")} if b"traceparent" in headers else None
        with telemetry.span(f"{state.service} POST {path}", carried):
            bodies.must_be_json(_text(headers, b"content-type"))
            wish = bodies.read(wanted, raw)
            key = _text(headers, b"idempotency-key")
            sent = idempotency.write(state.settings, caller, key, f"POST {path}", raw, status=201)
            reply = await create(state, caller, wish, sent)
        return Answer(reply.status, reply.body, _AGAIN if reply.again else ())

    return answer


def in_front(app: FastAPI, paths: Mapping[tuple[str, str], Hot]) -> None:
    """Before all of FastAPI's own layers, which a middleware of the app would stand behind."""
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: HotPaths(build(), app.state.service, paths)  # type: ignore[method-assign]


class HotPaths:
    """Pure ASGI. No span of its own: what wants one opens it."""

    def __init__(self, app: ASGIApp, service: str, paths: Mapping[tuple[str, str], Hot]) -> None:
        self.app, self.service, self.paths = app, service, paths
        self._counters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hot = self.paths.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if hot is None:
            return await self.app(scope, receive, send)
        began, headers = time.perf_counter(), dict(scope["headers"])
        caller = _known(scope["app"], hot, headers)
        if caller is None:
            return await self.app(scope, receive, send)
        raw = await _body(receive)
        if raw is None:
            return
        answer = await _answered(scope["app"], hot, caller, headers, raw)
        await send({"type": "http.response.start", "status": answer.status, "headers": _headers(headers, answer)})
        await send({"type": "http.response.body", "body": answer.body})
        self._count(scope["method"], scope["path"], answer.status, time.perf_counter() - began)

    def _count(self, method: str, path: str, status: int, seconds: float) -> None:
        # Finding a counter by its labels takes longer than counting.
        found = self._counters.get((method, path, status))
        if found is None:
            told = self.service, method, path
            found = telemetry.requests_total.labels(*told, status), telemetry.request_seconds.labels(*told)
            self._counters[method, path, status] = found
        found[0].inc()
        found[1].observe(seconds)


def _known(app: FastAPI, hot: Hot, headers: Headers) -> Caller | None:
    length = headers.get(b"content-length", b"")
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not length.isdigit() or int(length) > hot.largest:
        return None
    caller = app.state.verifier.recall(token)
    return (
        caller
        if caller is not None and caller.tenant is not None and not caller.scopes.isdisjoint(hot.scopes)
        else None
    )


async def _body(receive: Receive) -> bytes | None:
    """None when the caller hung up."""
    raw = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        raw += message.get("body", b"")
        if not message.get("more_body"):
            return raw


async def _answered(app: FastAPI, hot: Hot, caller: Caller, headers: Headers, raw: bytes) -> Answer:
    try:
        return await hot.answer(app, caller, headers, raw)
    except Problem as refusal:
        problem = refusal
    except PASSING as failure:
        problem = database_trouble(failure)
    except Exception as failure:  # noqa: BLE001 - nothing stands around this road that would answer it
        problem = broken(failure)
    response = problem.response()
    named = tuple(
        (name, value) for name, value in response.raw_headers if name not in (b"content-type", b"content-length")
    )
    return Answer(response.status_code, response.body, named, response.headers["content-type"].encode())


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _headers(request: Headers, answer: Answer) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", answer.media_type),
        (b"content-length", b"%d" % len(answer.body)),
        (b"x-request-id", request_id(_text(request, b"x-request-id")).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        *answer.headers,
    ]
