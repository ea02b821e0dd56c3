"""Everything a PostgreSQL store shows of a person, streamed: the server writes the JSON, and we pass its bytes on.

COPY as CSV with a quote and a delimiter that JSON never contains gives each row's JSON as a bare line: no row is ever a Python
object, so memory does not grow with the rows.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import asyncpg

from services.anonymizer.connectors.ndjson import end_line, shown, table_line
from services.anonymizer.connectors.postgresql.store import Connections
from services.anonymizer.connectors.postgresql.whose import (
    NOBODYS,
    named_in,
    other_party_columns,
    owned,
    spelled,
    worked,
)
from services.anonymizer.contract import DisclosureRequest, Period
from services.anonymizer.datamap import Column, Store, Table
from services.anonymizer.rules.orders import columns_of, covers
from services.anonymizer.rules.person import Known, Person
from services.anonymizer.rules.pushdown import Params
from services.registry.contract import PolicyBook

_AHEAD = 8  # chunks of some 64 kB that may wait for a slow reader


async def collect(connections: Connections, person: Person, book: PolicyBook, portable: bool) -> AsyncGenerator[bytes]:
    """The ordinary view: the copy that the law keeps for authorities alone is not in it."""
    store, counts = connections.store, {}
    async with connections.reading() as connection:
        for name, table in store.tables.items():
            params = Params()
            own = owned(store, name, person, params)
            others = [
                named_in(store, name, column, person, params)
                for column in other_party_columns(store, name, person)
                if not portable
            ]
            work = NOBODYS if portable else worked(store, name, person, params)
            columns = shown(table, book, portable)
            if table.store_class == "retention" or not columns or (own == work == NOBODYS and not others):
                continue
            yield table_line(name, table, book, portable)
            mine = " OR ".join([own, *others])
            values = _json(table, columns, own, None if work == NOBODYS else mine)
            select = f"SELECT {values} FROM {name} t WHERE {mine} OR {work} ORDER BY t.{table.at}"
            copied = Copied(connection, select, params)
            async with aclosing(copied.lines()) as lines:
                async for chunk in lines:
                    yield chunk
            counts[name] = copied.rows
    yield end_line(counts)


async def disclose(
    connections: Connections, known: Known, person: Person, wish: DisclosureRequest, book: PolicyBook
) -> AsyncGenerator[bytes]:
    """What one approved task asks for: one identifier, its categories, its period; rows included that its holds preserved."""
    store, counts = connections.store, {}
    async with connections.reading() as connection:
        for name, table in store.tables.items():
            if table.store_class not in wish.copies or not any(
                covers(category, table, book) for category in wish.categories
            ):
                continue
            yield table_line(name, table, book)
            counts[name] = 0
            for select, params in (
                _ordinary(store, name, known, person, wish.period),
                _preserved(table, name, known, wish),
            ):
                copied = Copied(connection, select, params)
                async with aclosing(copied.lines()) as lines:
                    async for chunk in lines:
                        yield chunk
                counts[name] += copied.rows
    yield end_line(counts)


def _ordinary(store: Store, name: str, known: Known, person: Person, period: Period) -> tuple[str, Params]:
    table, params = store.tables[name], Params()
    whose = [
        f"{spelled(table, column, f't.{column}')} = {params(known.value, 'text')}"
        for column in columns_of(table, known.type)
    ]
    whose.append(owned(store, name, person, params))
    when = (
        "true"
        if table.lasting
        else f"t.{table.at} >= {params(period.from_, 'timestamptz')} AND "
        f"t.{table.at} < {params(period.to, 'timestamptz')}"
    )
    columns = ", ".join(f"t.{column}" for column in table.shown)
    return f"SELECT json_build_array({columns})::text FROM {name} t WHERE ({' OR '.join(whose)}) AND {when}", params


def _preserved(table: Table, name: str, known: Known, wish: DisclosureRequest) -> tuple[str, Params]:
    """Each row once, though several holds may keep it. Whose hold is not named is not there for this order."""
    params, period = Params(), wish.period
    when = (
        "true"
        if table.lasting
        else f"p.arose_at >= {params(period.from_, 'timestamptz')} AND p.arose_at < {params(period.to, 'timestamptz')}"
    )
    named = f"(p.identifier_type = {params(known.type.value, 'text')} AND p.identifier_value = {params(known.value, 'text')})"
    columns = columns_of(table, known.type)
    if columns:
        written = [spelled(table, column, f"(p.row->>'{column}')") for column in columns]
        named += "".join(f" OR {value} = {params(known.value, 'text')}" for value in written)
    shown_of_it = ", ".join(f"p.row->'{column}'" for column in table.shown)
    return (
        f"SELECT DISTINCT ON (p.row) json_build_array({shown_of_it})::text FROM wardline.preserved p "
        f"WHERE p.hold = ANY({params(wish.holds, 'uuid[]')}) AND p.store_table = {params(name, 'text')} "
        f"AND ({named}) AND {when}",
        params,
    )


def _json(table: Table, columns: dict[str, Column], own: str, mine: str | None) -> str:
    """A row as a JSON array; a number that the caller hid is not shown to the other party, nor to an agent (whose other rows are
    `mine`) whom the work was done for."""
    values = []
    for column, declared in columns.items():
        value = f"t.{column}"
        if declared.withheld_by:
            value = f"CASE WHEN t.{declared.withheld_by} AND NOT {own} THEN NULL ELSE {value} END"
        if mine and column in table.of_others:
            value = f"CASE WHEN {mine} THEN {value} END"
        values.append(value)
    return f"json_build_array({', '.join(values)})::text"


class Copied:
    """The lines of one COPY as they come; `rows` is right once it ended."""

    def __init__(self, connection: asyncpg.Connection, select: str, params: Params) -> None:
        self.connection, self.select, self.params, self.rows = connection, select, params, 0

    async def lines(self) -> AsyncGenerator[bytes]:
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        copying = asyncio.create_task(self._copy(chunks))
        try:
            while (chunk := await chunks.get()) is not None:
                yield chunk
            self.rows = int((await copying).rpartition(" ")[2])
        finally:
            copying.cancel()
            with suppress(asyncio.CancelledError):
                await copying

    async def _copy(self, chunks: "asyncio.Queue[bytes | None]") -> str:
        async def put(chunk: bytes) -> None:
            # The driver fills its buffer again.
            await chunks.put(bytes(chunk))

        try:
            status = await self.connection.copy_from_query(
                self.select, *self.params, output=put, format="csv", delimiter="\x02", quote="\x01"
            )
            await chunks.put(None)
            return status
        except BaseException:
            # The reader may be gone and the queue full; what failed is read from the task, not from the chunks.
            if chunks.full():
                chunks.get_nowait()
            chunks.put_nowait(None)
            raise
