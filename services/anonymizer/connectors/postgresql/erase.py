"""One person's deletion in a PostgreSQL store: a few set-based statements and the journal's row, in one transaction.

Every statement sees the same moment. What the rules keep is counted and left; what an order holds is copied aside just before
its ordinary row goes, so that nothing about the ordinary tables, the counts or the answer differs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson

from services.anonymizer.connectors.guard import Guard
from services.anonymizer.connectors.outcomes import Effect, merged, outcome, read, written
from services.anonymizer.connectors.postgresql import store as transactions
from services.anonymizer.connectors.postgresql.frozen import noted, unchanged
from services.anonymizer.connectors.postgresql.preserve import preserve
from services.anonymizer.connectors.postgresql.store import Connections
from services.anonymizer.connectors.postgresql.whose import (
    NOBODYS,
    blanks,
    named_in,
    other_bearers,
    other_party_columns,
    owned,
    reduced,
    refers,
    within,
)
from services.anonymizer.contract import Action, IdentifierType, Outcome
from services.anonymizer.datamap import Link, Store, Table
from services.anonymizer.rules.facts import Terms
from services.anonymizer.rules.orders import Hold
from services.anonymizer.rules.person import ERASED, NOTHING, Person, mentions
from services.anonymizer.rules.pushdown import Params, going, verdicts
from services.anonymizer.rules.retention import gone, kept

Where = Callable[[Params], str]
Values = Callable[[Params], dict[str, str]]

_NO_STEP = UUID(int=0)
_PRESERVED = "SELECT hold, count(*) FROM wardline.preserved WHERE step = $1 GROUP BY hold"


async def erase(
    connections: Connections, step: UUID, person: Person, terms: Terms, guard: Guard, elements: Sequence[str] = ()
) -> Effect:
    """Does it once: asked again, answers what was done. `elements`: only what is of these. Raises StoreUnavailable, and then nothing was
    done."""

    async def work(connection: asyncpg.Connection, holds: list[Hold]) -> Effect:
        await unchanged(connection)
        done = await transactions.finished(connection, step)
        if done is None:
            await transactions.begin(connection, step, terms.now)
            now = await noted(connection, terms)
            outcomes = await Erasure(connection, connections.store, step, person, now, holds, elements).run()
            await transactions.finish(connection, step, written(outcomes))
        else:
            outcomes = read(orjson.loads(done))
        return Effect(outcomes, {row["hold"]: row["count"] for row in await connection.fetch(_PRESERVED, step)})

    return await connections.write_guarded(step, guard, work)


async def preview(
    connections: Connections, person: Person, terms: Terms, elements: Sequence[str] = ()
) -> list[Outcome]:
    async def work(connection: asyncpg.Connection) -> list[Outcome]:
        now = await noted(connection, terms)
        return await Erasure(connection, connections.store, _NO_STEP, person, now, [], elements, rehearsed=True).run()

    return await connections.rehearse(work)


@dataclass
class Erasure:
    """The statements of one deletion, table by table: whoever refers to another goes before it."""

    connection: asyncpg.Connection
    store: Store
    step: UUID
    person: Person
    terms: Terms
    holds: list[Hold]
    elements: Sequence[str] = ()
    rehearsed: bool = False

    async def run(self) -> list[Outcome]:
        outcomes = []
        if self.elements:
            for name in self.store.order:
                outcomes += await self._of_elements(name)
            return merged(outcomes)
        for name in self.store.order:
            outcomes += await self._own_rows(name)
            outcomes += await self._as_other_party(name)
        for name in self.store.order:
            outcomes += await self._mentions(name)
        return merged(outcomes)

    async def _of_elements(self, name: str) -> list[Outcome]:
        """The person's rows of these elements; of rows that are kept as something else, single columns."""
        table = self.store.tables[name]
        if table.rests_on(self.elements):
            return await self._own_rows(name)
        return [one for column in table.parts(self.elements) for one in await self._own_column(name, column)]

    async def _own_column(self, name: str, column: str) -> list[Outcome]:
        def saying(params: Params) -> str:
            return f"{self._own(name, params)} AND t.{column} IS DISTINCT FROM {self._blank(name, column, params)}"

        def going(params: Params) -> str:
            return f"{saying(params)} AND {self._gone(name, params)}"

        if self._own(name, Params()) == NOBODYS:
            return []
        count = await self._update(name, lambda params: {column: self._blank(name, column, params)}, going)
        return [*await self._kept(name, saying, column), self._outcome(name, count, Action.redact, column)]

    async def _own_rows(self, name: str) -> list[Outcome]:
        """The person's rows: those that nothing keeps are deleted, or reduced where a kept row refers to them."""
        if owned(self.store, name, self.person, Params()) == NOBODYS:
            return []
        outcomes, table = [], self.store.tables[name]
        for link in table.stays_for:
            outcomes += await self._reduce(name, link)

        def going(params: Params) -> str:
            alone = "".join(f" AND NOT {refers(link)}" for link in table.stays_for)
            return f"{self._own(name, params)} AND {self._gone(name, params)}{alone}"

        gone = await self._delete(name, going)
        # Counted last, when only what stays is left to be looked at.
        kept = await self._kept(name, lambda params: self._own(name, params))
        return [*kept, *outcomes, self._outcome(name, gone)]

    async def _as_other_party(self, name: str) -> list[Outcome]:
        """Somebody else's traffic with the person. It stays, since it is theirs too (their invoice, their access); only the
        person's number leaves it, as soon as the payer's invoice, or the law's own time, no longer needs it."""
        outcomes = []
        for column in other_party_columns(self.store, name, self.person):
            outcomes += await self._other_party_in(name, column)
        return outcomes

    async def _other_party_in(self, name: str, column: str) -> list[Outcome]:
        def theirs(params: Params) -> str:
            other = named_in(self.store, name, column, self.person, params)
            return f"{other} AND NOT {self._own(name, params)}"

        def going(params: Params) -> str:
            return f"{theirs(params)} AND {self._gone(name, params)}"

        count = await self._update(name, lambda params: {column: self._blank(name, column, params)}, going)
        kept = await self._kept(name, theirs, column)
        return [*kept, self._outcome(name, count, Action.redact, column)]

    async def _mentions(self, name: str) -> list[Outcome]:
        """Where somebody else's text speaks of the person, the words that identify them are replaced."""
        table = self.store.tables[name]
        certain = mentions(known for known in self.person.known if known.type != IdentifierType.name)
        anything = mentions(self.person.known)
        if not table.texts or not anything:
            return []

        def pattern(params: Params) -> str:
            names = other_bearers(self.store, table, self.person.names(), params)
            return f"(CASE WHEN {names} THEN {params(certain or NOTHING, 'text')} ELSE {params(anything, 'text')} END)"

        def speaking(params: Params) -> str:
            looked_for = pattern(params)
            found = " OR ".join(f"t.{column} ~* {looked_for}" for column in table.texts)
            return f"({found}) AND NOT {self._own(name, params)} AND {within(self.store, table, self.person, params)}"

        def cleaned(params: Params) -> dict[str, str]:
            looked_for, blank = pattern(params), params(ERASED, "text")
            return {column: f"regexp_replace(t.{column}, {looked_for}, {blank}, 'gi')" for column in table.texts}

        count = await self._update(name, cleaned, speaking)
        return [self._outcome(name, count, Action.redact, table.texts[0])]

    async def _kept(self, name: str, whose: Where, column: str | None = None) -> list[Outcome]:
        """What each rule keeps, with the last day on which it keeps any of it."""
        table, params = self.store.tables[name], Params()
        decided = verdicts(self.store, table, self.terms, "deletion", params)
        dated = [(n, branch) for n, branch in enumerate(decided.branches) if branch.anchor]
        day = (
            f"CASE v {' '.join(f'WHEN {n} THEN ({b.anchor})' for n, b in dated)} END" if dated else "NULL::timestamptz"
        )
        rows = await self.connection.fetch(
            f"SELECT v, count(*) AS count, max({day}) AS day FROM "
            f"(SELECT t.*, {decided.number} AS v FROM {name} t WHERE {whose(params)} OFFSET 0) t GROUP BY v ORDER BY v",
            *params,
        )
        outcomes = []
        for row in rows:
            branch = decided.branches[row["v"]] if row["v"] is not None else None
            if branch and branch.decision.action == "keep":
                until = (branch.period, row["day"]) if row["day"] and branch.period else None
                outcomes.append(
                    outcome(
                        self.store,
                        name,
                        branch.decision,
                        row["count"],
                        self.terms.book,
                        element=table.columns[column].element if column else None,
                        until=until,
                    )
                )
        return outcomes

    async def _reduce(self, name: str, link: Link) -> list[Outcome]:
        """A row that a kept row refers to stays, but says no more than that one needs."""
        table, rule = self.store.tables[name], self.store.tables[link.table].rules(self.terms.book)[0][0]

        def staying(params: Params) -> str:
            return f"{self._own(name, params)} AND {self._gone(name, params)} AND {refers(link)}"

        def saying_more(params: Params) -> str:
            return f"{staying(params)} AND NOT {reduced(table, params)}"

        params = Params()
        count = await self.connection.fetchval(f"SELECT count(*) FROM {name} t WHERE {staying(params)}", *params)
        return [
            outcome(self.store, name, kept(rule, None, self.terms.book), count, self.terms.book),
            self._outcome(
                name, await self._update(name, lambda params: blanks(table, params), saying_more), Action.redact
            ),
        ]

    async def _delete(self, name: str, where: Where) -> int:
        await self._preserve(name, where)
        params = Params()
        return _touched(await self.connection.execute(f"DELETE FROM {name} t WHERE {where(params)}", *params))

    async def _update(self, name: str, values: Values, where: Where) -> int:
        await self._preserve(name, where)
        params = Params()
        assigned = ", ".join(f"{column} = {value}" for column, value in values(params).items())
        return _touched(await self.connection.execute(f"UPDATE {name} t SET {assigned} WHERE {where(params)}", *params))

    async def _preserve(self, name: str, where: Where) -> None:
        if not self.rehearsed:
            await preserve(
                self.connection, self.store, name, where, self.step, self.holds, self.person, self.terms.book
            )

    def _own(self, name: str, params: Params) -> str:
        return owned(self.store, name, self.person, params)

    def _gone(self, name: str, params: Params) -> str:
        return going(verdicts(self.store, self.store.tables[name], self.terms, "deletion", params))

    def _blank(self, name: str, column: str, params: Params) -> str:
        blank = self.store.tables[name].columns[column].redacted
        return "NULL" if blank is None else params(blank, "text")

    def _outcome(self, name: str, count: int, action: Action = Action.erase, column: str | None = None) -> Outcome:
        table: Table = self.store.tables[name]
        decision = gone(table.rules(self.terms.book)[0][0], self.terms.book, "deletion")
        element = table.columns[column].element if column else None
        return outcome(self.store, name, decision, count, self.terms.book, element=element, action=action)


def _touched(status: str) -> int:
    """`DELETE 12` → 12."""
    return int(status.rpartition(" ")[2])
