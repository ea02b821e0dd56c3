"""The app factory: everything a service has in common, so that its own `app.py` says only what it is.

    def create_app() -> FastAPI:
        return chassis.app.create_app(
            "consent", Settings(), package=__package__, routers=[router], clients={"public", "internal"}, running=running
        )

`running(app)` is an async context manager around the service's life: it may put things on `app.state`, register jobs on
`app.state.jobs` and readiness checks in `app.state.ready_when`. What it finds there already: settings, database, verifier, http
(one pooled httpx2 client), tokens (this process as an OAuth client).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import httpx2
import sqlalchemy.exc
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.telemetry import TelemetryConfig
from joserfc.jwk import ECKey, OKPKey
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import auth, clock, idempotency, ids, plainly, schema, telemetry
from chassis.bodies import BodyReader
from chassis.client import TokenSource, trust
from chassis.db import REST_AFTER, Database
from chassis.durable import PASSING, Jobs
from chassis.errors import (
    PROBLEM_JSON,
    Broken,
    Conflict,
    Invalid,
    Malformed,
    MethodNotAllowed,
    NotFound,
    Problem,
    TooLarge,
    Unavailable,
)
from chassis.ledger.routes import ledger_routes
from chassis.ledger.sequencer import Sequencer
from chassis.settings import Settings

Check = Callable[[], Awaitable[bool]]
Running = Callable[[FastAPI], AbstractAsyncContextManager[None]]
Dialect = Callable[[Request, Problem], Response]

MAX_BODY = 1 << 20
_HEARD_OUT = 8 << 20


def create_app(
    service: str,
    settings: Settings,
    *,
    package: str | None = None,
    routers: Sequence[APIRouter] = (),
    clients: Iterable[str] | None = (),
    running: Running | None = None,
    max_body: int = MAX_BODY,
    shared: Sequence[str] = (),
    dialects: Mapping[str, Dialect] | None = None,
) -> FastAPI:
    """A FastAPI app for one process.

    package: the service's package when it has a schema (an edge has none) · clients: which client ids may call it; empty lets
    nobody in, None means any client of the issuer · max_body: bytes a request may have · shared: types of the house's own events that
    every tenant may see · dialects: how a problem is said at the paths of another standard's API.
    """
    # FastAPI's own telemetry records what failed validation, values included: people's data. Envelope records none.
    no_telemetry: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}
    app = FastAPI(
        title=f"Wardline {service}",
        version="1",
        lifespan=_lifespan,
        openapi_url="/openapi.json" if package else None,  # an edge has a document of its own
        docs_url=None,
        redoc_url=None,
        telemetry=no_telemetry,
    )
    app.state.service, app.state.settings, app.state.package = service, settings, package
    app.state.running, app.state.clients = running, None if clients is None else frozenset(clients)
    app.state.ready_when = {}
    app.state.shared = list(shared)
    app.state.dialects = dialects or {}
    app.state.jobs = Jobs()
    app.include_router(_health)
    if package:
        # Not at the edges: how often whom is refused, and when which route is called, is nobody's outside.
        app.include_router(_metrics)
    for router in routers:
        app.include_router(router)
    if package:
        app.include_router(ledger_routes())
    _answer_problems(app)
    app.add_middleware(Envelope, service=service, max_body=max_body)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def about_to_end(app: FastAPI) -> None:
    """Whoever waits here for an event is answered now: a wait that is cut off would look like a fault, on both sides."""
    if app.state.package:
        app.state.sequencer.grown.silence()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state, settings = app.state, app.state.settings
    telemetry.configure(state.service, settings.otlp_endpoint)
    async with AsyncExitStack() as stack:
        stack.enter_context(clock.shifted_by(settings.clock_file))
        state.http = await stack.enter_async_context(
            httpx2.AsyncClient(
                trust_env=False, verify=trust(), limits=httpx2.Limits(max_connections=200, max_keepalive_connections=50)
            )
        )
        state.tokens = TokenSource(
            state.http,
            client=state.service,
            key=ECKey.import_key(settings.jwk("client")),
            issuer=settings.issuer,
            token_url=f"{settings.peers.get('identity', '')}/token",
        )
        state.verifier = auth.Verifier(
            issuer=settings.issuer, jwks_url=settings.jwks_url, audience=state.service, clients=state.clients
        )
        stack.push_async_callback(state.verifier.close)
        if state.package:
            state.database = Database(settings, state.service, guarded=True)
            stack.push_async_callback(state.database.close)
            await _recognise(state.database)
        # Left before the database is closed: a task that still ran would open connections that nobody closes.
        state.tasks = tasks = await stack.enter_async_context(_cancelled_at_end())
        if state.package:
            state.ready_when["database"] = lambda: _database_ready(state.database, state.package)
            signer = OKPKey.import_key(settings.jwk("ledger")).private_key
            state.sequencer = sequencer = Sequencer(state.database.connect_system, state.service, signer)
            state.database.on_told = sequencer.wake
            tasks.append(_background("sequencer", sequencer.run()))
        if state.running:
            await stack.enter_async_context(state.running(app))
        if state.package:
            state.jobs.every("rest", REST_AFTER, state.database.rest)
            state.jobs.every("idempotency", idempotency.SWEEP_EVERY, partial(idempotency.sweep, state.database))
        if state.jobs:
            tasks.append(_background("jobs", state.jobs.run(state.database)))
        yield


def _background(name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """A task whose death is logged at once and then fails /health/live."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_report_death)
    return task


