"""How every service follows the policy book: each signed version is stored in the service's own schema, chosen by an
instant, and there from the first moment after a restart. A service that has none is unready.

    def upgrade() -> None:
        policy_table(op)                                        # in the service's migration

    async with following_policy(app) as shelf:                  # in its `running`
        ...
    book = shelf.current()                                      # or shelf.at(as_of)

Who executes retention follows what each tenant set for itself too: `tenant_periods_table(op)`, `following_policy(app,
tenants=True)`, and then `book.keep_for(rule, tenant)`.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from alembic.operations import Operations
from fastapi import Depends, FastAPI, Request
from joserfc.jwk import KeySet

from chassis import clock, schema, telemetry
from chassis.client import ServiceClient
from chassis.db import Database
from chassis.durable import PASSING
from chassis.errors import Unavailable
from chassis.trouble import Trouble
from services.registry.contract import (
    CurrentPolicy,
    NotInBook,
    PolicyBook,
    PolicyVersion,
    PolicyVersions,
    SignedTenantPeriods,
    TenantPeriodDocuments,
    TenantPeriods,
)
from services.registry.contract.access import Standing
from services.registry.contract.signed import POLICY, TENANT_PERIODS, NotSigned, opened, stored_payload

_ASK_EVERY = 2.0
_STORED = sa.text("SELECT version, valid_from, known_from, jws FROM policy_version ORDER BY known_from")
_STORE = sa.text(
    "INSERT INTO policy_version (version, valid_from, known_from, jws) "
    "VALUES (:version, :valid_from, :known_from, :jws) ON CONFLICT DO NOTHING"
)
_STORED_PERIODS = "SELECT jws FROM tenant_periods ORDER BY known_from, tenant"
_STORE_PERIODS = "INSERT INTO tenant_periods (tenant, known_from, jws) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"


def policy_table(op: Operations) -> None:
    """The table of signed versions, in the schema that is being migrated. Nobody changes or deletes a row."""
    op.create_table(
        "policy_version",
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("known_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("jws", sa.Text, nullable=False),
    )
    schema.shared_table(op, "policy_version", grants="SELECT, INSERT")
    op.execute(f'GRANT SELECT ON policy_version TO "{schema.service_of(op)}_system"')


def tenant_periods_table(op: Operations) -> None:
    """The table of what tenants set, as signed documents. Nobody changes or deletes a row."""
    op.create_table(
        "tenant_periods",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("known_from", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("jws", sa.Text, nullable=False),
    )
    schema.append_only(op, "tenant_periods")
    schema.system_may(op, "tenant_periods", "SELECT, INSERT")


class RegistryClient(ServiceClient):
    audience = "registry"

    async def current_policy(self) -> CurrentPolicy:
        return await self.ask(CurrentPolicy, "GET", "/v1/policy/current")

    async def policy_versions(self, known_after: datetime | None = None) -> list[PolicyVersion]:
        """Every signed version that the registry learned after an instant, oldest first."""
        query = {"known_after": known_after.isoformat()} if known_after else None
        return (await self.ask(PolicyVersions, "GET", "/v1/policy/versions", query=query)).items

    async def tenant_periods(self, known_after: datetime | None = None) -> list[SignedTenantPeriods]:
        """Every signed document of what tenants set that the registry learned after an instant, oldest first."""
        query = {"known_after": known_after.isoformat()} if known_after else None
        return (await self.ask(TenantPeriodDocuments, "GET", "/v1/policy/tenant-periods", query=query)).items

    async def roles_held(self, person: UUID, organisation: UUID) -> list[str]:
        """The roles at this platform that the access register grants somebody this instant, for one organisation's data."""
        query = {"organisation": str(organisation)}
        return (await self.ask(Standing, "GET", f"/v1/access/standing/{person}", query=query)).roles

    async def keys(self) -> KeySet:
        """The registry's public signature keys, retired ones included."""
        return KeySet.import_key_set(await self.call("GET", "/keys"))


@dataclass(frozen=True, slots=True)
class Held:
    """One verified version. `book` has all its rows; `PolicyShelf` narrows it to a day."""

    version: str
    valid_from: datetime
    known_from: datetime
    book: PolicyBook


