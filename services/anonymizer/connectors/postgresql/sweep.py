"""Letting go of everything in a PostgreSQL store whose time is over: month by month, or chunk by chunk where there are no months.

A month that nothing keeps any row of is dropped whole; one that mostly goes is copied without what goes, and exchanged; from the
others, and from a month that is not over, rows are deleted. A month's bounds settle what depends on time alone, so its rows are asked
only the rest, and counted: all of them, under a lock that keeps writers out. What may stay of them (`remains`) is written in the same transaction. Each piece commits with its row in the
journal, so a sweep that was killed goes on behind the last one, and ends as if nothing had happened.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

import asyncpg
import orjson

from services.anonymizer.connectors.guard import Guard
from services.anonymizer.connectors.outcomes import Piece, changes
from services.anonymizer.connectors.postgresql import store as transactions
from services.anonymizer.connectors.postgresql.frozen import noted, unchanged
from services.anonymizer.connectors.postgresql.preserve import preserve
from services.anonymizer.connectors.postgresql.remains import Going, Left, leave
from services.anonymizer.connectors.postgresql.store import Connections
from services.anonymizer.connectors.postgresql.swap import exchange
from services.anonymizer.connectors.postgresql.whose import blanks, reduced, refers
from services.anonymizer.contract import Change, Expected, Fate, StoreDrifted, Swept
from services.anonymizer.datamap import Store
from services.anonymizer.rules.branches import Verdicts
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.orders import Hold
from services.anonymizer.rules.pushdown import Params, Span, going, verdicts
from services.anonymizer.text.vocabularies import Cleaners, KnownPeople, gather, telling

CHUNK = 5_000
SWAP_FROM, SWAP_SHARE = 20_000, 0.5

How = Literal["partition", "swap", "delete"]
Where = Callable[[Params], str]


class Ruled(NamedTuple):
    """What one rule does with rows, by whichever of its branches they came to it."""

    rule: str
    action: str


class Counted(NamedTuple):
    """Rows that one branch decides (none does: None), and an instant of theirs: the first, or the midst of the month where only kinds were
    looked at."""

    v: int | None
    number: int
    at: datetime


_MONTHS = """
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass ORDER BY c.relname"""
_THERE = "SELECT to_regclass($1) IS NOT NULL"
_SPAN = r"""
SELECT (bound)[1]::timestamptz AS since, (bound)[2]::timestamptz AS until FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid,
regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''([^'']+)''\) TO \(''([^'']+)''\)$') bound
WHERE c.oid = to_regclass($1) AND pg_get_partkeydef(i.inhparent) = format('RANGE (%I)', $2::text)"""
# Whoever writes to the operator's tables waits for us no longer than this, and is never ended in our stead as the one who made a
# deadlock (`deadlock_timeout` is a second): we begin again.
_YIELD = "SET LOCAL lock_timeout = '500ms'"
_PRESERVED = "SELECT hold, count(*) FROM wardline.preserved WHERE step = $1 GROUP BY hold"


async def simulate(connections: Connections, terms: Terms) -> list[Expected]:
    """Counts by rule and by month of the rows' own time; nothing is written."""
    store, expected = connections.store, []
    async with connections.reading() as connection:
        terms = await noted(connection, terms)
        for name, table in store.tables.items():
            params = Params()
            decided = verdicts(store, table, terms, "sweep", params)
            rows = await connection.fetch(
                f"SELECT v, to_char(date_trunc('month', t.{table.at}, {params(terms.book.zone, 'text')}), 'YYYY-MM') AS month, "
                f"count(*) AS count FROM (SELECT t.*, {decided.number} AS v FROM {name} t WHERE NOT {reduced(table, params)} OFFSET 0) t "
                "GROUP BY 1, 2 ORDER BY 2, 1",
                *params,
            )
            for row in rows:
                decision = decided.branches[row["v"]].decision if row["v"] is not None else None
                if decision and decision.action != "keep":
                    expected.append(
                        Expected(
                            store=store.store,
                            table=name,
                            category=terms.book.category_of(table.element).key,
                            rule=decision.rule,
                            legal_ref=decision.legal_ref,
                            action=decision.action,
                            month=row["month"],
                            count=row["count"],
                        )
                    )
    return expected


