"""The connector to PostgreSQL stores: everything is pushed down as SQL."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from uuid import UUID

import asyncpg

from services.anonymizer.connectors.guard import Guard
from services.anonymizer.connectors.outcomes import Effect, Piece, Verification
from services.anonymizer.connectors.postgresql.collect import collect, disclose, give_back, held_for
from services.anonymizer.connectors.postgresql.correct import correct, put_right
from services.anonymizer.connectors.postgresql.erase import erase, preview
from services.anonymizer.connectors.postgresql.frozen import freeze, marked, thawed, unfreeze
from services.anonymizer.connectors.postgresql.store import Connections
from services.anonymizer.connectors.postgresql.sweep import compare, simulate, sweep
from services.anonymizer.connectors.postgresql.verify import verify
from services.anonymizer.connectors.postgresql.whose import named_in, other_party_columns, owned, spelled
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
from services.anonymizer.datamap import Store
from services.anonymizer.rules.drift import SAMPLES
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.joins import Sighting
from services.anonymizer.rules.person import Known, Person
from services.anonymizer.rules.pushdown import Params
from services.anonymizer.settings import Settings
from services.anonymizer.text.vocabularies import KnownPeople
from services.registry.contract import PolicyBook

# Partitions are their table's.
_COLUMNS = """
SELECT c.relname AS name, a.attname AS column FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0
AND NOT a.attisdropped ORDER BY c.relname, a.attnum"""


class PostgreSQL:
    verbs: frozenset[StoreVerb] = frozenset(
        {"collect", "preview", "erase", "verify", "correct", "freeze", "unfreeze", "sweep", "discover", "give_back"}
    )

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.connections = Connections(store, settings)

    def collect(self, people: Sequence[Person], book: PolicyBook, portable: bool) -> AsyncGenerator[bytes]:
        return collect(self.connections, people, book, portable)

    def disclose(
        self, known: Known, person: Person, wish: DisclosureRequest, book: PolicyBook
    ) -> AsyncGenerator[bytes]:
        return disclose(self.connections, known, person, wish, book)

    async def invoices(self, person: Person) -> set[int]:
        found: set[int] = set()
        for name, table in self.store.tables.items():
            if table.invoice:
                params = Params()
                whose = [owned(self.store, name, person, params)]
                whose += [
                    named_in(self.store, name, column, person, params)
                    for column in other_party_columns(self.store, name, person)
                ]
                select = (
                    f"SELECT DISTINCT t.{table.invoice} FROM {name} t WHERE t.{table.invoice} IS NOT NULL "
                    f"AND ({' OR '.join(whose)})"
                )
                found |= {row[0] for row in await self.connections.fetch(select, *params)}
        return found

    async def preview(
        self,
        person: Person,
        terms: Terms,
        scope: Scope | None,
        of: Verb = Verb.erase,
        changes: Sequence[Correction] = (),
    ) -> list[Outcome]:
        if of == Verb.erase:
            return await preview(self.connections, person, terms, _elements(scope))
        do = {
            Verb.correct: partial(put_right, changes=changes),
            Verb.freeze: marked,
            Verb.unfreeze: thawed,
        }[of]
        return await self.connections.rehearse(lambda connection: do(connection, self.store, person, terms))

    async def erase(self, step: UUID, person: Person, terms: Terms, guard: Guard, scope: Scope | None) -> Effect:
        return await erase(self.connections, step, person, terms, guard, _elements(scope))

    async def correct(self, step: UUID, person: Person, terms: Terms, changes: list[Correction]) -> Effect:
        return await correct(self.connections, step, person, terms, changes)

    async def freeze(self, step: UUID, person: Person, terms: Terms) -> Effect:
        return await freeze(self.connections, step, person, terms)

    async def unfreeze(self, step: UUID, person: Person, terms: Terms) -> Effect:
        return await unfreeze(self.connections, step, person, terms)

    async def verify(self, person: Person, terms: Terms, scope: Scope | None) -> Verification:
        return await verify(self.connections, person, terms, _elements(scope))

    async def simulate(self, terms: Terms) -> list[Expected]:
        return await simulate(self.connections, terms)

    async def compare(self, terms: Terms, proposed: Terms) -> list[Change]:
        return await compare(self.connections, terms, proposed)

    def sweep(self, sweep_id: UUID, terms: Terms, guard: Guard, known: KnownPeople) -> AsyncIterator[Piece]:
        return sweep(self.connections, sweep_id, terms, guard, known)

    async def held_for(self, tenant: UUID, book: PolicyBook) -> int:
        return await held_for(self.connections, tenant, book)

    def give_back(self, tenant: UUID, book: PolicyBook) -> AsyncGenerator[bytes]:
        return give_back(self.connections, tenant, book)

    async def release(self, hold: UUID) -> int:
        async def work(connection: asyncpg.Connection) -> int:
            status = await connection.execute("DELETE FROM wardline.preserved WHERE hold = $1", hold)
            return int(status.rpartition(" ")[2])

        return await self.connections.write(work)

    async def discover(self) -> dict[str, dict[str, list[str]]]:
        seen: dict[str, dict[str, list[str]]] = {}
        async with self.connections.reading("verifier") as connection:
            for row in await connection.fetch(_COLUMNS):
                table, column = row["name"], row["column"]
                select = (
                    f'SELECT left("{column}"::text, 200) AS value FROM "{table}" WHERE "{column}" IS NOT NULL '
                    f"LIMIT {SAMPLES}"
                )
                values = [each["value"] for each in await connection.fetch(select)]
                seen.setdefault(table, {})[column] = values
        return seen

    async def remembers(self, steps: set[UUID]) -> set[UUID]:
        rows = await self.connections.fetch("SELECT step FROM wardline.journal WHERE step = ANY($1)", list(steps))
        return {row["step"] for row in rows}

    async def values(self) -> AsyncIterator[tuple[IdentifierType, str]]:
        async with self.connections.reading() as connection:
            for name, table in self.store.tables.items():
                for column, what in table.identifying.items():
                    select = f"SELECT DISTINCT {spelled(table, column, f't.{column}')} FROM {name} t WHERE t.{column} IS NOT NULL"
                    async for row in connection.cursor(select, prefetch=5000):
                        yield what.type, str(row[0])

    async def sightings(self, tenant: UUID, values: set[str]) -> list[Sighting]:
        return []  # the data map refuses it

    async def close(self) -> None:
        await self.connections.close()


def _elements(scope: Scope | None) -> list[str]:
    """What it is limited to; none of them: nothing is left out."""
    return scope.elements if scope else []