class PolicyShelf:
    """Every version of the book that this service has seen, in memory and in its table.

    tenants: whether the documents by which tenants set their own periods are followed too, and stand in each book given out.
    """

    def __init__(self, database: Database, client: RegistryClient, tenants: bool = False) -> None:
        self.database, self.client, self.tenants = database, client, tenants
        self._held: list[Held] = []
        self._periods: list[TenantPeriods] = []
        self._narrowed: dict[tuple[str, date, int], PolicyBook] = {}
        self._now: tuple[datetime, datetime, PolicyBook] | None = None
        self._task: asyncio.Task[None] | None = None
        steps = (self._load, self._fetch, self._fetch_periods)
        self._troubles = {step.__name__: Trouble("policy not followed", step=step.__name__) for step in steps}

    @property
    def ready(self) -> bool:
        return bool(self._held)

    async def start(self) -> None:
        """Begin with what is stored, where the database answers; then follow the registry until `stop`."""
        loaded = await self._tried(self._load)
        self._task = asyncio.create_task(self._follow(loaded), name="policy")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def current(self) -> PolicyBook:
        """The book in force now (business time), with the rows that apply today. Raises Unavailable without one."""
        now = clock.now()
        if self._now is None or not self._now[0] <= now < self._now[1]:
            book = self.at(now)
            self._now = now, self._changes_after(now, book), book
        return self._now[2]

    def _changes_after(self, now: datetime, book: PolicyBook) -> datetime:
        """Until when, as far as is known, the book of `now` is the one in force with the rows that apply."""
        midnight = datetime.combine(now.astimezone(book.tz).date() + timedelta(days=1), time.min, book.tz)
        versions = [instant for held in self._held for instant in (held.valid_from, held.known_from)]
        learned = [*versions, *(document.known_from for document in self._periods)]
        return min([midnight, *(instant for instant in learned if instant > now)])

    def at(self, instant: datetime) -> PolicyBook:
        """The book that was in force at an instant, as it was known then: asking again later answers the same.

        For an instant before the first book was known, the first one that covers it. Raises Unavailable without one.
        """
        found = chosen(self._held, instant)
        day = instant.astimezone(found.book.tz).date()
        known = bisect_right(self._periods, instant, key=lambda document: document.known_from)
        narrowed = self._narrowed.get(key := (found.version, day, known))
        if narrowed is None:
            narrowed = self._narrowed[key] = with_periods(found.book, self._periods[:known]).on(day)
        return narrowed

    def version(self, version: str) -> PolicyBook:
        """One version by its name, with all its rows. Raises NotInBook."""
        for held in self._held:
            if held.version == version:
                return held.book
        raise NotInBook(f"there is no version {version} of the policy book")

    async def _follow(self, loaded: bool) -> None:
        while True:
            loaded = loaded or await self._tried(self._load)
            if loaded:
                await self._tried(self._fetch)
                if self.tenants:
                    await self._tried(self._fetch_periods)
            await asyncio.sleep(_ASK_EVERY if self._held else _ASK_EVERY / 10)

    async def _tried(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except NotSigned as forged:
            telemetry.log().error("a policy book that nobody signed is not followed", exc_info=forged)
            return False
        except PASSING as failure:
            self._troubles[step.__name__].met(failure)
            return False
        self._troubles[step.__name__].over()
        return True

    async def _load(self) -> None:
        """What the table holds was verified before it was stored, so a start needs no registry."""
        async with self.database.engine.connect() as connection:
            rows = (await connection.execute(_STORED)).all()
        for version, valid_from, known_from, signed in rows:
            self._hold(version, valid_from, known_from, PolicyBook.model_validate_json(stored_payload(signed)))
        if self.tenants:
            async with self.database.system() as connection:
                signed = await connection.fetch(_STORED_PERIODS)
            self._periods = [TenantPeriods.model_validate_json(stored_payload(row["jws"])) for row in signed]
            self._now = None

    async def _fetch(self) -> None:
        fresh = await self.client.policy_versions(max((held.known_from for held in self._held), default=None))
        if not fresh:
            return
        keys = await self.client.keys()
        books = [PolicyBook.model_validate_json(opened(row.jws, keys, POLICY)) for row in fresh]
        async with self.database.engine.begin() as connection:
            for row in fresh:
                await connection.execute(_STORE, row.model_dump(include={"version", "valid_from", "known_from", "jws"}))
        for row, book in zip(fresh, books, strict=True):
            self._hold(row.version, row.valid_from, row.known_from, book)

    async def _fetch_periods(self) -> None:
        """The same for what tenants set. A document that came late, or twice, takes its place in the order of knowing."""
        fresh = await self.client.tenant_periods(self._periods[-1].known_from if self._periods else None)
        if not fresh:
            return
        keys = await self.client.keys()
        told = [TenantPeriods.model_validate_json(opened(row.jws, keys, TENANT_PERIODS)) for row in fresh]
        async with self.database.system() as connection:
            await connection.executemany(_STORE_PERIODS, [(row.tenant, row.known_from, row.jws) for row in fresh])
        known = {(one.tenant, one.known_from) for one in self._periods}
        told = [one for one in told if (one.tenant, one.known_from) not in known]
        self._periods = sorted([*self._periods, *told], key=lambda one: one.known_from)
        self._now = None

    def _hold(self, version: str, valid_from: datetime, known_from: datetime, book: PolicyBook) -> None:
        if all(held.version != version for held in self._held):
            self._held.append(Held(version, valid_from, known_from, book))
            self._now = None


def chosen(held: list[Held], instant: datetime) -> Held:
    """The version in force at an instant: the latest that had begun, among those known then."""
    begun = [one for one in held if one.valid_from <= instant]
    known = [one for one in begun if one.known_from <= instant]
    if known:
        return max(known, key=lambda one: (one.valid_from, one.known_from))
    if begun:
        return min(begun, key=lambda one: one.known_from)
    raise Unavailable("No policy book is in force here yet.")


def with_periods(book: PolicyBook, told: Iterable[TenantPeriods]) -> PolicyBook:
    """The book and what tenants set; of each tenant the last document counts, and it says everything."""
    last = {document.tenant: document for document in told}.values()
    periods = tuple(row for document in last for row in document.periods)
    endings = tuple(document.ending for document in last if document.ending)
    return book.model_copy(update={"tenant_periods": periods, "tenant_endings": endings})


@asynccontextmanager
async def following_policy(app: FastAPI, tenants: bool = False) -> AsyncIterator[PolicyShelf]:
    """For a service's `running`: a started shelf at `app.state.policy`, and a readiness check named `policy`."""
    client = RegistryClient(app.state.http, app.state.settings.peers["registry"], app.state.tokens)
    shelf = app.state.policy = PolicyShelf(app.state.database, client, tenants)

    async def in_force() -> bool:
        return shelf.ready

    app.state.ready_when["policy"] = in_force
    await shelf.start()
    try:
        yield shelf
    finally:
        await shelf.stop()


async def current_book(request: Request) -> PolicyBook:
    return request.app.state.policy.current()


CurrentBook = Annotated[PolicyBook, Depends(current_book)]
