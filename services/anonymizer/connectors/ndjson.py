"""The lines of a collection: objects announce a table or the end, arrays are rows. Connectors hand over bytes."""

from collections.abc import Mapping

import orjson

from services.anonymizer.contract import Column, EndLine, TableLine
from services.anonymizer.datamap import Column as Declared
from services.anonymizer.datamap import Table
from services.anonymizer.rules.portability import may_be_taken_along
from services.registry.contract import PolicyBook


def shown(table: Table, book: PolicyBook, portable: bool = False) -> dict[str, Declared]:
    """The columns that a copy has: all that say something about a person, or those that they may take along."""
    return {
        column: declared
        for column, declared in table.shown.items()
        if not portable or may_be_taken_along(declared.element, book)
    }


def table_line(name: str, table: Table, book: PolicyBook, portable: bool = False) -> bytes:
    columns = [
        Column(
            name=column,
            element=declared.element,
            category=book.category_of(declared.element).key,
            label=book.element(declared.element).label,
        )
        for column, declared in shown(table, book, portable).items()
    ]
    return _line(TableLine(table=name, columns=columns).model_dump(mode="json"))


def row_line(values: list[object]) -> bytes:
    """Timestamps come out as RFC 3339 with their offset."""
    return _line(values)


def end_line(counts: Mapping[str, int]) -> bytes:
    return _line(EndLine(counts=dict(counts)).model_dump(mode="json"))


def _line(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
