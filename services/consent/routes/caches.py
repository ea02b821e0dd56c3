"""What a cache beside a call server holds and follows: one tenant's signed snapshot, and what changed after it."""

import time
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from chassis.auth import Caller, Requires
from chassis.errors import Forbidden
from chassis.ledger import queries as ledger
from chassis.ledger.sequencer import rung
from services.consent import snapshot
from services.consent.contract import Changes, PositionUnknown

router = APIRouter()

CacheKeeper = Annotated[Caller, Requires("snapshot.read")]
After = Annotated[int, Query(ge=0, lt=2**62)]
Leaf = Annotated[
    str | None,
    Query(pattern="^[0-9a-f]{64}$", description="of the entry at `after`, as the page or the snapshot before told it"),
]
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
        turn = state.sequencer.grown.turn()
        async with state.database.system() as connection:
            found, next_ = await ledger.feed(
                connection, state.database.service, after=after, limit=_AT_ONCE, types=TYPES, tenant=caller.tenant
            )
            head = await ledger.head(connection, state.database.service)
            here, at_next = await ledger.leaves(connection, state.database.service, after, next_)
        if after > head or (known is not None and here != known):
            # A database that came back from a backup: whoever knows more than the ledger, or another entry, knows what never happened.
            raise PositionUnknown
        complete = next_ >= head
        left = until - time.monotonic()
        if found or left <= 0 or state.sequencer.grown.silenced or await request.is_disconnected():
            break
        if complete:
            await rung(turn, min(left, 1.0))
        after, known = next_, at_next
    items = b",".join(b'{"position":%d,' % position + body[1:] for position, body in found)
    book = state.policy.current()
    told = {
        "items": orjson.Fragment(b"[%b]" % items),
        "next": str(next_),
        "leaf": at_next and at_next.hex(),
        "complete": complete,
        "policy_version": book.version,
        "policy_rows": snapshot.rows_of(book),
    }
    return Response(orjson.dumps(told), media_type="application/json")
