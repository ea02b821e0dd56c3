"""How every service follows the policy book: each signed version is stored in the service's own schema, chosen by an
instant, and there from the first moment after a restart. A service that has none is unready. It waits at the registry's feed, and
fetches what is new when something was told there.

A registry that came back from an older backup has lost versions that two people approved. They stay in force here, which is told
until the registry learns one of them again, or a new one comes into force: a backup decides nothing (decision 0026).

    def upgrade() -> None:
        policy_table(op)                                        # in the service's migrations
        policy_versions_may_be_lost(op)

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
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from alembic.operations import Operations
from fastapi import Depends, FastAPI, Request
from joserfc.jwk import KeySet
from pydantic import ValidationError

from chassis import clock, schema, telemetry
from chassis.client import Cursor, ServiceClient
from chassis.db import Database
from chassis.durable import PASSING
from chassis.errors import Unavailable
from chassis.ledger.contract import PositionUnknown
from chassis.trouble import Trouble
from services.registry.contract import (
    PolicyBook,
    PolicyVersions,
    TenantPeriodDocuments,
    TenantPeriods,
)
from services.registry.contract.access import Standing
from services.registry.contract.signed import POLICY, TENANT_PERIODS, NotSigned, opened, stored_payload

# Seconds after which a registry that did not answer is asked again, and one that told of nothing new.
_ASK_AGAIN, _WAIT = 2.0, 20.0
_TOLD_BY = ("policy.in_force", "policy.tenant_periods")
_STORED = sa.text("SELECT version, valid_from, known_from, jws, lost FROM policy_version ORDER BY known_from")
_STORE = sa.text(
    "INSERT INTO policy_version (version, valid_from, known_from, jws) "
    "VALUES (:version, :valid_from, :known_from, :jws) ON CONFLICT DO NOTHING"
)
_MARK = sa.text("UPDATE policy_version SET lost = :lost WHERE version = :version AND known_from = :known_from")
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


def policy_versions_may_be_lost(op: Operations) -> None:
    """What the registry has lost is marked; the next book that it learns may bear the same name."""
    op.add_column("policy_version", sa.Column("lost", sa.Boolean, nullable=False, server_default="false"))
    op.drop_constraint("policy_version_pkey", "policy_version")
    op.create_primary_key("policy_version_pkey", "policy_version", ["version", "known_from"])
    op.execute(f'GRANT UPDATE (lost) ON policy_version TO "{schema.service_of(op)}"')


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

    async def policy_versions(self, known_after: datetime | None = None) -> PolicyVersions:
        """Every signed version that the registry learned after an instant, oldest first."""
        query = {"known_after": known_after.isoformat()} if known_after else None
        return await self.ask(PolicyVersions, "GET", "/v1/policy/versions", query=query)

    async def tenant_periods(self, known_after: datetime | None = None) -> TenantPeriodDocuments:
        """Every signed document of what tenants set that the registry learned after an instant, oldest first."""
        query = {"known_after": known_after.isoformat()} if known_after else None
        return await self.ask(TenantPeriodDocuments, "GET", "/v1/policy/tenant-periods", query=query)

    async def roles_held(self, person: UUID, organisation: UUID) -> list[str]:
        """The roles at this platform that the access register grants somebody this instant, for one organisation's data."""
        query = {"organisation": str(organisation)}
        return (await self.ask(Standing, "GET", f"/v1/access/standing/{person}", query=query)).roles

    async def keys(self) -> KeySet:
        """The registry's public signature keys, retired ones included."""
        return KeySet.import_key_set(await self.call("GET", "/keys"))


@dataclass(frozen=True, slots=True)
class Held:
    """One verified version. `book` has all its rows; `PolicyShelf` narrows it to a day · lost: the registry has it no more."""

    version: str
    valid_from: datetime
    known_from: datetime
    book: PolicyBook
    lost: bool = False

    @property
    def key(self) -> tuple[str, datetime]:
        return self.version, self.known_from


class LostByRegistry(Exception):
    """What the registry signed once is in force here, and the registry does not have it."""


