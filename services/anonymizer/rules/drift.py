"""Where a store is no longer what the data map says: something is missing, or something personal was never declared.

Three signs, each enough: a column's name, the form of its values, and a checksum where the form has one. Values are looked at here and
go no further: what is reported is where, what it looks like, and in how many of how many samples.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from services.anonymizer.contract import Drift
from services.anonymizer.datamap import TECHNICAL, Store, Table
from services.anonymizer.text.patterns import found

SAMPLES = 200
Seen = Mapping[str, Mapping[str, Sequence[str]]]
"""table → column → some of its values."""

_MOST = 0.6
_FORMS = {"personnummer", "iban", "email", "mac", "ip", "phone", "card"}
_NAMES = {
    "name": r"name|namn",
    "email": r"mail|e_?post",
    "phone": r"phone|telef|mobil|msisdn|caller|callee",
    "personnummer": r"personnummer|ssn|birth|fodel|identity",
    "address": r"address|adress|street|gata|postal",
    "iban": r"iban|bank_?account|kontonummer",
    "ip": r"(^|_)ip(_|$)",
    "mac": r"(^|_)mac(_|$)",
    "customer": r"customer_?n|kundn|subscriber",
    "location": r"latitude|longitude|geo|(^|_)cell(_|$)",
}


def drifts(store: Store, seen: Seen) -> list[Drift]:
    return [drift for name in sorted({*store.tables, *seen}) for drift in _of_table(store, name, seen.get(name))]


def _of_table(store: Store, name: str, columns: Mapping[str, Sequence[str]] | None) -> list[Drift]:
    table = store.tables.get(name)
    if columns is None:
        return [Drift(store=store.store, table=name, column=None, kind="missing")]
    drifting = []
    for column in sorted({*(table.columns if table else ()), *columns}):
        if column not in columns:
            drifting.append(Drift(store=store.store, table=name, column=column, kind="missing"))
        elif drift := _of_column(store, name, table, column, columns[column]):
            drifting.append(drift)
    return drifting


def _of_column(store: Store, name: str, table: Table | None, column: str, values: Sequence[str]) -> Drift | None:
    declared = table.columns.get(column) if table else None
    if declared and declared.element != TECHNICAL:
        return None
    form, count = _form(values)
    # Of what was declared to say nothing the values must say so; an undeclared column is suspect by its name, too.
    looks_like = form or (None if declared else _by_name(column))
    if declared and not looks_like:
        return None
    return Drift(
        store=store.store,
        table=name,
        column=column,
        kind="mislabelled" if declared else "undeclared",
        looks_like=looks_like,
        alike=count,
        sampled=len(values),
    )


def _form(values: Sequence[str]) -> tuple[str | None, int]:
    """The form that most of the values have in whole."""
    forms = Counter(form for value in values for form in _forms(value))
    if not forms:
        return None, 0
    form, count = max(forms.items(), key=lambda each: each[1])
    return (form, count) if count >= _MOST * len(values) else (None, 0)


def _forms(value: str) -> set[str]:
    text = value.strip()
    return {span.kind for span in found(text) if (span.start, span.end) == (0, len(text))} & _FORMS


def _by_name(column: str) -> str | None:
    return next((kind for kind, pattern in _NAMES.items() if re.search(pattern, column, re.IGNORECASE)), None)
