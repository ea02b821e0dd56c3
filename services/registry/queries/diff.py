"""What changed: between two moments, and lately."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from chassis.db import Database
from services.registry.contract.register import Differences, EntryKind
from services.registry.queries import register
from services.registry.queries.book import book_of, versions
from services.registry.queries.register import Moment
from services.registry.rules import diff, rows

_LATELY = 100


@dataclass(frozen=True)
class News:
    """One change of book or register, for a feed."""

    id: UUID
    title: str
    summary: str
    at: datetime


async def differences(database: Database, before: Moment, after: Moment) -> Differences:
    return Differences(
        from_version=before.version,
        to_version=after.version,
        book=diff.differences(before.book, after.book),
        register_rows=[
            each
            for kind in ("activity", "contract")
            for each in rows.differences(kind, await _rows(database, kind, before), await _rows(database, kind, after))
        ],
    )


async def newest(database: Database, known_at: datetime) -> list[News]:
    """Newest first. A row of the register is told by its kind and day; who may read it asks for what it says."""
    register_rows = [
        News(row["id"], f"{row['kind']}: {row['key']}", f"holds from {row['valid_from']}", row["known_from"])
        for row in await register.newest(database, known_at, _LATELY)
    ]
    books = [
        News(
            uuid5(NAMESPACE_URL, f"wardline:policy:{each.version}"),
            f"policy book {each.version}",
            f"in force from {book_of(each.jws).valid_from}, sha256 {each.sha256}",
            each.known_from,
        )
        for each in await versions(database)
        if each.known_from <= known_at
    ]
    return sorted([*register_rows, *books], key=lambda news: news.at, reverse=True)[:_LATELY]


async def _rows(database: Database, kind: EntryKind, asked: Moment) -> dict[str, Any]:
    return {
        entry.key: orjson.loads(entry.body)
        async for entry in register.counting(database, kind, asked.day, asked.known_at)
        if entry.valid_to is None or entry.valid_to >= asked.day
    }
