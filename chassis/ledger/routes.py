"""The ledger over HTTP: the feed others follow, and everything a verifier needs.

A token that speaks for one tenant sees that tenant's events only (of others' entries the leaf, so that the tree can still be
checked); a token without a tenant, which only the house's own services and auditors get, sees all. What a service declares as `shared`
every tenant sees: facts of the house that concern everybody.
"""

import time
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse
from joserfc.jwk import JWKRegistry
from starlette.responses import Response

from chassis import auth
from chassis.db import Database
from chassis.ledger import queries
from chassis.ledger.contract import Consistency, Entries, Feed, Inclusion
from chassis.ledger.sequencer import Sequencer, rung

EventsReader = Annotated[auth.Caller, auth.Requires("events.read")]
LedgerReader = Annotated[auth.Caller, auth.Requires("ledger.read")]
# Positions are bigint; a larger number would be our error instead of the caller's.
After = Annotated[int, Query(ge=0, lt=2**62, description="the cursor `next` of the page before; 0 is the beginning")]
Leaf = Annotated[
    str | None,
    Query(
        pattern="^[0-9a-f]{64}$", description="of the entry at `after`, as the page before told it: which ledger it was"
    ),
]
Size = Annotated[int, Query(ge=1, lt=2**62)]
Limit = Annotated[int, Query(ge=1, le=500)]

LONGEST_WAIT = 30
_LOOK_AGAIN = 10.0  # seconds after which who waits looks without a ring too, and whether it is still waited for


def ledger_routes() -> APIRouter:
    """The routes of every service with a schema; they find database, sequencer and settings on `app.state`."""
    router = APIRouter(tags=["ledger"])
    router.get("/events", response_model=Feed)(read_events)
    router.get("/ledger/checkpoint", response_class=PlainTextResponse)(read_checkpoint)
    router.get("/ledger/entries", response_model=Entries)(read_entries)
    router.get("/ledger/inclusion/{event_id}", response_model=Inclusion)(prove_inclusion)
    router.get("/ledger/consistency", response_model=Consistency)(prove_consistency)
    router.get("/keys")(public_keys)
    return router


async def read_events(
    request: Request,
    caller: EventsReader,
    after: After = 0,
    leaf: Leaf = None,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="seconds to wait for a first event")] = 0,
    limit: Limit = 100,
    types: Annotated[str | None, Query(description="comma-separated event types; all when absent")] = None,
) -> Response:
    database, sequencer, until = _database(request), _sequencer(request), time.monotonic() + wait
    wanted, known = types.split(",") if types else None, bytes.fromhex(leaf) if leaf else None
    while True:
        turn = sequencer.grown.turn(wanted)
        async with database.system_look() as connection:
            page = await queries.feed(
                connection,
                database.service,
                after=after,
                leaf=known,
                limit=limit,
                types=wanted,
                tenant=caller.tenant,
                shared=_shared(request),
            )
        left = until - time.monotonic()
        if page.events or left <= 0 or sequencer.grown.silenced or await request.is_disconnected():
            return _feed(page)
        if page.next == after:
            await rung(turn, min(left, _LOOK_AGAIN))
        after, known = page.next, page.leaf


async def read_checkpoint(request: Request, _: LedgerReader) -> PlainTextResponse:
    """The newest head: a C2SP tlog-checkpoint, signed with the service's ledger key."""
    async with _database(request).system() as connection:
        return PlainTextResponse(await queries.latest_checkpoint(connection, _database(request).service))


async def read_entries(request: Request, caller: LedgerReader, after: After = 0, limit: Limit = 100) -> Entries:
    async with _database(request).system() as connection:
        found = await queries.entries(
            connection,
            _database(request).service,
            after=after,
            limit=limit,
            tenant=caller.tenant,
            shared=_shared(request),
        )
    return Entries(items=found, next=str(found[-1].position) if len(found) == limit else None)


async def prove_inclusion(request: Request, caller: LedgerReader, event_id: UUID) -> Inclusion:
    async with _database(request).system() as connection:
        return await queries.inclusion(
            connection, _database(request).service, event_id, caller.tenant, _shared(request)
        )


async def prove_consistency(
    request: Request,
    _: LedgerReader,
    old: Annotated[Size, Query(alias="from")],
    new: Annotated[Size, Query(alias="to")],
) -> Consistency:
    async with _database(request).system() as connection:
        return await queries.consistency(connection, _database(request).service, old, new)


async def public_keys(request: Request, _: auth.Anyone) -> dict[str, list[dict[str, Any]]]:
    """A JWKS of what this service signs with, retired keys included: old signatures must stay checkable."""
    return {"keys": _public_keys(request.app.state.settings.secrets_dir)}


@cache
def _public_keys(secrets: Path) -> list[dict[str, Any]]:
    used = [secrets / name for name in ("ledger.jwk", "signing.jwk") if (secrets / name).exists()]
    return [
        JWKRegistry.import_key(orjson.loads(path.read_bytes())).as_dict(private=False)
        for path in [*used, *sorted(secrets.glob("retired/*.jwk"))]
    ]


def _feed(page: queries.Page) -> Response:
    leaf = b'"%b"' % page.leaf.hex().encode() if page.leaf else b"null"
    told = b'{"items":[%b],"next":"%d","leaf":%b}' % (page.items(), page.next, leaf)
    return Response(told, media_type="application/json")


def _database(request: Request) -> Database:
    return request.app.state.database


def _shared(request: Request) -> list[str]:
    return request.app.state.shared


def _sequencer(request: Request) -> Sequencer:
    return request.app.state.sequencer
