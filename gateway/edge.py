"""One request through an edge: row → caller → rate → staff's standing → idempotency key → exchanged token → the service, streamed both ways.

Bodies are passed on unread. Only headers that a service has a use for go in, so nothing a caller invents (X-Forwarded-*, X-User) arrives.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import httpx2
import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis import app as chassis_app
from chassis import auth, telemetry
from chassis.client import trust
from chassis.errors import KeyMissing, Malformed, Problem, Unavailable
from gateway import docs
from gateway.address import Settings, address_of
from gateway.exchange import Exchange
from gateway.limits import Limiter
from gateway.revocations import Revocations
from gateway.staff import check_standing
from gateway.table import Row, Table
from services.registry.client import RegistryClient

_INWARDS = frozenset(
    {
        b"accept",
        b"accept-language",
        b"content-length",
        b"content-type",
        b"idempotency-key",
        b"if-match",
        b"if-none-match",
        b"prefer",
        b"sec-gpc",
        b"x-correlator",
    }
)
# Only the issuer's own pages use cookies; `origin` is how it knows its own form.
_INWARDS_TO_ISSUER = _INWARDS | {b"cookie", b"origin"}
# Hop by hop (RFC 9110 §7.6.1), or said by this edge itself.
_NOT_OUTWARDS = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"date",
        b"server",
        b"x-content-type-options",
        b"x-request-id",
    }
)
# So long a little body may take to come, on the slowest line; it holds nothing of what is behind meanwhile.
LONGEST_BODY = 60.0  # seconds
LITTLE = 64 * 1024  # bytes
# What comes of a larger one holds one connection to what is behind, and must come at a pace: a megabyte in a minute.
SLOWEST_BODY = 16 * 1024  # bytes a second
_GRACE = 5.0  # seconds
_TIMEOUT = {"connect": 2.0, "pool": 2.0, "write": 10.0, "read": 120.0}


class Edge:
    """The ASGI app behind an edge's table; `own` has what the edge answers itself, by path."""

    def __init__(self, rows: Iterable[Row], own: Mapping[str, ASGIApp] | None = None) -> None:
        self.table, self.own = Table(rows), own or {}
        self.limiter = Limiter()

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        state = app.state
        self.proxy = state.settings.trusted_proxy
        self.peers = {name: httpx2.URL(url) for name, url in state.settings.peers.items()}
        self.verifier = state.verifier
        self.exchange = Exchange(state.http, state.tokens)
        self.revocations = Revocations(state.http, state.tokens, state.settings.peers["identity"], self._forget)
        self.register = RegistryClient(state.http, state.settings.peers.get("registry", ""), state.tokens)
        state.tasks.append(asyncio.create_task(self.revocations.run(), name="revocations"))
        state.ready_when["revocations"] = self._hears
        # The transport and not a client: a client would keep one caller's cookies and send them with another's requests.
        async with httpx2.AsyncHTTPTransport(
            verify=trust(),
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
            trust_env=False,
            retries=1,
        ) as self.transport:
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("latin-1")
        row = self.table.find(scope["method"], path)
        scope["route"] = row
        if row.public:
            address = address_of(scope, self.proxy)
            self.limiter.address(row.rate, address)
            with self.limiter.under_way("address", address):
                return await self._forward(row, path, None, scope, receive, send)
        caller, token = await self._admitted(row, scope)
        if row.key and not any(name == b"idempotency-key" for name, _ in scope["headers"]):
            raise KeyMissing
        if row.path in self.own:
            return await self.own[row.path](scope, receive, send)
        machine = caller.kind == "client"
        with self.limiter.under_way(*(("client", caller.original_client) if machine else ("subject", caller.subject))):
            token = await self.exchange.token(token, caller, row.service)
            await self._forward(row, path, token, scope, receive, send)

    async def limit_page(self, request: Request) -> None:
        """Of what the edge has itself to read for everybody."""
        self.limiter.address("page", address_of(request.scope, self.proxy))

    async def _admitted(self, row: Row, scope: Scope) -> tuple[auth.Caller, str]:
        """The caller, if this row is for it and it does not call too often."""
        request = Request(scope)
        caller = await auth.current_caller(request)
        self.revocations.check(caller.session)
        try:
            row.admit(caller)
        except Problem as denial:
            telemetry.refusals_total.labels(row.edge, denial.code).inc()
            raise
        # Her own bucket first: what somebody is refused takes nothing out of the one that she shares with everybody.
        if caller.kind != "client":
            self.limiter.subject(row.rate, caller.subject)
        self.limiter.client(row.rate, caller.original_client)
        await check_standing(self.register, caller)
        return caller, auth.bearer(request)

    async def _forward(
        self, row: Row, path: str, token: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            answer = await self.transport.handle_async_request(await self._request(row, path, token, scope, receive))
        except httpx2.LocalProtocolError:
            raise Malformed("A header cannot be passed on.") from None
        except httpx2.TransportError:
            raise Unavailable(f"The {row.service} service does not answer.") from None
        try:
            headers = [(name, value) for name, value in answer.headers.raw if name.lower() not in _NOT_OUTWARDS]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for chunk in answer.stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()

    async def _request(self, row: Row, path: str, token: str | None, scope: Scope, receive: Receive) -> httpx2.Request:
        peer = self.peers.get(row.service)
        if peer is None:
            raise Unavailable(f"The {row.service} service is not installed here.")
        target = row.inner_of(path).encode("latin-1")
        query = scope["query_string"]
        passed = _INWARDS_TO_ISSUER if row.service == "identity" else _INWARDS
        headers = [(name, value) for name, value in scope["headers"] if name in passed]
        headers.append((b"x-request-id", structlog.contextvars.get_contextvars()["request_id"].encode()))
        if row.service == "identity":
            # How often which name was tried from where; written here, so no caller's own header of that name arrives.
            headers.append((b"x-client-address", address_of(scope, self.proxy).encode()))
        if token is not None:
            headers.append((b"authorization", b"Bearer " + token.encode()))
        if parent := telemetry.traceparent():
            headers.append((b"traceparent", parent.encode()))
        return httpx2.Request(
            scope["method"],
            peer.copy_with(raw_path=target + b"?" + query if query else target),
            headers=headers,
            content=await _body(receive),
            extensions={"timeout": _TIMEOUT},
        )

    def _forget(self, session: str | None) -> None:
        self.verifier.forget(session)
        self.exchange.forget(session)

    async def _hears(self) -> bool:
        return self.revocations.fresh()


async def _body(receive: Receive) -> bytes | AsyncIterator[bytes]:
    """Whole when it is little, as nearly all are; else as it comes."""
    body, more, left = b"", True, LONGEST_BODY
    while more and len(body) < LITTLE:
        piece, more, left = await _piece(receive, left)
        body += piece
    return _rest(body, receive) if more else body


async def _rest(first: bytes, receive: Receive) -> AsyncIterator[bytes]:
    yield first
    more, left = True, _GRACE
    while more:
        piece, more, left = await _piece(receive, left)
        left += len(piece) / SLOWEST_BODY
        yield piece


async def _piece(receive: Receive, patience: float) -> tuple[bytes, bool, float]:
    """What came, whether more will, and how much of the patience is left: only while the caller is waited for does it pass."""
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(patience):
            message = await receive()
    except TimeoutError:
        raise Malformed("The body came too slowly.").with_headers({"Connection": "close"}) from None
    if message["type"] == "http.disconnect":
        raise Malformed("The body ended too early.")
    left = patience - (asyncio.get_running_loop().time() - began)
    return message.get("body", b""), message.get("more_body", False), left


def create_app(
    name: str,
    rows: Iterable[Row],
    front: str = "/docs",
    own: Mapping[str, ASGIApp] | None = None,
    dialects: Mapping[str, chassis_app.Dialect] | None = None,
) -> FastAPI:
    edge = Edge(rows, own)
    app = chassis_app.create_app(
        name,
        Settings(),
        clients=None,
        running=edge.running,
        routers=[docs.router(name, front, edge.limit_page)],
        dialects=dialects,
    )
    app.router.redirect_slashes = False
    app.router.default = edge
    document = docs.document(name)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app
