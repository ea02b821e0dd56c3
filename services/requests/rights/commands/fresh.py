"""New rows that nothing of their transaction reads again: written with the others that are due, without a session's bookkeeping."""

import json
from collections.abc import Sequence
from functools import cache

from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from chassis.db import Transaction


def insert(tx: Transaction, rows: Sequence[SQLModel]) -> None:
    """Rows of one table, as they stand now, by one statement. What is due together is one round trip."""
    if not rows:
        return
    statement, columns = _insertion(type(rows[0]))
    tx.insert(
        statement,
        *([_written(getattr(row, name), is_json) for row in rows] for name, is_json in columns),
    )


def _written(value: object, is_json: bool) -> object:
    return json.dumps(value) if is_json and value is not None else value


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
