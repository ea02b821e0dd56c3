"""What the routes have in common: who may call, what stands in a path, and what an answer waits for."""

from functools import partial
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import Path, Query, Request
from starlette.responses import Response

from chassis.auth import Caller, Requires
from chassis.contract import Moment
from chassis.db import Transaction
from chassis.errors import Forbidden, NotFound
from services.consent import queries
from services.consent.commands.desk import Desk

ConsentReader = Annotated[Caller, Requires("consent.read")]
ConsentWriter = Annotated[Caller, Requires("consent.write")]
NoticePublisher = Annotated[Caller, Requires("notice.publish")]

Key = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Version = Annotated[int, Path(ge=1, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=500)]
AsOf = Annotated[Moment | None, Query()]


def desk(request: Request, caller: Caller) -> Desk:
    state = request.app.state
    return Desk(state.policy.current(), state.receipt_key, state.settings.issuer, caller)


def not_by_herself(caller: Caller) -> None:
    if caller.principal is not None:
        raise NotFound


def not_a_person(caller: Caller) -> None:
    """For what the operator's own systems and staff do."""
    if caller.principal is not None:
        raise Forbidden("This is not for a person herself.")


async def speaks_for(tx: Transaction, caller: Caller, principal: UUID | None) -> UUID:
    """Whom the call is about: herself, whom staff and systems name, or the child whose guardian calls."""
    if caller.principal is not None and principal not in (None, caller.principal):
        if caller.principal in await queries.guardians(tx, principal):
            return principal
    return caller.own(principal)


def effective_everywhere(request: Request, tx: Transaction, reply: Response) -> Response:
    """Before the answer goes out, also when it is an old answer said again: the first may have been cut off while waiting."""
    for event in events_of(reply):
        tx.after_commit(partial(request.app.state.barrier.passed, event))
    return reply


def events_of(reply: Response) -> list[UUID]:
    """The ledger's entries that an answer tells of."""
    said = orjson.loads(reply.body)
    return [UUID(each["event"]) for each in said.get("objections", [said])]
