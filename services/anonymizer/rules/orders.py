"""Which rows an order holds: exactly identifier × category × period.

Whether a category of an order covers a table follows from the policy book; nothing else of the order is known here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.anonymizer.contract import IdentifierType
from services.anonymizer.datamap import Table
from services.anonymizer.rules.person import Known, Person
from services.registry.contract import NotInBook, PolicyBook


@dataclass(frozen=True)
class Hold:
    """One identifier of one hold, in one period (`to` is excluded)."""

    hold: UUID
    identifier: Known
    categories: tuple[str, ...]
    from_: datetime
    to: datetime

    def names(self, person: Person | None) -> bool:
        return person is not None and any(
            known.type == self.identifier.type and known.value == self.identifier.value for known in person.known
        )


def holding(holds: Iterable[Hold], table: Table, book: PolicyBook) -> list[Hold]:
    """The holds that may concern rows of this table."""
    return [hold for hold in holds if any(covers(category, table, book) for category in hold.categories)]


def covers(category: str, table: Table, book: PolicyBook) -> bool:
    """Whether what an order calls `category` lies in this table: by the order's own category, or by a category or element of
    the book. A category nobody knows covers everything, since what is held by mistake can be let go, and the reverse cannot."""
    elements = {column.element for column in table.columns.values()} | {table.element}
    try:
        asked = book.order_category(category)
    except NotInBook:
        try:
            return not elements.isdisjoint(book.elements_of(category))
        except NotInBook:
            return True
    kinds = {kind for kind in table.kinds() if kind}
    return table.element in asked.elements and (not asked.kinds or not kinds or not kinds.isdisjoint(asked.kinds))


def touches(hold: Hold, table: Table, row: dict[str, object], person: Person | None) -> bool:
    """Whether one row is held. A table without a column for such an identifier is held for the person the hold names."""
    columns = columns_of(table, hold.identifier.type)
    named = any(row.get(column) == hold.identifier.value for column in columns) if columns else hold.names(person)
    at = row[table.at]
    return named and (table.lasting or (isinstance(at, datetime) and hold.from_ <= at < hold.to))


def columns_of(table: Table, type: IdentifierType) -> list[str]:
    return [name for name, identifies in table.identifying.items() if identifies.type == type]
