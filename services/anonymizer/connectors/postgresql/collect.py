"""Everything a PostgreSQL store shows of a person, streamed: the server writes the JSON, and we pass its bytes on.

COPY as CSV with a quote and a delimiter that JSON never contains gives each row's JSON as a bare line: no row is ever a Python
object, so memory does not grow with the rows.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from chassis.aside import aside
from services.anonymizer.connectors.ndjson import end_line, shown, table_line, whole_line
from services.anonymizer.connectors.postgresql import store as stores
from services.anonymizer.connectors.postgresql.several import PLACE, TIE, Several, Tie, places
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

_AS_LONG_AS_IT_COMES = 7 * 86_400.0  # seconds; a store that falls silent in between is given up much earlier
_AHEAD = 8  # chunks of some 64 kB that may wait for a slow reader


@dataclass(frozen=True)
class _Part:
    """What is read of one table: the line that announces it, and the statements whose rows follow."""

    name: str
    announced: bytes
    selects: list[tuple[str, Params]]


async def _streamed(connections: Connections, parts: Iterable[_Part]) -> AsyncGenerator[bytes]:
    """A table is announced with its first rows: who waits for something before the first line is let through waits while the store works."""
    parts, counts, said = list(parts), {}, b""
    if not parts:
        yield end_line({})
        return
    async with connections.reading(once=sum(len(part.selects) for part in parts) == 1) as connection:
        for part in parts:
            said += part.announced
            counts[part.name] = 0
            for select, params in part.selects:
                copied = Copied(connection, select, params)
                async with aclosing(copied.lines()) as lines:
                    async for chunk in lines:
                        yield said + chunk
                        said = b""
                counts[part.name] += copied.rows
    yield said + end_line(counts)


def collect(
    connections: Connections, people: Sequence[Person], book: PolicyBook, portable: bool
) -> AsyncGenerator[bytes]:
    """The ordinary view: the copy that the law keeps for authorities alone is not in it. Several people are found in one scan."""
    return _streamed(connections, _seen_by(connections.store, people, book, portable))


def _seen_by(store: Store, people: Sequence[Person], book: PolicyBook, portable: bool) -> Iterator[_Part]:
    for name, table in store.tables.items():
        columns = shown(table, book, portable)
        if table.store_class == "retention" or not columns:
            continue
        if len(people) == 1:
            subjects, select = (), _of_one(store, name, people[0], columns, portable)
        else:
            subjects, select = _of_several(store, name, people, columns, portable)
        if select:
            yield _Part(name, table_line(name, table, book, portable, subjects=subjects), [select])


def _of_one(
    store: Store, name: str, person: Person, columns: dict[str, Column], portable: bool
) -> tuple[str, Params] | None:
    table, params = store.tables[name], Params()
    own = owned(store, name, person, params)
    others = [] if portable else other_party_columns(store, name, person)
    work = NOBODYS if portable else worked(store, name, person, params)
    if own == work == NOBODYS and not others:
        return None
    mine = " OR ".join([own, *(named_in(store, name, column, person, params) for column in others)])
    values = _values(table, columns, own, None if work == NOBODYS else f"({mine})")
    return (
        f"SELECT json_build_array({values})::text FROM {name} t WHERE ({mine} OR {work}) ORDER BY t.{table.at}",
        params,
    )


def _of_several(
    store: Store, name: str, people: Sequence[Person], columns: dict[str, Column], portable: bool
) -> tuple[list[int], tuple[str, Params] | None]:
    """For whom it is, if not for everybody, and the statement that gives each of them what `_of_one` would."""
    table, params, ties = store.tables[name], Params(), [Tie.own] if portable else list(Tie)
    found = places(store, name, people, ties)
    if not found:
        return [], None
    rows = Several(store, people, params).rows(name, ties)
    values = _values(table, columns, f"t.{TIE} = {Tie.own:d}", f"t.{TIE} < {Tie.work:d}")
    select = f"SELECT json_build_array(t.{PLACE}, {values})::text FROM {rows} t ORDER BY t.{table.at}"
    return [] if len(found) == len(people) else found, (select, params)


def give_back(connections: Connections, tenant: UUID, book: PolicyBook) -> AsyncGenerator[bytes]:
    """Every ordinary row that is processed for one organisation, whole. People take it, at whatever pace, and the store has four
    connections for everybody."""
    return aside(_streamed(connections, _whole(connections.store, tenant, book)), connections.settings.home)


def _whole(store: Store, tenant: UUID, book: PolicyBook) -> Iterator[_Part]:
    for name, table in _theirs(store, book):
        params = Params()
        columns = ", ".join(f"t.{column}" for column in table.columns)
        select = (
            f"SELECT json_build_array({columns})::text FROM {name} t "
            f"WHERE t.{table.tenant} = {params(tenant, 'uuid')} ORDER BY t.{table.at}"
        )
        yield _Part(name, whole_line(name, table, book), [(select, params)])


async def held_for(connections: Connections, tenant: UUID, book: PolicyBook) -> int:
    async with connections.reading("verifier") as connection:
        counts = [
            await connection.fetchval(f"SELECT count(*) FROM {name} t WHERE t.{table.tenant} = $1", tenant)
            for name, table in _theirs(connections.store, book)
        ]
    return sum(counts)


def _theirs(store: Store, book: PolicyBook) -> list[tuple[str, Table]]:
    return [(name, table) for name, table in store.tables.items() if table.for_tenants(book)]


def disclose(
    connections: Connections, known: Known, person: Person, wish: DisclosureRequest, book: PolicyBook
) -> AsyncGenerator[bytes]:
    """What one approved task asks for: one identifier, its categories, its period; rows included that its holds preserved."""
    return _streamed(connections, _asked_for(connections.store, known, person, wish, book))


def _asked_for(
    store: Store, known: Known, person: Person, wish: DisclosureRequest, book: PolicyBook
) -> Iterator[_Part]:
    for name, table in store.tables.items():
        if table.store_class in wish.copies and any(covers(category, table, book) for category in wish.categories):
            ordinary = _ordinary(store, name, known, person, wish.period)
            yield _Part(name, table_line(name, table, book), [ordinary, _preserved(table, name, known, wish)])


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


def _values(table: Table, columns: dict[str, Column], own: str, mine: str | None) -> str:
    """What a row shows; a number that the caller hid is not shown to the other party, nor to an agent (whose other rows are
    `mine`) whom the work was done for."""
    values = []
    for column, declared in columns.items():
        value = f"t.{column}"
        if declared.withheld_by:
            value = f"CASE WHEN t.{declared.withheld_by} AND NOT {own} THEN NULL ELSE {value} END"
        if mine and column in table.of_others:
            value = f"CASE WHEN {mine} THEN {value} END"
        values.append(value)
    return ", ".join(values)


class Copied:
    """The lines of one COPY as they come; `rows` is right once it ended."""

    def __init__(self, connection: asyncpg.Connection, select: str, params: Params) -> None:
        self.connection, self.select, self.params, self.rows = connection, select, params, 0

    async def lines(self) -> AsyncGenerator[bytes]:
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        copying = asyncio.create_task(self._copy(chunks))
        try:
            while (chunk := await _next(chunks)) is not None:
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
                self.params.inlined(self.select),
                output=put,
                format="csv",
                delimiter="\x02",
                quote="\x01",
                timeout=_AS_LONG_AS_IT_COMES,
            )
            await chunks.put(None)
            return status
        except BaseException:
            # The reader may be gone and the queue full; what failed is read from the task, not from the chunks.
            if chunks.full():
                chunks.get_nowait()
            chunks.put_nowait(None)
            raise


async def _next(chunks: "asyncio.Queue[bytes | None]") -> bytes | None:
    async with asyncio.timeout(stores.LONGEST):
        return await chunks.get()
