"""Reads: what the registry found, as it was known at an instant; and together with what lawyers wrote into the book."""

from datetime import date, datetime

import asyncpg

from services.registry.contract import PolicyBook, Text
from services.registry.contract.findings import FindingTold

_KNOWN = """
SELECT DISTINCT ON (key) key, known_from, body FROM finding_entry WHERE known_from <= $1 ORDER BY key, known_from DESC"""
_UNTIL_DECIDED = Text(sv="Inte avgjort.", en="Not decided.")


async def known(connection: asyncpg.Connection, known_at: datetime) -> dict[str, dict]:
    """The last that was said of each finding, closed ones included."""
    return {row["key"]: row["body"] for row in await connection.fetch(_KNOWN, known_at)}


async def told(connection: asyncpg.Connection, book: PolicyBook, day: date, known_at: datetime) -> list[FindingTold]:
    """Everything open, the most urgent first. `book`: with the rows of the day."""
    found = [_found(body, day) for body in (await known(connection, known_at)).values() if body["state"] == "open"]
    return sorted([*_written(book, day), *found], key=lambda one: (one.due_on, one.key))


def _written(book: PolicyBook, day: date) -> list[FindingTold]:
    return [
        FindingTold(
            key=row.key,
            kind="book",
            statement=row.statement,
            decision=row.decision,
            rows=list(row.rows),
            owner=row.owner or book.controller.data_protection_officer,
            due_on=row.due_on or day,
            overdue=row.due_on is None or row.due_on < day,
            found_at=None,
            source=row.source,
        )
        for row in book.findings
    ]


def _found(body: dict, day: date) -> FindingTold:
    said = {name: value for name, value in body.items() if name != "state"}
    overdue = date.fromisoformat(body["due_on"]) < day
    fixed = {"decision": _UNTIL_DECIDED.model_dump(), "overdue": overdue, "source": "registry: compared by itself"}
    return FindingTold.model_validate(said | fixed, strict=False)
