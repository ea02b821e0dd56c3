"""Rows written without a session's unit of work, which costs more than all that is done with them: one statement for all that are alike.

Statements come as (statement, *arguments), for `Transaction.write`; each argument has a value for every row.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import orjson
from pydantic_core import PydanticUndefined
from sqlalchemy import Column, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, class_mapper
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import SQLModel

Row = TypeVar("Row", bound=SQLModel)
Statement = tuple[Any, ...]

_DIALECT = postgresql.dialect()
_quoted = _DIALECT.identifier_preparer.quote


def new_row(table: type[Row], **given: Any) -> Row:
    """A row made as the ORM makes those that it reads, which costs a tenth of its constructor and checks as little; what is not
    given is as the table says."""
    row = class_mapper(table).class_manager.new_instance()
    vars(row).update(_defaults(table), **given)
    return row


def inserting(table: type[Row], rows: Sequence[Row]) -> Statement:
    """New rows that nothing of their transaction reads again, as they stand now."""
    statement, columns = _insertion(table)
    return statement, *(_written(rows, column) for column in columns)


def changing(session: Session) -> list[Statement]:
    """What the session's rows were given since they were read or written last; the session takes it for written. By their ids, which come
    first: as many rows have to be found."""
    alike = defaultdict[tuple[type[SQLModel], tuple[str, ...]], list[SQLModel]](list)
    for row in session.dirty:
        before = inspect(row).committed_state
        if changed := tuple(sorted(name for name, value in before.items() if value != getattr(row, name))):
            alike[type(row), changed].append(row)
    statements = list[Statement]()
    for (table, changed), rows in alike.items():
        statement, columns = _change(table, changed)
        statements.append((statement, *(_written(rows, column) for column in columns)))
        for row in rows:
            for name in changed:
                set_committed_value(row, name, getattr(row, name))
    return statements


def _written(rows: Sequence[SQLModel], column: Column[Any]) -> list[object]:
    values = [getattr(row, column.name) for row in rows]
    return [_json(value) for value in values] if isinstance(column.type, JSONB) else values


def _json(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


@cache
def _defaults(table: type[SQLModel]) -> Mapping[str, Any]:
    defaults = {name: field.get_default() for name, field in table.model_fields.items()}
    return {name: default for name, default in defaults.items() if default is not PydanticUndefined}


@cache
def _insertion(table: type[SQLModel]) -> tuple[str, list[Column[Any]]]:
    known = SQLModel.metadata.tables[str(table.__tablename__)]
    columns = list(known.columns)
    names, told = ", ".join(_quoted(one.name) for one in columns), ", ".join(map(_told, columns))
    return f"INSERT INTO {known.name} ({names}) SELECT {told} FROM {_given(columns)}", columns


@cache
def _change(table: type[SQLModel], changed: tuple[str, ...]) -> tuple[str, list[Column[Any]]]:
    known = SQLModel.metadata.tables[str(table.__tablename__)]
    keys, columns = list(known.primary_key.columns), [known.columns[name] for name in changed]
    sets = ", ".join(f"{_quoted(one.name)} = {_told(one)}" for one in columns)
    same = " AND ".join(f"{known.name}.{_quoted(key.name)} = {_told(key)}" for key in keys)
    found = [*keys, *columns]
    return f"UPDATE {known.name} SET {sets} FROM {_given(found)} WHERE {same} RETURNING 1", found


def _given(columns: Sequence[Column[Any]]) -> str:
    lists = ", ".join(f"${place}::{_type(one)}[]" for place, one in enumerate(columns, start=1))
    return f"unnest({lists}) given ({', '.join(_quoted(one.name) for one in columns)})"


def _told(column: Column[Any]) -> str:
    return f"given.{_quoted(column.name)}{'::jsonb' if isinstance(column.type, JSONB) else ''}"


def _type(column: Column[Any]) -> str:
    return "TEXT" if isinstance(column.type, JSONB) else column.type.compile(_DIALECT)