class PolicyShelf:
    """Every version of the book that this service has seen, in memory and in its table.

    tenants: whether the documents by which tenants set their own periods are followed too, and stand in each book given out.
    """

    def __init__(self, database: Database, client: RegistryClient, tenants: bool = False) -> None:
        self.database, self.client, self.tenants = database, client, tenants
        self._held: list[Held] = []
        self._periods: list[TenantPeriods] = []
        self._lost_periods: set[tuple[UUID, datetime]] = set()
        self._narrowed: dict[tuple[tuple[str, datetime], date, int], PolicyBook] = {}
        self._now: tuple[datetime, datetime, PolicyBook] | None = None
        self._heard: Cursor | None = None
        self._task: asyncio.Task[None] | None = None
        self._steps = (self._hear, self._fetch, self._fetch_periods) if tenants else (self._hear, self._fetch)
        names = [step.__name__ for step in (self._load, *self._steps)]
        self._troubles = {name: Trouble("policy not followed", step=name) for name in names}
        self._loss = Trouble("the registry has lost policy that is in force here; propose it again, or another book")

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
        narrowed = self._narrowed.get(key := (found.key, day, known))
        if narrowed is None:
            narrowed = self._narrowed[key] = with_periods(found.book, self._periods[:known]).on(day)
        return narrowed

    async def _follow(self, loaded: bool) -> None:
        while True:
            loaded = loaded or await self._tried(self._load)
            # All of them: who cannot hear asks none the less.
            followed = loaded and all([await self._tried(step) for step in self._steps])
            if loaded:
                self._tell_loss()
            if not followed:
                self._heard = None
                await asyncio.sleep(_ASK_AGAIN if self._held else _ASK_AGAIN / 10)

    async def _tried(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except NotSigned as forged:
            telemetry.log().error("a policy book that nobody signed is not followed", exc_info=forged)
            return False
        except (*PASSING, ValidationError) as failure:
            # A book that only newer code can read waits for it; what is held stays in force.
            self._troubles[step.__name__].met(failure)
            return False
        self._troubles[step.__name__].over()
        return True

    async def _load(self) -> None:
        """What the table holds was verified before it was stored, so a start needs no registry."""
        async with self.database.engine.connect() as connection:
            rows = (await connection.execute(_STORED)).all()
        for version, valid_from, known_from, signed, lost in rows:
            book = PolicyBook.model_validate_json(stored_payload(signed))
            self._hold(Held(version, valid_from, known_from, book, lost))
        if self.tenants:
            async with self.database.system() as connection:
                signed = await connection.fetch(_STORED_PERIODS)
            self._periods = [TenantPeriods.model_validate_json(stored_payload(row["jws"])) for row in signed]
            self._now = None

    async def _hear(self) -> None:
        """Waits until there may be something new. A registry that came back from a backup has another ledger; and since what is fetched
        next is compared with what is held, nothing rests on the feed but how soon that is."""
        try:
            at, wait = self._heard or (0, None), _WAIT if self._heard else 0
            _, self._heard = await self.client.events(at, wait=wait, limit=500, types=_TOLD_BY)
        except PositionUnknown:
            self._heard = None

    async def _fetch(self) -> None:
        """What is new. If the registry has not as many older ones as are held of it, all it has is compared."""
        had = [one for one in self._held if not one.lost]
        there = await self.client.policy_versions(max((one.known_from for one in had), default=None))
        lost = {one.key for one in self._held if one.lost}
        if there.before != len(had):
            there, lost = await self.client.policy_versions(), {one.key for one in self._held}
        lost -= {(row.version, row.known_from) for row in there.items}
        held = {one.key for one in self._held}
        fresh = [row for row in there.items if (row.version, row.known_from) not in held]
        changed = [one for one in self._held if one.lost != (one.key in lost)]
        if not fresh and not changed:
            return
        keys = await self.client.keys()
        books = [PolicyBook.model_validate_json(opened(row.jws, keys, POLICY)) for row in fresh]
        async with self.database.engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
            for row in fresh:
                await connection.execute(_STORE, row.model_dump(include={"version", "valid_from", "known_from", "jws"}))
            for one in changed:
                marked = {"version": one.version, "known_from": one.known_from, "lost": not one.lost}
                await connection.execute(_MARK, marked)
        self._held = [replace(one, lost=one.key in lost) for one in self._held]
        self._now = None
        for row, book in zip(fresh, books, strict=True):
            self._hold(Held(row.version, row.valid_from, row.known_from, book))

    async def _fetch_periods(self) -> None:
        """The same for what tenants set. A document that came late, or twice, takes its place in the order of knowing."""
        had = [one.known_from for one in self._periods if (one.tenant, one.known_from) not in self._lost_periods]
        there = await self.client.tenant_periods(had[-1] if had else None)
        known = {(one.tenant, one.known_from) for one in self._periods}
        lost = self._lost_periods
        if there.before != len(had):
            there, lost = await self.client.tenant_periods(), known
        self._lost_periods = lost - {(row.tenant, row.known_from) for row in there.items}
        fresh = [row for row in there.items if (row.tenant, row.known_from) not in known]
        if not fresh:
            return
        keys = await self.client.keys()
        told = [TenantPeriods.model_validate_json(opened(row.jws, keys, TENANT_PERIODS)) for row in fresh]
        async with self.database.system() as connection:
            await connection.executemany(_STORE_PERIODS, [(row.tenant, row.known_from, row.jws) for row in fresh])
        self._periods = sorted([*self._periods, *told], key=lambda one: one.known_from)
        self._now = None

    def _hold(self, one: Held) -> None:
        if all(held.key != one.key for held in self._held):
            self._held.append(one)
            self._now = None

    def _tell_loss(self) -> None:
        now = clock.now()
        lost = [f"version {one.version}" for one in self._held if one.lost and not outlived(one, self._held, now)]
        last = {document.tenant: document.known_from for document in self._periods}
        lost += [f"what organisation {key[0]} set" for key in last.items() if key in self._lost_periods]
        if lost:
            self._loss.met(LostByRegistry(", ".join(lost)))
        else:
            self._loss.over()


def chosen(held: list[Held], instant: datetime) -> Held:
    """The version in force at an instant: the latest that had begun, among those known then.

    Where a lost one goes on, it was known last: the registry has learned nothing since but what it knew before.
    """
    begun = [one for one in held if one.valid_from <= instant and not outlived(one, held, instant)]
    last = max((one.known_from for one in begun if one.lost and one.known_from <= instant), default=instant)
    known = [one for one in begun if one.known_from <= last]
    if known:
        return max(known, key=lambda one: (one.valid_from, one.known_from))
    if begun:
        return min(begun, key=lambda one: one.known_from)
    raise Unavailable("No policy book is in force here yet.")


def outlived(one: Held, held: list[Held], instant: datetime) -> bool:
    """Whether a lost version has ended: people approved it again since, or a book that was unknown when it came is in force.

    What was known before it, and stands in a backup or in the file of a new house, decides nothing about it.
    """
    if not one.lost:
        return False
    since = [two for two in held if one.known_from < two.known_from <= instant and two.valid_from <= instant]
    older = [two.book for two in held if two.known_from < one.known_from]
    return any(not two.lost and two.book not in older for two in since)


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
