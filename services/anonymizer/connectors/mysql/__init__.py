"""The connector to MariaDB and MySQL: each table is read by indexed SQL, decided row by row, and changed by key.

Tables are done in the order in which rows can go, so that a row is found through the one it hangs on while that is still there. A
window of keys is a piece, and a transaction of its own; the intent beside it makes the whole happen once.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from uuid import UUID, uuid5

import orjson

from chassis.aside import aside
from services.anonymizer.connectors.files import Files
from services.anonymizer.connectors.files.journal import Plan
from services.anonymizer.connectors.guard import Guard
from services.anonymizer.connectors.mysql.rows import Database, Rows, Within
from services.anonymizer.connectors.ndjson import end_line
from services.anonymizer.connectors.outcomes import Effect, Piece, Verification
from services.anonymizer.contract import (
    Change,
    Correction,
    DisclosureRequest,
    Expected,
    IdentifierType,
    Outcome,
    Scope,
    StoreVerb,
    Verb,
)
from services.anonymizer.datamap import DataMapFault, Store
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.joins import Sighting
from services.anonymizer.rules.person import Known, Person
from services.anonymizer.settings import Settings
from services.anonymizer.text.vocabularies import KnownPeople
from services.registry.contract import PolicyBook


class MySQL:
    verbs: frozenset[StoreVerb] = Files.verbs

    def __init__(self, store: Store, settings: Settings) -> None:
        """Raises DataMapFault."""
        if not (store.location.database and store.location.folder):
            raise DataMapFault(f"{store.store}: needs a database, and a folder for what is planned and preserved")
        self.store, self.database = store, Database(store, settings)
        self.folder = settings.folder(store.location.folder)
        for name in store.order:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.tables = self._tables(self.database)

    def _tables(self, database: Database) -> dict[str, Files]:
        return {
            name: Files.of_table(self.store, name, self.folder / name, Rows(database, self.store, name))
            for name in self.store.order
        }

    def collect(self, people: Sequence[Person], book: PolicyBook, portable: bool) -> AsyncGenerator[bytes]:
        return _one_stream([table.collect(people, book, portable) for table in self.tables.values()])

    def disclose(
        self, known: Known, person: Person, wish: DisclosureRequest, book: PolicyBook
    ) -> AsyncGenerator[bytes]:
        return _one_stream([table.disclose(known, person, wish, book) for table in self.tables.values()])

    async def invoices(self, person: Person) -> set[int]:
        return set().union(*[await table.invoices(person) for table in self.tables.values()])

    async def preview(
        self,
        person: Person,
        terms: Terms,
        scope: Scope | None,
        of: Verb = Verb.erase,
        changes: Sequence[Correction] = (),
    ) -> list[Outcome]:
        found = [await table.preview(person, terms, scope, of, changes) for table in self.tables.values()]
        return [one for each in found for one in each]

    async def erase(self, step: UUID, person: Person, terms: Terms, guard: Guard, scope: Scope | None) -> Effect:
        return await self._each(step, lambda table, own: table.erase(own, person, terms, guard, scope))

    async def correct(self, step: UUID, person: Person, terms: Terms, changes: list[Correction]) -> Effect:
        """In one transaction: what one column takes and another refuses is put right in none. Each table's plan is carried out by way of
        the next one's, and the last does all: so everything is planned before, and noted as done only after, the one commit."""

        def carry_out(plans: dict[str, Plan], left: list[str]) -> None:
            if not left:
                self._put_right(step, plans, person)
                return
            name, *rest = left
            self.tables[name].corrected(
                uuid5(step, name), person, terms, changes, lambda plan: carry_out(plans | {name: plan}, rest)
            )

        async def correct(table: Files, own: UUID) -> Effect:
            after = self.store.order[self.store.order.index(table.name) + 1 :]
            return await table.correct(own, person, terms, changes, lambda plan: carry_out({table.name: plan}, after))

        return await self._each(step, correct)

    def _put_right(self, step: UUID, plans: dict[str, Plan], person: Person) -> None:
        with self.database.changing() as connection:
            tables = self._tables(Within(self.database, connection))
            for name, plan in plans.items():
                tables[name].put_right(uuid5(step, name), plan, person)

    async def freeze(self, step: UUID, person: Person, terms: Terms) -> Effect:
        return await self._each(step, lambda table, own: table.freeze(own, person, terms))

    async def unfreeze(self, step: UUID, person: Person, terms: Terms) -> Effect:
        return await self._each(step, lambda table, own: table.unfreeze(own, person, terms))

    async def verify(self, person: Person, terms: Terms, scope: Scope | None) -> Verification:
        found = [await table.verify(person, terms, scope) for table in self.tables.values()]
        return Verification([finding for one in found for finding in one.findings])

    async def simulate(self, terms: Terms) -> list[Expected]:
        return [one for table in self.tables.values() for one in await table.simulate(terms)]

    async def compare(self, terms: Terms, proposed: Terms) -> list[Change]:
        return [one for table in self.tables.values() for one in await table.compare(terms, proposed)]

    async def sweep(self, sweep: UUID, terms: Terms, guard: Guard, known: KnownPeople) -> AsyncIterator[Piece]:
        for name, table in self.tables.items():
            async for piece in table.sweep(uuid5(sweep, name), terms, guard, known):
                yield piece

    async def held_for(self, tenant: UUID, book: PolicyBook) -> int:
        return sum([await table.held_for(tenant, book) for table in self.tables.values()])

    def give_back(self, tenant: UUID, book: PolicyBook) -> AsyncGenerator[bytes]:
        whole = _one_stream([table.give_back(tenant, book) for table in self.tables.values()])
        return aside(whole, self.database.settings.home)  # the server ends a connection from which nothing is taken

    async def release(self, hold: UUID) -> int:
        return sum([await table.release(hold) for table in self.tables.values()])

    async def discover(self) -> dict[str, dict[str, list[str]]]:
        return await asyncio.to_thread(self.database.discover)

    async def remembers(self, steps: set[UUID]) -> set[UUID]:
        """By each table's journal, which lies beside the database: it is restored with it, or not at all."""
        known = [await table.remembers({uuid5(step, name) for step in steps}) for name, table in self.tables.items()]
        return {
            step
            for step in steps
            if all(uuid5(step, name) in seen for name, seen in zip(self.tables, known, strict=True))
        }

    async def values(self) -> AsyncIterator[tuple[IdentifierType, str]]:
        for table in self.tables.values():
            async for found in table.values():
                yield found

    async def sightings(self, tenant: UUID, values: set[str]) -> list[Sighting]:
        return []  # the data map refuses it

    async def close(self) -> None:
        return None

    async def _each(self, step: UUID, work: Callable[[Files, UUID], Awaitable[Effect]]) -> Effect:
        """Table by table, each once under a step of its own; what orders held is counted together."""
        done = [await work(table, uuid5(step, name)) for name, table in self.tables.items()]
        preserved: dict[UUID, int] = {}
        for effect in done:
            for hold, count in effect.preserved.items():
                preserved[hold] = preserved.get(hold, 0) + count
        return Effect([outcome for effect in done for outcome in effect.outcomes], preserved)


async def _one_stream(parts: list[AsyncGenerator[bytes]]) -> AsyncGenerator[bytes]:
    """Several tables' streams as one: their last lines become one last line."""
    counts: dict[str, int] = {}
    for part in parts:
        async with aclosing(part) as lines:
            async for line in lines:
                if line.startswith(b'{"end":'):
                    counts |= orjson.loads(line)["counts"]
                else:
                    yield line
    yield end_line(counts)
