"""A new row that nothing of its transaction reads again: written with the others that are due, without a session's bookkeeping."""

import json
from functools import cache

from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from chassis.db import Transaction


def insert(tx: Transaction, row: SQLModel) -> None:
    """As it stands now. Several that are due together are one round trip."""
    statement, columns = _insertion(type(row))
    values = (getattr(row, name) for name in columns)
    tx.insert(
        statement,
        *(
            json.dumps(value) if columns[name] and value is not None else value
            for name, value in zip(columns, values, strict=True)
        ),
    )


@cache
def _insertion(table: type[SQLModel]) -> tuple[str, dict[str, bool]]:
    """The statement, and each column with whether it holds JSON."""
    known = SQLModel.metadata.tables[str(table.__tablename__)]
    columns = {column.name: isinstance(column.type, JSONB) for column in known.columns}
    places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    return f"INSERT INTO {known.name} ({', '.join(columns)}) VALUES ({places})", columns
