"""What a cache beside a call server holds and follows: one tenant's signed snapshot, and what changed after it."""

import time
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from chassis.auth import Caller, Requires
from chassis.errors import Forbidden
from chassis.ledger import queries as ledger
from chassis.ledger.routes import After, Leaf
from chassis.ledger.sequencer import rung
from services.consent import rules, snapshot
from services.consent.contract import Changes

router = APIRouter()

CacheKeeper = Annotated[Caller, Requires("snapshot.read")]
Wait = Annotated[float, Query(ge=0, le=20)]

TYPES = [
    *(f"consent.{what}" for what in (
        "given", "withdrawn", "requested", "request_deferred", "refused", "revoked", "expired", "invalidated", "unknown",
    )),
    *(f"objection.{what}" for what in ("raised", "lifted", "overruled")),
    "restriction.set", "restriction.lifted", "duty.recorded", "duty.ended", "notice.published",
    "recording.start", "recording.stop", "recording.kept",
]  # fmt: skip
_AT_ONCE = 500


@router.get(
    "/v1/snapshot",
    responses={200: {"description": "JSON lines", "content": {snapshot.MEDIA_TYPE: {"schema": {"type": "string"}}}}},
    response_class=Response,
)
async def read_snapshot(caller: CacheKeeper, request: Request):
    """Every person's standing with one organisation, signed; see `services.consent.edge` for a reader."""
    if caller.tenant is None:
        raise Forbidden("This call names no customer organisation.")
    state = request.app.state
    lines = snapshot.stream(state.database, caller.tenant, state.policy.current(), state.receipt_key)
    return StreamingResponse(lines, media_type=snapshot.MEDIA_TYPE)


@router.get("/v1/changes", response_model=Changes)
async def read_changes(caller: CacheKeeper, request: Request, after: After = 0, leaf: Leaf = None, wait: Wait = 0):
    """What bears on decisions after a position, at once or as soon as there is something."""
    if caller.tenant is None:
        raise Forbidden("This call names no customer organisation.")
    state, until = request.app.state, time.monotonic() + wait
    known = bytes.fromhex(leaf) if leaf else None
    while True:
        turn = state.sequencer.grown.turn(TYPES)
        async with state.database.system() as connection:
            page = await ledger.feed(
                connection,
                state.database.service,
                after=after,
                leaf=known,
                limit=_AT_ONCE,
                types=TYPES,
                tenant=caller.tenant,
            )
        left = until - time.monotonic()
        if page.events or left <= 0 or state.sequencer.grown.silenced or await request.is_disconnected():
            break
        if page.complete:
            await rung(turn, min(left, 1.0))
        after, known = page.next, page.leaf
    book = state.policy.current()
    told = {
        "tenant": str(caller.tenant),
        "items": orjson.Fragment(b"[%b]" % page.items()),
        "next": str(page.next),
        "leaf": page.leaf and page.leaf.hex(),
        "complete": page.complete,
        "policy_version": book.version,
        "policy_rows": rules.rows_of(book),
    }
    return Response(orjson.dumps(told), media_type="application/json")
