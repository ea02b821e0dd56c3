"""Whom each tenant knows, gathered from the columns that the data map declares, and a cleaner for each tenant."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from services.anonymizer.contract import IdentifierType
from services.anonymizer.datamap import Table
from services.anonymizer.text.cleaning import Cleaner
from services.anonymizer.text.known import Known, Vocabulary

_KINDS = {
    IdentifierType.name: "names",
    IdentifierType.email: "emails",
    IdentifierType.msisdn: "numbers",
    IdentifierType.customer: "others",
    IdentifierType.account: "others",
}
# A street with its number names somebody, a town does not.
_STREET = re.compile(r"(?=.*\d)(?=.*[^\W\d_])")
ADDRESS = "address"

Told = dict[UUID, dict[str, set[str]]]
KnownPeople = Callable[[], Awaitable[Told]]


def telling(table: Table) -> dict[str, str]:
    """Column → what its values are, for those by which people may be mentioned in a text."""
    found = {name: _KINDS[what.type] for name, what in table.identifying.items() if what.type in _KINDS}
    return found | {name: "addresses" for name, column in table.columns.items() if column.element == ADDRESS}


def gather(told: Told, tenant: UUID, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        for column, kind in columns.items():
            value = row[column]
            if value and (kind != "addresses" or _STREET.match(value)):
                told[tenant][kind].add(value)


def nobody() -> Told:
    return defaultdict(lambda: defaultdict(set))


class Cleaners:
    """A tenant's cleaner is made when its first text comes."""

    def __init__(self, told: Told) -> None:
        self.told, self._made = told, dict[UUID, Cleaner]()

    def __call__(self, tenant: UUID) -> Cleaner:
        if tenant not in self._made:
            kinds = {kind: tuple(sorted(values)) for kind, values in self.told.get(tenant, {}).items()}
            self._made[tenant] = Cleaner(Known(Vocabulary(**kinds)))
        return self._made[tenant]
