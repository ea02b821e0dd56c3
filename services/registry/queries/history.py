"""Reads: every version of the book as the public sees it, with what each one changed."""

import asyncio
from datetime import datetime
from functools import lru_cache

from chassis.db import Database
from services.registry.contract import Difference, PolicyBook, PolicyVersion
from services.registry.pages import Shown
from services.registry.queries.book import book_of, versions
from services.registry.rules.diff import differences, public

_MOST = 50


async def shown(database: Database, now: datetime) -> list[Shown]:
    """The newest versions, the newest first."""
    known = await versions(database)
    return await asyncio.to_thread(_shown, known, now)


def _shown(known: list[PolicyVersion], now: datetime) -> list[Shown]:
    pairs = list(zip([None, *known], known, strict=False))[-_MOST:]
    return [_one(before, version, now) for before, version in reversed(pairs)]


def _one(before: PolicyVersion | None, version: PolicyVersion, now: datetime) -> Shown:
    book = book_of(version.jws)
    return Shown(
        version=version.version,
        valid_from=book.valid_from,
        known_from=version.known_from.astimezone(book.tz).date(),
        differences=list(_changed(before.jws, version.jws)) if before else [],
        first=before is None,
        correction=before is not None and _begins_before(book, version.known_from),
        begins_later=version.valid_from > now,
    )


@lru_cache(maxsize=_MOST)
def _changed(before: str, after: str) -> tuple[Difference, ...]:
    return tuple(public(differences(book_of(before), book_of(after))))


def _begins_before(book: PolicyBook, known_from: datetime) -> bool:
    return book.valid_from < known_from.astimezone(book.tz).date()
