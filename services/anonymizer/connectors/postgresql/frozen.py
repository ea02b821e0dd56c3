"""Rows that are restricted (Art. 18): marked by their key in the store itself, so that every statement goes round them.

A mark is the person's, not the row's: a row that two people had frozen stays frozen until both let go. New rows are not marked; they
are younger than what is in dispute.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

import asyncpg
import orjson

from services.anonymizer.connectors.outcomes import Effect, by_right, read, written
from services.anonymizer.connectors.postgresql import store as transactions
from services.anonymizer.connectors.postgresql.store import Connections
from services.anonymizer.connectors.postgresql.whose import NOBODYS, owned
from services.anonymizer.contract import Action, Outcome
from services.anonymizer.datamap import Store
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.person import Person
from services.anonymizer.rules.pushdown import Params, key_of

_TABLES = "SELECT DISTINCT store_table FROM wardline.frozen"
_KEYS = "SELECT DISTINCT store_table, key::text AS key FROM wardline.frozen"
# Each is the first statement of its transaction, which therefore sees what was done before it had the lock: what is frozen is there, and
# whatever goes round what is frozen knows of it. Those who restrict do not wait for each other, nor do those who take away.
_RESTRICTING = "LOCK TABLE wardline.frozen IN ROW EXCLUSIVE MODE"
_TAKING_AWAY = "LOCK TABLE wardline.frozen IN SHARE MODE"
_THAW = "WITH gone AS (DELETE FROM wardline.frozen WHERE principal = $1 RETURNING store_table) SELECT store_table, count(*) AS count FROM gone GROUP BY 1"


async def noted(connection: asyncpg.Connection, terms: Terms) -> Terms:
    """The terms, with the tables in which anything is frozen at this moment of the transaction."""
    return replace(terms, frozen=frozenset(row["store_table"] for row in await connection.fetch(_TABLES)))


async def unchanged(connection: asyncpg.Connection) -> None:
    """Nobody restricts anything until the end of this transaction, of which this is the first statement."""
    await connection.execute(_TAKING_AWAY)


async def keys(connections: Connections) -> frozenset[tuple[str, str]]:
    """(table, key) of all that is frozen, for whoever has no sight of Wardline's own tables."""
    return frozenset((row["store_table"], row["key"]) for row in await connections.fetch(_KEYS))


async def freeze(connections: Connections, step: UUID, person: Person, terms: Terms) -> Effect:
    return await _once(
        connections, step, terms, lambda connection: marked(connection, connections.store, person, terms)
    )


async def unfreeze(connections: Connections, step: UUID, person: Person, terms: Terms) -> Effect:
    return await _once(
        connections, step, terms, lambda connection: thawed(connection, connections.store, person, terms)
    )


async def _once(
    connections: Connections, step: UUID, terms: Terms, do: Callable[[asyncpg.Connection], Awaitable[list[Outcome]]]
) -> Effect:
    async def work(connection: asyncpg.Connection) -> Effect:
        await connection.execute(_RESTRICTING)
        if (done := await transactions.finished(connection, step)) is not None:
            return Effect(read(orjson.loads(done)))
        await transactions.begin(connection, step, terms.now)
        outcomes = await do(connection)
        await transactions.finish(connection, step, written(outcomes))
        return Effect(outcomes)

    return await connections.write(work)


async def marked(connection: asyncpg.Connection, store: Store, person: Person, terms: Terms) -> list[Outcome]:
    outcomes = []
    for name, table in store.tables.items():
        params = Params()
        whose = owned(store, name, person, params)
        # The copy that the law keeps for authorities is nobody's to restrict.
        if whose == NOBODYS or table.store_class == "retention":
            continue
        status = await connection.execute(
            "INSERT INTO wardline.frozen (principal, store_table, key, at) "
            f"SELECT {params(person.principal, 'uuid')}, {params(name, 'text')}, {key_of(table)}, "
            f"{params(terms.now, 'timestamptz')} FROM {name} t WHERE {whose} ON CONFLICT DO NOTHING",
            *params,
        )
        count = int(status.rpartition(" ")[2])
        outcomes.append(by_right(store, name, "restriction", Action.freeze, count, terms.book))
    return [one for one in outcomes if one.count]


async def thawed(connection: asyncpg.Connection, store: Store, person: Person, terms: Terms) -> list[Outcome]:
    return [
        by_right(store, row["store_table"], "restriction", Action.unfreeze, row["count"], terms.book)
        for row in await connection.fetch(_THAW, person.principal)
    ]