def _report_death(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (failure := task.exception()):
        telemetry.log().error("background work died", task=task.get_name(), exc_info=failure)


@asynccontextmanager
async def _cancelled_at_end() -> AsyncIterator[list[asyncio.Task[Any]]]:
    tasks: list[asyncio.Task[Any]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _recognise(database: Database) -> None:
    """A process with strange keys does not begin. One whose database is away, or has no schema yet, waits for it, and is asked then."""
    try:
        await database.recognise()
    except PASSING:
        if database.strange:
            raise


async def _database_ready(database: Database, package: str) -> bool:
    await database.recognise()
    async with database.engine.connect() as connection:
        return await schema.at_head(connection, package, database.service)


_health = APIRouter(include_in_schema=False)


@_health.get("/health/live")
async def live(_: auth.Anyone, request: Request) -> JSONResponse:
    """200 while the background work of this process is alive; 503 asks to be restarted."""
    dead = [task.get_name() for task in request.app.state.tasks if task.done()]
    return JSONResponse({"live": not dead, "dead": dead}, 503 if dead else 200)


@_health.get("/health/ready")
async def ready(_: auth.Anyone, request: Request) -> JSONResponse:
    """200 when every check of this process says so, 503 with the names of those that don't."""
    waiting = [name for name, check in request.app.state.ready_when.items() if not await _holds(check)]
    return JSONResponse({"ready": not waiting, "waiting_for": waiting}, 503 if waiting else 200)


_metrics = APIRouter(include_in_schema=False)


@_metrics.get("/metrics")
async def metrics(_: auth.Anyone) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _holds(check: Check) -> bool:
    try:
        return await check()
    except PASSING:
        return False


class Envelope:
    """Around every request: its id, its span, its metric, its size limit. Pure ASGI, since it is on the hot path."""

    def __init__(self, app: ASGIApp, service: str, max_body: int) -> None:
        self.app, self.service, self.max_body = app, service, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = ids.request_id(headers.get("x-request-id", ""))
        began = time.perf_counter()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            with telemetry.span(f"{self.service} {scope['method']}", headers):
                if refusal := self._refused(scope, headers):
                    await plainly.answer(Request(scope), refusal)(scope, receive, answer)
                else:
                    await self.app(scope, self._measured(receive), answer)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            telemetry.requests_total.labels(self.service, scope["method"], route, status).inc()
            telemetry.request_seconds.labels(self.service, scope["method"], route).observe(time.perf_counter() - began)
            structlog.contextvars.unbind_contextvars("request_id")

    def _refused(self, scope: Scope, headers: dict[str, str]) -> Problem | None:
        if b"%00" in scope["query_string"]:
            # No text of PostgreSQL can hold it.
            return Malformed("A parameter holds the character NUL.")
        size = _declared_size(headers)
        return self._too_large(size > self.max_body + _HEARD_OUT) if size > self.max_body else None

    def _measured(self, receive: Receive) -> Receive:
        """Counts what really arrives: a chunked body declares no size."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_body:
                raise self._too_large(await self._goes_on(message, receive))
            return message

        return counted

    async def _goes_on(self, message: Message, receive: Receive) -> bool:
        """Whether more comes than is heard out. A little too much is read to its end and thrown away, or whoever still speaks would
        miss the answer."""
        left = _HEARD_OUT
        while message.get("more_body") and left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
        return bool(message.get("more_body"))

    def _too_large(self, goes_on: bool) -> TooLarge:
        refusal = TooLarge(f"At most {self.max_body} bytes are read.")
        # Or the server would go on taking it in, for as long as it comes.
        return refusal.with_headers({"Connection": "close"}) if goes_on else refusal


def _declared_size(headers: dict[str, str]) -> int:
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def _answer_problems(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> Response:
        return plainly.answer(request, problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, faults: RequestValidationError) -> Response:
        # Only path, query and header parameters come this way; bodies are read by chassis.bodies.
        errors = [{"path": ".".join(map(str, fault["loc"])), "problem": fault["msg"]} for fault in faults.errors()]
        return plainly.answer(request, Invalid("A parameter has a fault; see errors.", errors=errors))

    @app.exception_handler(HTTPException)
    async def http(request: Request, told: HTTPException) -> Response:
        kind = {404: NotFound, 405: MethodNotAllowed}.get(told.status_code, Malformed)
        return plainly.answer(request, kind())

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _hung_up: ClientDisconnect) -> Response:
        # Nobody reads this; without it, every caller that hangs up would stand in the log as a fault of ours.
        return Malformed("The body ended too early.").response()

    @app.exception_handler(Exception)
    async def unexpected(request: Request, failure: Exception) -> Response:
        return plainly.answer(request, broken(failure))

    for kind in PASSING:
        if kind is not Problem:
            app.add_exception_handler(kind, _troubled)


async def _troubled(request: Request, failure: Exception) -> Response:
    return plainly.answer(request, database_trouble(failure))


def broken(failure: Exception) -> Problem:
    """A fault of ours: a bare 500, and what it was in the log."""
    telemetry.log().error("unexpected", error=type(failure).__name__, exc_info=failure)
    return Broken()


def database_trouble(failure: Exception) -> Problem:
    """A database that is away answers 503, a row two callers fought over 409; anything else of it is ours and a bare 500."""
    cause = failure.orig.__cause__ if isinstance(failure, sqlalchemy.exc.DBAPIError) and failure.orig else failure
    if isinstance(cause, (asyncpg.UniqueViolationError, asyncpg.SerializationError, asyncpg.DeadlockDetectedError)):
        return Conflict("Somebody else changed this at the same moment; read it again.")
    if isinstance(cause, _AWAY) or isinstance(failure, sqlalchemy.exc.TimeoutError):
        return Unavailable()
    if isinstance(cause, _CLOSED) and isinstance(failure, sqlalchemy.exc.DBAPIError) and failure.statement is None:
        return Unavailable()
    return broken(failure)


_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # A pooled connection to which the server said its last words while nobody listened.
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
# To whoever connects, while an operator restores it; of a statement they would be faults of ours.
_CLOSED = (asyncpg.ObjectNotInPrerequisiteStateError, asyncpg.InvalidCatalogNameError)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, completed by the bodies that `chassis.bodies` reads and the one shape of every refusal."""
    if app.openapi_schema:
        return app.openapi_schema
    document = FastAPI.openapi(app)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM_SCHEMA
    for route in api_routes(app):
        for method in route.methods if route.include_in_schema else ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {
                "description": "Refused",
                "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            if model := body_of(route):
                described = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(described.pop("$defs", {}))
                schemas[model.__name__] = described
                reference = {"$ref": f"#/components/schemas/{model.__name__}"}
                operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return document


_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457; `code` is stable, `detail` is written for people and holds no personal data",
    "required": ["title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
}


def api_routes(app: FastAPI) -> list[APIRoute]:
    """Every route the app answers, included routers' too."""
    contexts = iter_route_contexts(app.routes)
    return [context.original_route for context in contexts if isinstance(context.original_route, APIRoute)]


def body_of(route: APIRoute) -> Any:
    """The model a route reads by `Body[…]`, or None."""
    readers = [need.call for need in route.dependant.dependencies if isinstance(need.call, BodyReader)]
    return readers[0].model if readers else None
