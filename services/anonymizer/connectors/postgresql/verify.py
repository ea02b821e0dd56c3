"""Looking for a person again with other eyes: the verifier's credential, every declared column, every known value.

Nothing here is shared with the erasure's predicates. Each column that identifies anybody and each text is compared with every
value the person is known by; each row that is found must then be explained: it is another's (the number had passed on, somebody
bears the same name), or a rule keeps it. What nobody can explain remains.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from services.anonymizer.connectors.outcomes import Verification
from services.anonymizer.connectors.postgresql.frozen import keys
from services.anonymizer.connectors.postgresql.store import Connections
from services.anonymizer.contract import Finding, IdentifierType
from services.anonymizer.datamap import Store, anchors_in
from services.anonymizer.rules.facts import Terms, billed_by, facts_of, latest
from services.anonymizer.rules.person import NOTHING, Known, Person, mentions, subsequences
from services.anonymizer.rules.pushdown import key_of
from services.anonymizer.rules.retention import Facts, decide

Row = Mapping[str, Any]
_BATCH = 2000


async def verify(connections: Connections, person: Person, terms: Terms, elements: Sequence[str] = ()) -> Verification:
    """`elements`: only what is of these."""
    findings, frozen = [], await keys(connections)
    async with connections.reading("verifier") as connection:
        for name in connections.store.order:
            search = Search(connection, connections.store, name, person, terms, frozen)
            for column, count in (await (search.of(elements) if elements else search.run())).items():
                findings.append(Finding(table=name, column=column, count=count))
    return Verification(findings)


@dataclass
class Search:
    connection: asyncpg.Connection
    store: Store
    name: str
    person: Person
    terms: Terms
    frozen: frozenset[tuple[str, str]]

    async def run(self) -> dict[str, int]:
        """column → rows in which the person is still seen there without a reason."""
        table, unexplained = self.store.tables[self.name], {}
        for column, identifies in table.identifying.items():
            if identifies.party == "agent" or identifies.type == IdentifierType.name:
                continue  # an agent's employer decides; a name alone is nobody's
            unexplained[column] = await self._naming(column)
        pattern = mentions(self.person.known)
        for column in table.texts if pattern else ():
            unexplained[column] = await self._count(column, f"t.{column} ~* $1::text", pattern)
        for link in table.links:
            unexplained[link.column] = await self._hanging_on(link.column, link.table, link.key)
        return {column: count for column, count in unexplained.items() if count}

    async def of(self, elements: Sequence[str]) -> dict[str, int]:
        """column → rows of the person's own that still say it there; of a row that is of these elements as a whole, its key."""
        table, unexplained = self.store.tables[self.name], Counter[str]()
        for said in [table.key[0]] if table.rests_on(elements) else table.parts(elements):
            for column, identifies in table.identifying.items():
                if identifies.party in ("owner", "caller") and identifies.type != IdentifierType.name:
                    unexplained[said] += await self._naming(column, said)
            for link in table.links:
                unexplained[said] += await self._hanging_on(link.column, link.table, link.key, said)
        return {column: count for column, count in unexplained.items() if count}

    async def _naming(self, column: str, said: str | None = None) -> int:
        """Rows in which one of the person's values stands in `column`; with `said`, only those that say something there."""
        spelled = _spelled(known for known in self.person.known if known.type != IdentifierType.name)
        where, values = f"t.{column} = ANY($1::text[]) OR {_reads(f't.{column}')}", sorted(self.person.values())
        return await self._count(column, where, values, spelled, subsequences(self.person.known), said=said)

    async def _count(self, column: str, where: str, *values: Any, said: str | None = None) -> int:
        found = 0
        async for row in self.connection.cursor(
            f"SELECT t.*, {self._key()} FROM {self.name} t WHERE {where}", *values, prefetch=_BATCH
        ):
            found += self._says(row, said) and not await self._explained(column, row)
        return found

    def _says(self, row: Row, column: str | None) -> bool:
        return column is None or row[column] != self.store.tables[self.name].columns[column].redacted

    async def _hanging_on(self, column: str, parent: str, key: str, said: str | None = None) -> int:
        """Rows without a value of their own, that hang on a row that is still found by one."""
        found = 0
        for known in self.person.known:
            for name, identifies in self.store.tables[parent].identifying.items():
                if identifies.type != known.type or identifies.party not in ("owner", "caller") or known.type == "name":
                    continue
                rows = self.connection.cursor(
                    f"SELECT t.*, {self._key()}, p.{self.store.tables[parent].at} AS parent_arose FROM {self.name} t "
                    f"JOIN {parent} p ON p.{key} = t.{column} WHERE p.{name} = $1 OR {_reads(f'p.{name}')}",
                    known.value,
                    _spelled([known]),
                    subsequences([known]),
                    prefetch=_BATCH,
                )
                async for row in rows:
                    if not (known.holds_at(row["parent_arose"]) and self._says(row, said)):
                        continue
                    found += not await self._explained(None, row)
        return found

    async def _explained(self, column: str | None, row: Row) -> bool:
        table = self.store.tables[self.name]
        if self.store.controller == "tenant" and row[table.tenant] != self.person.tenant:
            return True
        if (self.name, row["wardline_key"]) in self.frozen:
            return True
        declared = table.columns[column] if column else None
        if column and declared and declared.text and await self._a_namesake(row, column):
            return True
        if column and declared and declared.identifies and not self._was_theirs(column, row):
            return True
        if decide(await self.facts(row), self.terms.book, self.terms.now, "deletion").action == "keep":
            return True
        return bool(declared and declared.stays and await self._referred_to(row))

    def _key(self) -> str:
        return f"{key_of(self.store.tables[self.name])}::text AS wardline_key"

    def _was_theirs(self, column: str, row: Row) -> bool:
        """A number that had passed on, or had not yet come, is another person's there."""
        at = row[self.store.tables[self.name].at]
        if self.store.tables[self.name].identifying[column].party == "contact":
            return False  # whose such a row is follows from its links
        return self.person.is_seen_in(row[column], at)

    async def _a_namesake(self, row: Row, column: str) -> bool:
        """The text holds nothing but a name, and the row belongs to somebody who bears it."""
        certain = mentions(known for known in self.person.known if known.type != IdentifierType.name)
        if certain and re.search(certain, row[column] or "", re.IGNORECASE):
            return False
        return not {name.lower() for name in self.person.names()}.isdisjoint(await self._own_names(row))

    async def _own_names(self, row: Row) -> set[str]:
        """The names of those whose row it is, its own or the ones of the rows it hangs on."""
        table = self.store.tables[self.name]
        names = {row[column] for column, what in table.identifying.items() if what.type == IdentifierType.name}
        for link in table.links:
            for column, what in self.store.tables[link.table].identifying.items():
                if what.type == IdentifierType.name:
                    select = f"SELECT {column} FROM {link.table} WHERE {link.key} = $1"
                    names.add(await self.connection.fetchval(select, row[link.column]))
        return {name.lower() for name in names if name}

    async def facts(self, row: Row) -> Facts:
        """What a row says to the retention rules, looked up row by row: not by the SQL that erases."""
        table = self.store.tables[self.name]
        anchors = {anchor: await self._when(anchor, row) for anchor in table.anchors}
        return facts_of(table, row, anchors, await self._billed(row), self.terms)

    async def _when(self, anchor: str, row: Row) -> datetime | None:
        table, times = self.store.tables[self.name], []
        places = anchors_in(table, anchor)
        if len(places) == 1 and places[0].table is None:
            return row[places[0].column]
        for place in places:
            select = f"SELECT {place.column} FROM {place.table} WHERE {place.key} = $1"
            times += [one[0] for one in await self.connection.fetch(select, await self._by(place.by or "", row))]
        return latest(times, row[table.at])

    async def _billed(self, row: Row) -> frozenset[str]:
        bills = self.store.tables[self.name].bills
        if not bills:
            return frozenset()
        _, invoice = self.store.invoices
        select = f"SELECT {invoice.paid_at}, {invoice.claim_until} FROM {bills.table} WHERE {bills.key} = $1"
        rows = await self.connection.fetch(select, await self._by(bills.by, row))
        return billed_by(((one[0], one[1]) for one in rows), self.terms.now)

    async def _by(self, by: str, row: Row) -> Any:
        column, _, linked = by.partition(".")
        if not linked:
            return row[column]
        link = next(link for link in self.store.tables[self.name].links if link.column == column)
        return await self.connection.fetchval(f"SELECT {linked} FROM {link.table} WHERE {link.key} = $1", row[column])

    async def _referred_to(self, row: Row) -> bool:
        for link in self.store.tables[self.name].stays_for:
            select = f"SELECT EXISTS (SELECT FROM {link.table} WHERE {link.column} = $1)"
            if await self.connection.fetchval(select, row[link.key]):
                return True
        return False


def _reads(column: str) -> str:
    """Whether a column holds what $2 spells. A regular expression with looks behind takes 20 µs a row, so only what has its letters
    and digits in their order ($3) is read that closely; CASE keeps the two in this order."""
    return f"CASE WHEN lower({column}) LIKE ANY($3::text[]) THEN {column} ~* $2::text ELSE false END"


def _spelled(known: Iterable[Known]) -> str:
    """However these values are written in a column of their own."""
    return mentions(known, column=True) or NOTHING
