"""What the registry's routes share: who may ask, about which instant, and in whose transaction the house's own facts change."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query, Request
from joserfc.jwk import OKPKey
from pydantic import AwareDatetime, Field

from chassis import auth, clock, idempotency
from chassis.db import Database, Transaction
from chassis.errors import NotFound
from services.registry.contract import HOUSE, PolicyBook, PolicyVersion
from services.registry.queries import access
from services.registry.queries.book import book_of_today, versions

PolicyReader = Annotated[auth.Caller, auth.Requires("policy.read")]
PolicyWriter = Annotated[auth.Caller, auth.Requires("policy.propose")]
PolicyApprover = Annotated[auth.Caller, auth.Requires("policy.approve")]
PolicyDecider = Annotated[auth.Caller, auth.Requires("policy.propose", "policy.approve")]
RegistryReader = Annotated[auth.Caller, auth.Requires("registry.read")]
RegistryWriter = Annotated[auth.Caller, auth.Requires("registry.write")]
Exporter = Annotated[auth.Caller, auth.Requires("registry.export")]

# The calendar's own ends cannot be moved to another zone.
Instant = Annotated[AwareDatetime, Field(ge=datetime(1900, 1, 1, tzinfo=UTC), le=datetime(2900, 1, 1, tzinfo=UTC))]
AsOf = Annotated[Instant | None, Query(description="the instant the rules are asked for; now when absent")]
KnownAt = Annotated[Instant | None, Query(description="as the registry knew it then; now when absent")]


async def _house_transaction(request: Request) -> AsyncIterator[Transaction]:
    async with database(request).transaction(HOUSE) as tx:
        yield tx


HouseTx = Annotated[Transaction, Depends(_house_transaction, scope="function")]


async def _house_once(tx: HouseTx, sent: idempotency.Sent) -> idempotency.Idempotent:
    return idempotency.Idempotent(tx, sent)


HouseOnce = Annotated[idempotency.Idempotent, Depends(_house_once, scope="function")]


async def _current_book(request: Request) -> PolicyBook:
    return await book_of_today(database(request))


# Named before HouseTx, so that the book is read before a transaction is open.
CurrentBook = Annotated[PolicyBook, Depends(_current_book)]


async def _versions(request: Request) -> list[PolicyVersion]:
    return await versions(database(request))


# Every signed version, for what is judged by the book of its own time. Named before HouseTx, too.
Versions = Annotated[list[PolicyVersion], Depends(_versions)]


async def of_the_operator(request: Request, caller: Annotated[auth.Caller, Depends(auth.current_caller)]) -> None:
    """A customer organisation's own auditor has no business in the operator's registers: for her they do not exist."""
    if not await is_of_the_operator(database(request), caller):
        raise NotFound


async def is_of_the_operator(database: Database, caller: auth.Caller) -> bool:
    async with database.system() as connection:
        return caller.tenant in await access.managing(connection, clock.now())


def instants(as_of: datetime | None, known_at: datetime | None) -> tuple[datetime, datetime]:
    now = clock.now()
    return as_of or now, known_at or now


def database(request: Request) -> Database:
    return request.app.state.database


def signing_key(request: Request) -> OKPKey:
    return request.app.state.signing_key
