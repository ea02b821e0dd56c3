"""What differs between two states of the register's own rows, field by field. (Two books differ in plain words: `rules.diff`.)"""

from collections.abc import Iterator, Mapping
from typing import Any

from services.registry.contract.register import EntryKind, FieldChange, RowDifference


def differences(kind: EntryKind, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[RowDifference]:
    """Rows are JSON objects, by their keys."""
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if one != other:
            yield RowDifference(
                kind=kind,
                key=key,
                change="added" if one is None else "removed" if other is None else "changed",
                fields=list(field_changes(one or {}, other or {})),
                source=(other or one)["source"],
            )


def field_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[FieldChange]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield FieldChange(field=name, before=before.get(name), after=after.get(name))