async def compare(connections: Connections, terms: Terms, proposed: Terms) -> list[Change]:
    """Each row is decided twice in one statement; only what differs comes back."""
    store, found = connections.store, []
    async with connections.reading() as connection:
        for name, table in store.tables.items():
            params = Params()
            now, then = (verdicts(store, table, each, "sweep", params) for each in (terms, proposed))
            rows = await connection.fetch(
                f"SELECT v, w, count(*) AS count FROM (SELECT {now.number} AS v, {then.number} AS w FROM {name} t "
                f"WHERE NOT {reduced(table, params)} OFFSET 0) t GROUP BY 1, 2",
                *params,
            )
            counts = Counter[tuple[Fate, Fate]]()
            for row in rows:
                counts[now.fate(row["v"]), then.fate(row["w"])] += row["count"]
            found += changes(store, name, counts, terms.book)
    return found


async def sweep(
    connections: Connections, sweep: UUID, terms: Terms, guard: Guard, known: KnownPeople
) -> AsyncIterator[Piece]:
    """Every piece that something went in, those of an earlier run of the same sweep included."""
    store = connections.store
    cleaners = await _cleaners(connections, known)
    for name in store.order:
        for month in await _months(connections, name, uuid5(sweep, f"{store.store}/{name}"), terms):
            step = uuid5(sweep, f"{store.store}/{name}/{month}")
            done = await _do(connections, guard, Part(store, name, month, step, terms, cleaners))
            if done.swept:
                yield done
        more, number = not store.tables[name].months, 0
        while more:
            step = uuid5(sweep, f"{store.store}/{name}/chunk {number}")
            done = await _do(connections, guard, Part(store, name, None, step, terms, cleaners))
            if done.swept:
                yield done
            more, number = sum(one.count for one in done.swept) >= CHUNK, number + 1


async def _do(connections: Connections, guard: Guard, part: "Part") -> Piece:
    if part.month:
        async with connections.reading() as connection:
            if not await part.anything_to_do(connection):
                return Piece(part.step, [])
    try:
        return await connections.write_guarded(part.step, guard, part.run)
    except StoreDrifted:
        # Whoever carries out the same sweep beside us has dropped the month: the journal says so.
        return await connections.write_guarded(part.step, guard, replace(part, over=False).run)


async def _cleaners(connections: Connections, known: KnownPeople) -> Cleaners:
    """What the operator's customers are known by, and whoever else wrote to this store."""
    store = connections.store
    if not any(table.remains and table.remains.texts for table in store.tables.values()):
        return Cleaners({})
    told = await known()
    async with connections.reading() as connection:
        for name, table in store.tables.items():
            columns = telling(table)
            if columns:
                named = ", ".join(f"t.{column}" for column in columns)
                select = f"SELECT DISTINCT t.{table.tenant} AS tenant, {named} FROM {name} t"
                async for row in connection.cursor(select, prefetch=5000):
                    gather(told, row["tenant"], columns, [row])
    return Cleaners(told)


async def _months(connections: Connections, name: str, step: UUID, terms: Terms) -> list[str]:
    """The partitions of a table that has them, as they were when this sweep began: one that was dropped since has its answer in the
    journal, and that may not have been heard yet."""
    if not connections.store.tables[name].months:
        return []

    async def work(connection: asyncpg.Connection) -> list[str]:
        noted = await transactions.finished(connection, step)
        if noted is not None:
            return orjson.loads(noted)
        found = [row["name"] for row in await connection.fetch(_MONTHS, name)]
        await transactions.begin(connection, step, terms.now)
        await transactions.finish(connection, step, orjson.dumps(found).decode())
        return found

    return await connections.write(work)


