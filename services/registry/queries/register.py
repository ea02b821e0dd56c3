"""Reads of the living register: the row that counts for each key on a day, as it was known at an instant."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from chassis import clock
from chassis.db import Database
from services.registry.contract import PolicyBook
from services.registry.contract.policy import SubProcessor, Transfer
from services.registry.contract.register import (
    ChangeRecord,
    ContractUnknown,
    EntryKind,
    KeepActivity,
    KeepContract,
    NotKnownYet,
    Transparency,
)
from services.registry.queries.book import book_of, version_in_force, versions
from services.registry.rules.book import on_the_day
from services.registry.rules.subprocessors import Said, begun, overlaid

# Whoever writes holds the same lock while it sets `known_from`: behind it, nothing that was known then is still on its way.
_SETTLED = "SELECT pg_advisory_xact_lock_shared(hashtextextended('register', 0))"
# Of the rows that began by that day the one that began last counts; of those, the one that was learned last.
_COUNTING = """
SELECT DISTINCT ON (key) id, key, valid_from, valid_to, known_from, body
FROM register_entry WHERE kind = $1 AND valid_from <= $2 AND known_from <= $3
ORDER BY key, valid_from DESC, known_from DESC"""
_LATEST = "SELECT body FROM register_entry WHERE kind = $1 AND key = $2 ORDER BY known_from DESC LIMIT 1"
_SINCE = """
SELECT id, kind, key, valid_from, known_from FROM register_entry
WHERE kind <> 'contract' AND known_from <= $1 ORDER BY known_from DESC LIMIT $2"""
_NEWEST_EVENT = "SELECT event FROM register_entry WHERE known_from <= $1 ORDER BY known_from DESC LIMIT 1"


@dataclass(frozen=True)
class Moment:
    """What is asked: the rules and facts of `as_of`, as they were known at `known_at`, and the book's day of it."""

    as_of: datetime
    known_at: datetime
    day: date
    version: str
    book: PolicyBook


@dataclass(frozen=True)
class Entry:
    key: str
    valid_from: date
    valid_to: date | None
    known_from: datetime
    body: str


async def moment(database: Database, as_of: datetime, known_at: datetime) -> Moment:
    """The book of that day with the register's own word on sub-processors and transfers.

    Raises VersionUnknown, and NotKnownYet for what the register will only know later.
    """
    if known_at > clock.now():
        raise NotKnownYet
    async with database.system() as connection:
        await connection.execute(_SETTLED)
    version = await version_in_force(database, as_of, known_at)
    full = book_of(version.jws)
    day = as_of.astimezone(full.tz).date()
    earlier = [
        book_of(each.jws)
        for each in sorted(await versions(database), key=lambda each: (each.valid_from, each.known_from))
        if each.valid_from <= as_of and each.known_from <= known_at
    ]
    said = {
        f"{kind}:{entry.key}": Said(entry.valid_from, None if _over(entry, day) else _row(kind, entry.body))
        for kind in ("subprocessor", "transfer")
        async for entry in counting(database, kind, day, known_at)
    }
    book = overlaid(on_the_day(full, as_of), begun(earlier), said)
    # Decisions that ended are needed to say since when.
    return Moment(as_of, known_at, day, version.version, book.model_copy(update={"adequacy": full.adequacy}))


async def counting(database: Database, kind: EntryKind, day: date, known_at: datetime) -> AsyncIterator[Entry]:
    """The rows of a kind that count on a day, by key; also those that are over by then. Read a few at a time."""
    async with database.system() as connection:
        async for row in connection.cursor(_COUNTING, kind, day, known_at, prefetch=500):
            yield _entry(row)


async def activities(database: Database, asked: Moment) -> AsyncIterator[KeepActivity]:
    async for entry in counting(database, "activity", asked.day, asked.known_at):
        if not _over(entry, asked.day):
            yield KeepActivity.model_validate_json(entry.body)


async def contracts(database: Database, asked: Moment) -> AsyncIterator[KeepContract]:
    async for entry in counting(database, "contract", asked.day, asked.known_at):
        if not _over(entry, asked.day):
            yield KeepContract.model_validate_json(entry.body)


async def changes(database: Database, asked: Moment) -> AsyncIterator[ChangeRecord]:
    async for entry in counting(database, "change", asked.day, asked.known_at):
        yield ChangeRecord.model_validate_json(entry.body)


async def reports(database: Database, asked: Moment) -> AsyncIterator[Transparency]:
    """The years' reports on orders of authorities, oldest first."""
    async for entry in counting(database, "transparency", asked.day, asked.known_at):
        yield Transparency.model_validate_json(entry.body)


def services_of(contracts: Iterable[KeepContract], customer: UUID) -> set[str]:
    """The services of a customer organisation's agreements. Raises ContractUnknown when it has none."""
    mine = [contract for contract in contracts if contract.customer == customer]
    if not mine:
        raise ContractUnknown
    return {service for contract in mine for service in contract.services}


async def newest(database: Database, known_at: datetime, limit: int) -> list[dict[str, Any]]:
    """The newest rows, newest first; contracts are between the operator and its customers."""
    async with database.system() as connection:
        return [dict(row) for row in await connection.fetch(_SINCE, known_at, limit)]


async def newest_event(database: Database, known_at: datetime) -> UUID | None:
    """The event of the newest row that was known."""
    async with database.system() as connection:
        return await connection.fetchval(_NEWEST_EVENT, known_at)


async def latest(connection: asyncpg.Connection, kind: EntryKind, key: str) -> str | None:
    """What was recorded last of one thing, whenever it holds."""
    return await connection.fetchval(_LATEST, kind, key)


def _over(entry: Entry, day: date) -> bool:
    return entry.valid_to is not None and entry.valid_to < day


def _row(kind: str, body: str) -> SubProcessor | Transfer:
    return (SubProcessor if kind == "subprocessor" else Transfer).model_validate_json(body)


def _entry(row: asyncpg.Record) -> Entry:
    return Entry(row["key"], row["valid_from"], row["valid_to"], row["known_from"], row["body"])
