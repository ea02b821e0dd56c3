"""Rows that an order holds are copied to `wardline.preserved` just before they leave the ordinary tables.

The statement runs for every erasure, whether anything is held or not: nothing tells the two apart.
"""

from collections.abc import Callable
from uuid import UUID

import asyncpg

from services.anonymizer.connectors.postgresql.whose import spelled
from services.anonymizer.contract import IdentifierType
from services.anonymizer.datamap import Store, Table
from services.anonymizer.rules.orders import Hold, columns_of, holding
from services.anonymizer.rules.person import Person
from services.anonymizer.rules.pushdown import Params
from services.registry.contract import PolicyBook


async def preserve(
    connection: asyncpg.Connection,
    store: Store,
    name: str,
    where: Callable[[Params], str],
    step: UUID,
    holds: list[Hold],
    person: Person | None,
    book: PolicyBook,
    source: str | None = None,
) -> None:
    """Copy the rows of `where` that one of the holds covers; `source` is one month of the table."""
    table, params = store.tables[name], Params()
    relevant = holding(holds, table, book)
    # As text: the driver would ask the server what other arrays are, once for each connection.
    arrays = ", ".join(
        [
            params([str(hold.hold) for hold in relevant], "text[]::uuid[]"),
            params([hold.identifier.type.value for hold in relevant], "text[]"),
            params([hold.identifier.value for hold in relevant], "text[]"),
            params([hold.from_.isoformat() for hold in relevant], "text[]::timestamptz[]"),
            params([hold.to.isoformat() for hold in relevant], "text[]::timestamptz[]"),
            params([str(_by_person(hold, person, table)) for hold in relevant], "text[]::bool[]"),
        ]
    )
    key = ", ".join(f"t.{column}" for column in table.key)
    await connection.execute(
        "INSERT INTO wardline.preserved "
        "(hold, step, store_table, element, identifier_type, identifier_value, arose_at, row) "
        f"SELECT DISTINCT ON (h.hold, {key}) h.hold, {params(step, 'uuid')}, {params(name, 'text')}, "
        f"{params(table.element, 'text')}, h.type, h.value, t.{table.at}, to_jsonb(t) "
        f"FROM {source or name} t JOIN unnest({arrays}) AS h(hold, type, value, since, until, person) ON {_covered(store, table)} "
        f"WHERE {where(params)}",
        *params,
    )


def _by_person(hold: Hold, person: Person | None, table: Table) -> bool:
    return hold.names(person) and not columns_of(table, hold.identifier.type)


def _covered(store: Store, table: Table) -> str:
    """Whether the hold `h` names the row `t`: by one of its columns, by a row it hangs on, or by the person it is about."""
    named = ["h.person", *_named(table, "t")]
    for link in table.links:
        parents = _named(store.tables[link.table], "p")
        if parents:
            named.append(
                f"EXISTS (SELECT FROM {link.table} p WHERE p.{link.key} = t.{link.column} AND ({' OR '.join(parents)}))"
            )
    when = "true" if table.lasting else f"t.{table.at} >= h.since AND t.{table.at} < h.until"
    return f"({' OR '.join(named)}) AND {when}"


def _named(table: Table, alias: str) -> list[str]:
    by_type = ((type, columns_of(table, type)) for type in IdentifierType)
    return [
        f"(h.type = '{type.value}' AND h.value IN ({', '.join(spelled(table, column, f'{alias}.{column}') for column in columns)}))"
        for type, columns in by_type
        if columns
    ]