@dataclass
class Part:
    """One month of a table (`month` is the partition), or the next chunk of a table that has none. `over`: the month is, and may go
    whole."""

    store: Store
    name: str
    month: str | None
    step: UUID
    terms: Terms
    cleaners: Cleaners
    over: bool = False
    span: Span | None = None

    @property
    def source(self) -> str:
        return self.month or self.name

    async def anything_to_do(self, connection: asyncpg.Connection) -> bool:
        """In this month, before anybody is kept out of it."""
        if await transactions.finished(connection, self.step) is not None:
            return True
        if not await connection.fetchval(_THERE, self.month):
            return False
        self.terms, self.span = await noted(connection, self.terms), await self._bounds(connection)
        self.over, params = self.span is not None and self.span.until <= self.terms.now, Params()
        return await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM {self.source} t WHERE {self._going(None, params)})", *params
        )

    async def run(self, connection: asyncpg.Connection, holds: list[Hold]) -> Piece:
        # Before anything is read, so that nothing can be restricted or written between what is seen and what is done.
        await unchanged(connection)
        if self.over:
            await connection.execute(f"{_YIELD}; LOCK TABLE {self.source} IN SHARE ROW EXCLUSIVE MODE")
        done = await transactions.finished(connection, self.step)
        if done is None:
            if self.month and not await connection.fetchval(_THERE, self.month):
                return Piece(self.step, [])
            self.span = await self._bounds(connection)
            await transactions.begin(connection, self.step, self.terms.now)
            self.terms = await noted(connection, self.terms)
            swept = await self._let_go(connection, holds)
            kept = orjson.dumps([one.model_dump(mode="json") for one in swept]).decode()
            await transactions.finish(connection, self.step, kept)
        else:
            swept = [Swept.model_validate(one, strict=False) for one in orjson.loads(done)]
        preserved = {row["hold"]: row["count"] for row in await connection.fetch(_PRESERVED, self.step)}
        return Piece(self.step, swept, preserved)

    async def _let_go(self, connection: asyncpg.Connection, holds: list[Hold]) -> list[Swept]:
        window, decided = None if self.month else await self._window(connection), self._verdicts(Params())
        rows = await self._by_kind(connection) or await self._by_row(connection, window)
        expired = [row for row in rows if row.v in decided.going]
        if not expired:
            return []
        expiry = partial(self._going, window)
        await preserve(connection, self.store, self.name, expiry, self.step, holds, None, self.terms.book, self.source)
        fates = _by_fate(expired, decided)
        left = {fate: await self._leave(connection, window, fate, rows) for fate, rows in fates.items()}
        how = await self._remove(connection, expiry, self._how(rows, expired))
        return [
            Swept(
                store=self.store.store,
                table=self.name,
                rule=fate.rule,
                month=_month(min(row.at for row in rows)),
                how="redact" if left[fate].result == "delinked" else how,
                count=sum(row.number for row in rows),
                result=left[fate].result,
                remains=left[fate].remains,
                lost=left[fate].lost,
            )
            for fate, rows in fates.items()
        ]

    async def _by_kind(self, connection: asyncpg.Connection) -> list[Counted] | None:
        """Where kind, tenant and the month decide, the rows of each kind are only counted. None where something else is asked of them, or
        the time of one kind is over in the midst of this month."""
        table, params = self.store.tables[self.name], Params()
        decided = self._verdicts(params)
        if self.span is None or decided.alike is None or table.stays_for:
            return None
        counted = self._counted(decided.alike, params)
        turns = params([at.isoformat() for at in decided.turns], "text[]::timestamptz[]")
        rows = await connection.fetch(
            f"SELECT min(v) AS least, max(v) AS most, n FROM (SELECT t.i, t.n, coalesce({decided.number}, -1) AS v FROM (SELECT * FROM "
            f"(SELECT *, row_number() OVER () AS i FROM ({counted}) counted WHERE n > 0) kinds, unnest({turns}) turn({table.at})) t OFFSET 0) t "
            "GROUP BY i, n",
            *params,
        )
        if any(row["least"] != row["most"] for row in rows):
            return None
        midst = self.span.since + (self.span.until - self.span.since) / 2
        return [Counted(row["least"] if row["least"] >= 0 else None, row["n"], midst) for row in rows]

    def _counted(self, alike: list[str], params: Params) -> str:
        """How many rows there are of each kind (SQL). The kinds that the book has rules for are counted by name, which takes half of the
        time that groups take; whatever else is there has none."""
        column, kinds = self.store.tables[self.name].kind_column, ", ".join(alike)
        if alike != [column]:
            return f"SELECT {kinds}{kinds and ', '}count(*) AS n FROM {self.source} GROUP BY ({kinds})"
        named = [kind for _, each in self.store.tables[self.name].rules(self.terms.book) for kind in each if kind]
        counts = "".join(
            f", count(*) FILTER (WHERE {column} = {params(kind, 'text')}) AS n{i}" for i, kind in enumerate(named)
        )
        rest = "".join(f" - n{i}" for i in range(len(named)))
        rows = [f"({params(kind, 'text')}, n{i})" for i, kind in enumerate(named)] + [f"(NULL, whole{rest})"]
        return f"SELECT kind.* FROM (SELECT count(*) AS whole{counts} FROM {self.source}) c, LATERAL (VALUES {', '.join(rows)}) kind({column}, n)"

    async def _by_row(self, connection: asyncpg.Connection, window: Any) -> list[Counted]:
        table, params = self.store.tables[self.name], Params()
        decided = self._verdicts(params)
        rows = await connection.fetch(
            f"SELECT v, count(*) AS count, min(at) AS at FROM (SELECT t.{table.at} AS at, {decided.number} AS v FROM {self.source} t "
            f"WHERE {self._within(window, params)} AND NOT {reduced(table, params)} OFFSET 0) t GROUP BY v",
            *params,
        )
        return [Counted(*row) for row in rows]

    def _verdicts(self, params: Params) -> Verdicts[str]:
        return verdicts(self.store, self.store.tables[self.name], self.terms, "sweep", params, self.span)

    async def _leave(self, connection: asyncpg.Connection, window: Any, fate: Ruled, expired: list[Counted]) -> Left:
        """What stays of the rows that a rule lets go, by whichever of its branches: their groups are counted together."""
        table, numbers = self.store.tables[self.name], [row.v for row in expired]
        if fate.action != "anonymise":
            return Left()

        def where(params: Params) -> str:
            again = self._verdicts(params)
            return (
                f"({again.number}) IN ({', '.join(map(str, numbers))}) AND {self._within(window, params)} "
                f"AND NOT {reduced(table, params)}"
            )

        rows = Going(self.name, table, self.source, fate.rule, self.step, where)
        return await leave(connection, rows, self.terms.book, self.cleaners)

    def _how(self, rows: list[Counted], expired: list[Counted]) -> How:
        if self.over and len(expired) == len(rows):
            return "partition"
        return "swap" if self.over and _is_worth_a_swap(rows, expired) else "delete"

    async def _remove(self, connection: asyncpg.Connection, expiry: Where, how: How) -> How:
        if how == "partition":
            await connection.execute(f"ALTER TABLE {self.name} DETACH PARTITION {self.month}")
            await connection.execute(f"DROP TABLE {self.month}")
        elif how == "swap":
            await exchange(connection, self.name, self.month or "", expiry)
        else:
            await self._delete(connection, expiry)
        return how

    async def _delete(self, connection: asyncpg.Connection, expiry: Where) -> None:
        table, params = self.store.tables[self.name], Params()
        alone = "".join(f" AND NOT {refers(link)}" for link in table.stays_for)
        await connection.execute(f"DELETE FROM {self.source} t WHERE {expiry(params)}{alone}", *params)
        if table.stays_for:
            # Whoever is left and should go is referred to by a row that stays.
            params = Params()
            assigned = ", ".join(f"{column} = {blank}" for column, blank in blanks(table, params).items())
            await connection.execute(f"UPDATE {self.source} t SET {assigned} WHERE {expiry(params)}", *params)

    async def _window(self, connection: asyncpg.Connection) -> Any:
        """The key up to which this chunk goes; None: to the end."""
        params, key = Params(), self.store.tables[self.name].key[0]
        return await connection.fetchval(
            f"SELECT t.{key} FROM {self.name} t WHERE {self._going(None, params)} ORDER BY t.{key} OFFSET {CHUNK - 1} LIMIT 1",
            *params,
        )

    async def _bounds(self, connection: asyncpg.Connection) -> Span | None:
        found = await connection.fetchrow(_SPAN, self.month, self.store.tables[self.name].at) if self.month else None
        return Span(**found) if found and None not in found.values() else None

    def _within(self, window: Any, params: Params) -> str:
        if window is None:
            return "true"
        type = "uuid" if isinstance(window, UUID) else "bigint" if isinstance(window, int) else "text"
        return f"t.{self.store.tables[self.name].key[0]} <= {params(window, type)}"

    def _going(self, window: Any, params: Params) -> str:
        table = self.store.tables[self.name]
        expired = going(self._verdicts(params))
        return f"{expired} AND {self._within(window, params)} AND NOT {reduced(table, params)}"


def _is_worth_a_swap(rows: list[Counted], expired: list[Counted]) -> bool:
    """Copying what stays is cheaper than deleting, and leaves no dead rows behind."""
    whole, going = (sum(row.number for row in some) for some in (rows, expired))
    return whole >= SWAP_FROM and whole > going >= SWAP_SHARE * whole


def _by_fate(expired: list[Counted], decided: Verdicts[str]) -> dict[Ruled, list[Counted]]:
    found: dict[Ruled, list[Counted]] = {}
    for row in expired:
        decision = decided.branches[row.v].decision
        found.setdefault(Ruled(decision.rule, decision.action), []).append(row)
    return found


def _month(at: datetime) -> str:
    return f"{at:%Y-%m}"
