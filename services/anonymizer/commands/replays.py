"""A store that comes back from a backup brings back whom we erased: they are erased again before the store is opened.

Each finished erasure leaves marks: keyed indexes of what the person was known by, each with its period, and no value. They stay for
as long as backups may exist, also of somebody who was forgotten. A store whose own journal does not know a finished step was
restored to a time before it; its values are then indexed one by one until the marks are found, and the very same step runs again,
for what is older than the erasure. A store that does not answer stays closed; the others open.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy.exc import SQLAlchemyError

from chassis import clock, telemetry
from chassis.db import Database, Transaction
from chassis.errors import Problem
from chassis.sealing import Sealer
from chassis.trouble import Trouble
from services.anonymizer.commands import backups
from services.anonymizer.contract import ErasureReplayed, IdentifierType, Scope, StepRequest
from services.anonymizer.holds import Holds
from services.anonymizer.house import House
from services.anonymizer.rules.person import Known, Person
from services.registry.client import PolicyShelf
from services.registry.contract import PolicyBook

_PAUSE = 1.0
_NOT_YET = (Problem, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError)
_LEAVE = """
INSERT INTO replay (tenant, step, principal, store, scope, marks, erased_at, until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"""
_STORES = "SELECT store, array_agg(step) AS steps FROM replay WHERE until > $1 GROUP BY store"
_ERASED = "SELECT * FROM replay WHERE step = ANY($1) ORDER BY erased_at, step"
_OVER = "DELETE FROM replay WHERE until <= $1"


async def leave_marks(
    tx: Transaction, sealer: Sealer, step: UUID, wish: StepRequest, person: Person, book: PolicyBook
) -> None:
    """In the transaction that notes an erasure as done: what it takes to find the person in a backup."""
    now = clock.now()
    marks = [
        {
            "type": known.type.value,
            "index": _index(sealer, tx.tenant, known.type, known.value),
            "from": known.from_.isoformat() if known.from_ else None,
            "to": known.to.isoformat() if known.to else None,
        }
        for known in person.known
    ]
    until = backups.until(book, now)
    scope = wish.scope.model_dump_json() if wish.scope else None
    kept = (tx.tenant, step, wish.principal, wish.store, scope, orjson.dumps(marks).decode(), now, until)
    await tx.connection.execute(_LEAVE, *kept)


@dataclass
class Replays:
    """`run` until every store that answers is as it was when its last erasure was done."""

    database: Database
    house: House
    sealer: Sealer
    holds: Holds
    policy: PolicyShelf
    looked: bool = False

    async def run(self) -> None:
        trouble = Trouble("stores stay closed")
        while True:
            try:
                for store in sorted(self.house.closed):
                    await self._brought_up_to_date(store)
            except _NOT_YET as failure:
                # Holds, the book or our own tables cannot be read yet: nothing is erased, and nothing opened.
                trouble.met(failure)
            else:
                trouble.over()
                self.looked = True
                if not self.house.closed:
                    return
            await asyncio.sleep(_PAUSE)

    async def ready(self) -> bool:
        return self.looked

    async def _brought_up_to_date(self, store: str) -> None:
        async with self.database.system() as connection:
            await connection.execute(_OVER, clock.now())
            steps = {row["store"]: set(row["steps"]) for row in await connection.fetch(_STORES, clock.now())}
        connector = self.house.connectors[store]
        if asked := steps.get(store):
            try:
                lost = asked - await connector.remembers(asked)
            except Problem as trouble:
                telemetry.log().warning("a store does not answer and stays closed", store=store, problem=trouble.code)
                return
            if lost:
                await self._again(store, lost)
        self.house.closed.discard(store)

    async def _again(self, store: str, steps: set[UUID]) -> None:
        connector = self.house.connectors[store]
        async with self.database.system() as connection:
            rows = await connection.fetch(_ERASED, list(steps))
        erasures = [Erased.of(row) for row in rows]
        wanted = {(one.tenant, type): set[str]() for one in erasures for type in one.types()}
        for one in erasures:
            for type in one.types():
                wanted[one.tenant, type] |= {mark["index"] for mark in one.marks if mark["type"] == type}
        found: dict[tuple[UUID, str, str], str] = {}
        async for type, value in connector.values():
            for (tenant, of_type), indexes in wanted.items():
                index = _index(self.sealer, tenant, type, value) if of_type == type.value else ""
                if index in indexes:
                    found[tenant, of_type, index] = value
        for one in erasures:
            await self._erase(store, one, one.person(found))

    async def _erase(self, store: str, erased: "Erased", person: Person) -> None:
        connector, book = self.house.connectors[store], self.policy.current()
        terms = await self.house.terms(book, clock.now(), await connector.invoices(person))
        effect = await connector.erase(erased.step, person, terms, self.holds, erased.scope)
        await self.holds.settle(erased.step, store, effect.preserved)
        async with self.database.transaction(erased.tenant) as tx:
            told = ErasureReplayed(step=erased.step, store=store, outcomes=effect.outcomes)
            await tx.emit("erasure.replayed", told.model_dump(mode="json"), subject=erased.principal)


@dataclass(frozen=True)
class Erased:
    tenant: UUID
    step: UUID
    principal: UUID
    scope: Scope | None
    marks: list[dict[str, Any]]
    at: datetime

    @classmethod
    def of(cls, row) -> Self:
        scope = Scope.model_validate(row["scope"]) if row["scope"] else None
        return cls(row["tenant"], row["step"], row["principal"], scope, row["marks"], row["erased_at"])

    def types(self) -> set[str]:
        return {mark["type"] for mark in self.marks}

    def person(self, found: dict[tuple[UUID, str, str], str]) -> Person:
        """Whom the marks are of, until the moment they were erased: what came later is not undone."""
        known = [
            Known(
                IdentifierType(mark["type"]),
                found[self.tenant, mark["type"], mark["index"]],
                datetime.fromisoformat(mark["from"]) if mark["from"] else None,
                min(self.at, datetime.fromisoformat(mark["to"])) if mark["to"] else self.at,
            )
            for mark in self.marks
            if (self.tenant, mark["type"], mark["index"]) in found
        ]
        return Person(self.principal, self.tenant, tuple(known))


def _index(sealer: Sealer, tenant: UUID, type: IdentifierType, value: str) -> str:
    """Another index than the one people are found by: nobody is known by it."""
    return sealer.blind_index(tenant, f"erased {type.value}", value).hex()
