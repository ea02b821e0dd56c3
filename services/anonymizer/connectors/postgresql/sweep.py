"""Letting go of everything in a PostgreSQL store whose time is over, a month at a time.

A month that nothing keeps any row of is dropped whole; others lose their expired rows in one statement. Each piece commits
with its row in the journal, so a sweep that was killed goes on behind the last one.
"""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

import asyncpg
import orjson

from services.anonymizer.connectors.guard import Guard
from services.anonymizer.connectors.outcomes import Piece, changes
from services.anonymizer.connectors.postgresql import store as transactions
from services.anonymizer.connectors.postgresql.frozen import noted
from services.anonymizer.connectors.postgresql.preserve import preserve
from services.anonymizer.connectors.postgresql.store import Connections
from services.anonymizer.connectors.postgresql.whose import blanks, reduced, refers
from services.anonymizer.contract import Change, Expected, Fate, Swept
from services.anonymizer.datamap import Store
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.orders import Hold
from services.anonymizer.rules.pushdown import Params, going, verdicts

_MONTHS = """
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass ORDER BY c.relname"""
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


async def sweep(connections: Connections, sweep: UUID, terms: Terms, guard: Guard) -> AsyncIterator[Piece]:
    """Every piece that something went in, those of an earlier run of the same sweep included."""
    store = connections.store
    for name in store.order:
        for part in await _parts(connections, name):
            piece = Part(store, name, part, uuid5(sweep, f"{store.store}/{name}/{part or ''}"), terms)
            done = await connections.write_guarded(piece.step, guard, piece.run)
            if done.swept:
                yield done


async def _parts(connections: Connections, name: str) -> list[str | None]:
    """The months of a table, or None for a table that has none."""
    if not connections.store.tables[name].months:
        return [None]
    async with connections.reading() as connection:
        return [row["name"] for row in await connection.fetch(_MONTHS, name)]


@dataclass
class Part:
    """One table, or one month of it (`part` is the partition)."""

    store: Store
    name: str
    part: str | None
    step: UUID
    terms: Terms

    async def run(self, connection: asyncpg.Connection, holds: list[Hold]) -> Piece:
        done = await transactions.finished(connection, self.step)
        if done is None:
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
        decided = verdicts(self.store, table, self.terms, "sweep", params)
        source = self.part or self.name
        rows = await connection.fetch(
            f"SELECT v, count(*) AS count, min(t.{table.at}) AS first FROM "
            f"(SELECT t.*, {decided.number} AS v FROM {source} t WHERE NOT {reduced(table, params)} OFFSET 0) t GROUP BY v",
            *params,
        )
        going = [row for row in rows if row["v"] is not None and decided.branches[row["v"]].decision.action != "keep"]
        if not going:
            return []
        await preserve(connection, self.store, self.name, self._going, self.step, holds, None, self.terms.book, source)
        whole = self.part is not None and len(going) == len(rows)
        if whole:
            await connection.execute(f"ALTER TABLE {self.name} DETACH PARTITION {self.part}")
            await connection.execute(f"DROP TABLE {self.part}")
        else:
            await self._delete(connection, source)
        return [
            Swept(
                store=self.store.store,
                table=self.name,
                rule=decided.branches[row["v"]].decision.rule,
                month=_month(row["first"]),
                how="partition" if whole else "delete",
                count=row["count"],
            )
            for row in going
        ]

    async def _delete(self, connection: asyncpg.Connection, source: str) -> None:
        table, params = self.store.tables[self.name], Params()
        alone = "".join(f" AND NOT {refers(link)}" for link in table.stays_for)
        await connection.execute(f"DELETE FROM {source} t WHERE {self._going(params)}{alone}", *params)
        if table.stays_for:
            # Whoever is left and should go is referred to by a row that stays.
            params = Params()
            assigned = ", ".join(f"{column} = {blank}" for column, blank in blanks(table, params).items())
            await connection.execute(f"UPDATE {source} t SET {assigned} WHERE {self._going(params)}", *params)

    def _going(self, params: Params) -> str:
        table = self.store.tables[self.name]
        expired = going(verdicts(self.store, table, self.terms, "sweep", params))
        return f"{expired} AND NOT {reduced(table, params)}"


def _month(at: datetime) -> str:
    return f"{at:%Y-%m}"
