"""New rows that nothing of their transaction reads again: made and written without a session's bookkeeping, which costs more than
all that is done with them. They go with the others that are due."""

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import orjson
from pydantic_core import PydanticUndefined
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from chassis.db import Transaction

Row = TypeVar("Row", bound=SQLModel)


def new(table: type[Row], **given: Any) -> Row:
    """A row's values and nothing else; what is not given is as the table says."""
    return cast(Row, SimpleNamespace(**{**_defaults(table), **given}))


def insert(tx: Transaction, table: type[Row], rows: Sequence[Row]) -> None:
    """Rows as they stand now, by one statement. What is due together is one round trip."""
    if not rows:
        return
    statement, columns = _insertion(table)
    tx.insert(
        statement,
        *([_written(getattr(row, name), is_json) for row in rows] for name, is_json in columns),
    )


def _written(value: object, is_json: bool) -> object:
    return orjson.dumps(value).decode() if is_json and value is not None else value


@cache
def _defaults(table: type[SQLModel]) -> Mapping[str, Any]:
    defaults = {name: field.get_default() for name, field in table.model_fields.items()}
    return {name: default for name, default in defaults.items() if default is not PydanticUndefined}


@cache
def _insertion(table: type[SQLModel]) -> tuple[str, list[tuple[str, bool]]]:
    """The statement, and each column with whether it holds JSON."""
    known = SQLModel.metadata.tables[str(table.__tablename__)]
    columns = [(column.name, isinstance(column.type, JSONB)) for column in known.columns]
    types = ["TEXT" if isinstance(one.type, JSONB) else one.type.compile(postgresql.dialect()) for one in known.columns]
    names = ", ".join(name for name, _ in columns)
    told = ", ".join(f"{name}::jsonb" if is_json else name for name, is_json in columns)
    lists = ", ".join(f"${place}::{type}[]" for place, type in enumerate(types, start=1))
    return f"INSERT INTO {known.name} ({names}) SELECT {told} FROM unnest({lists}) new ({names})", columns
