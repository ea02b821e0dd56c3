"""Letting go of everything in a PostgreSQL store whose time is over: month by month, or chunk by chunk where there are no months.

A month that nothing keeps any row of is dropped whole; one that mostly goes is copied without what goes, and exchanged; from the
others rows are deleted. What may stay of them (`remains`) is written in the same transaction. Each piece commits with its row in the
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
from services.anonymizer.connectors.postgresql.frozen import noted
from services.anonymizer.connectors.postgresql.preserve import preserve
from services.anonymizer.connectors.postgresql.remains import Going, Left, leave
from services.anonymizer.connectors.postgresql.store import Connections
from services.anonymizer.connectors.postgresql.swap import exchange
from services.anonymizer.connectors.postgresql.whose import blanks, reduced, refers
from services.anonymizer.contract import Change, Expected, Fate, Swept
from services.anonymizer.datamap import Store
from services.anonymizer.rules.branches import Verdicts
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.orders import Hold
from services.anonymizer.rules.pushdown import Params, going, verdicts
from services.anonymizer.text.vocabularies import Cleaners, KnownPeople, gather, telling

CHUNK = 5_000
SWAP_FROM, SWAP_SHARE = 20_000, 0.5

How = Literal["partition", "swap", "delete"]
Where = Callable[[Params], str]


class Ruled(NamedTuple):
    """What one rule does with rows, by whichever of its branches they came to it."""

    rule: str
    action: str


_MONTHS = """
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass ORDER BY c.relname"""
_THERE = "SELECT to_regclass($1) IS NOT NULL"
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
    try:
        return await connections.write_guarded(part.step, guard, part.run)
    except WorthASwap:
        return await connections.write_guarded(part.step, guard, replace(part, swap=True).run)


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


class WorthASwap(Exception):
    """Most of a month goes and some of it stays: copying what stays is cheaper than deleting, and leaves no dead rows behind. But the
    month must have been locked before it was looked at."""


@dataclass
class Part:
    """One month of a table (`month` is the partition), or the next chunk of a table that has none."""

    store: Store
    name: str
    month: str | None
    step: UUID
    terms: Terms
    cleaners: Cleaners
    swap: bool = False

    @property
    def source(self) -> str:
        return self.month or self.name

    async def run(self, connection: asyncpg.Connection, holds: list[Hold]) -> Piece:
        if self.swap:
            # Before anything is read, so that nothing can be written between what is seen and what is exchanged.
            await connection.execute(f"LOCK TABLE {self.source} IN SHARE ROW EXCLUSIVE MODE")
        done = await transactions.finished(connection, self.step)
        if done is None:
            if self.month and not await connection.fetchval(_THERE, self.month):
                return Piece(self.step, [])
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
        table, params = self.store.tables[self.name], Params()
        window = None if self.month else await self._window(connection)
        decided = verdicts(self.store, table, self.terms, "sweep", params)
        rows = await connection.fetch(
            f"SELECT v, count(*) AS count, min(at) AS first FROM (SELECT t.{table.at} AS at, {decided.number} AS v FROM {self.source} t "
            f"WHERE {self._within(window, params)} AND NOT {reduced(table, params)} OFFSET 0) t GROUP BY v",
            *params,
        )
        expired = [row for row in rows if row["v"] in decided.going]
        if not expired:
            return []
        if self.month and not self.swap and _is_worth_a_swap(rows, expired):
            raise WorthASwap
        expiry = partial(self._going, window)
        await preserve(connection, self.store, self.name, expiry, self.step, holds, None, self.terms.book, self.source)
        fates = _by_fate(expired, decided)
        left = {fate: await self._leave(connection, window, fate, rows) for fate, rows in fates.items()}
        how = await self._remove(connection, expiry, whole=self.month is not None and len(expired) == len(rows))
        return [
            Swept(
                store=self.store.store,
                table=self.name,
                rule=fate.rule,
                month=_month(min(row["first"] for row in rows)),
                how="redact" if left[fate].result == "delinked" else how,
                count=sum(row["count"] for row in rows),
                result=left[fate].result,
                remains=left[fate].remains,
                lost=left[fate].lost,
            )
            for fate, rows in fates.items()
        ]

    async def _leave(
        self, connection: asyncpg.Connection, window: Any, fate: Ruled, expired: list[asyncpg.Record]
    ) -> Left:
        """What stays of the rows that a rule lets go, by whichever of its branches: their groups are counted together."""
        table, numbers = self.store.tables[self.name], [row["v"] for row in expired]
        if fate.action != "anonymise":
            return Left()

        def where(params: Params) -> str:
            again = verdicts(self.store, table, self.terms, "sweep", params)
            return (
                f"({again.number}) IN ({', '.join(map(str, numbers))}) AND {self._within(window, params)} "
                f"AND NOT {reduced(table, params)}"
            )

        rows = Going(self.name, table, self.source, fate.rule, self.step, where)
        return await leave(connection, rows, self.terms.book, self.cleaners)

    async def _remove(self, connection: asyncpg.Connection, expiry: Where, whole: bool) -> How:
        if whole:
            await connection.execute(f"ALTER TABLE {self.name} DETACH PARTITION {self.month}")
            await connection.execute(f"DROP TABLE {self.month}")
            return "partition"
        if self.swap:
            await exchange(connection, self.name, self.month or "", expiry)
            return "swap"
        await self._delete(connection, expiry)
        return "delete"

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

    def _within(self, window: Any, params: Params) -> str:
        if window is None:
            return "true"
        type = "uuid" if isinstance(window, UUID) else "bigint" if isinstance(window, int) else "text"
        return f"t.{self.store.tables[self.name].key[0]} <= {params(window, type)}"

    def _going(self, window: Any, params: Params) -> str:
        table = self.store.tables[self.name]
        expired = going(verdicts(self.store, table, self.terms, "sweep", params))
        return f"{expired} AND {self._within(window, params)} AND NOT {reduced(table, params)}"


def _is_worth_a_swap(rows: list[asyncpg.Record], expired: list[asyncpg.Record]) -> bool:
    whole, going = (sum(row["count"] for row in some) for some in (rows, expired))
    return whole >= SWAP_FROM and whole > going >= SWAP_SHARE * whole


def _by_fate(expired: list[asyncpg.Record], decided: Verdicts[str]) -> dict[Ruled, list[asyncpg.Record]]:
    found: dict[Ruled, list[asyncpg.Record]] = {}
    for row in expired:
        decision = decided.branches[row["v"]].decision
        found.setdefault(Ruled(decision.rule, decision.action), []).append(row)
    return found


def _month(at: datetime) -> str:
    return f"{at:%Y-%m}"
