"""Whose rows are, for several people in one statement: a table is joined with what they are known by, one branch for each column
that names somebody. `whose.py` says the same of one person, as a condition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.anonymizer.connectors.postgresql.whose import spelled, within
from services.anonymizer.contract import IdentifierType
from services.anonymizer.datamap import Store, Table
from services.anonymizer.rules.person import FINDS, Person
from services.anonymizer.rules.pushdown import Params

PLACE, TIE = "wardline_place", "wardline_tie"
"""What stands beside a row's own columns: which of the people, and the closest way in which it is theirs."""

_ROW = "wardline_part, wardline_row"


class Tie(IntEnum):
    """The closest first: a row of their own, one in which they are the other party, one of their work as an agent."""

    own, other, work = 0, 1, 2


_TIES = {"owner": Tie.own, "caller": Tie.own, "callee": Tie.other, "agent": Tie.work}


def places(store: Store, name: str, people: Sequence[Person], ties: Sequence[Tie]) -> list[int]:
    """Of whom something may stand in a table, by the kinds of values they are known by."""
    naming = _naming(store, name, ties)
    return [place for place, person in enumerate(people) if any(known.type in naming for known in person.known)]


def _naming(store: Store, name: str, ties: Sequence[Tie]) -> set[IdentifierType]:
    table = store.tables[name]
    found = {type for _, type, tie in _columns(table) if tie in ties}
    return found.union(*(_naming(store, link.table, [Tie.own]) for link in table.links))


def _columns(table: Table) -> Iterator[tuple[str, IdentifierType, Tie]]:
    for column, what in table.identifying.items():
        tie = _TIES.get(what.party)
        if tie is not None and (tie != Tie.own or what.type in FINDS):
            yield column, what.type, tie


@dataclass(frozen=True)
class Several:
    """People of one tenant, each by their place."""

    store: Store
    people: Sequence[Person]
    params: Params

    def rows(self, name: str, ties: Sequence[Tie]) -> str:
        """A table's rows, each once for everybody to whom it is tied."""
        branches = self._tied(name, "t", "t.*, t.tableoid AS wardline_part, t.ctid AS wardline_row", ties)
        return (
            f"(SELECT DISTINCT ON ({_ROW}, {PLACE}) * FROM ({' UNION ALL '.join(branches)}) tied "
            f"ORDER BY {_ROW}, {PLACE}, {TIE})"
        )

    def _tied(self, name: str, alias: str, what: str, ties: Sequence[Tie]) -> list[str]:
        """SELECTs of `what` with place and tie: by the row's own columns, or because it hangs on a row of theirs."""
        table, inner = self.store.tables[name], f"{alias}{len(alias)}"
        here = within(self.store, table, self.people[0], self.params, alias)
        # Two employers may number their agents alike.
        employer = f"{alias}.{table.tenant} = {self.params(self.people[0].tenant, 'uuid')}"
        found = [
            f"SELECT {what}, k.place AS {PLACE}, {tie:d} AS {TIE} FROM {name} {alias} JOIN {known} k(place, value, since, until) "
            f"ON {spelled(table, column, f'{alias}.{column}')} = k.value AND (k.since IS NULL OR {alias}.{table.at} >= k.since) "
            f"AND (k.until IS NULL OR {alias}.{table.at} < k.until) WHERE {employer if tie == Tie.work else here}"
            for column, type, tie in _columns(table)
            if tie in ties and (known := self._known(type))
        ]
        for link in table.links:
            owners = self._tied(link.table, inner, f"{inner}.{link.key} AS key", [Tie.own])
            if owners:
                found.append(
                    f"SELECT {what}, o.{PLACE}, o.{TIE} FROM {name} {alias} JOIN ({' UNION '.join(owners)}) o "
                    f"ON {alias}.{link.column} = o.key WHERE {here}"
                )
        return found

    def _known(self, type: IdentifierType) -> str:
        """Every value of a type with its place and period, to join with; nothing when nobody has one."""
        known = [(place, one) for place, person in enumerate(self.people) for one in dict.fromkeys(person.of(type))]
        if not known:
            return ""
        columns = (
            self.params([place for place, _ in known], "int[]"),
            self.params([one.value for _, one in known], "text[]"),
            self.params([one.from_ for _, one in known], "timestamptz[]"),
            self.params([one.to for _, one in known], "timestamptz[]"),
        )
        return f"unnest({', '.join(columns)})"
