"""Reads of the living register: the row that counts for each key on a day, as it was known at an instant."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal
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
from services.registry.rules.subprocessors import Chain, Said, begun, overlaid

# Whoever writes what a bundle tells holds its lock while it reads the instant it is known from: behind them, nothing that was known
# then is still on its way. One after the other, for who waits holds none.
_SETTLED = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))"
_SETTLING = ("policy_version", "register", "finding", "access", "breaches")
# Of the rows that began by that day the one that began last counts; of those, the one that was learned last. A transfer's key begins
# with its sub-processor's.
_COUNTING = """
SELECT DISTINCT ON (key) id, key, valid_from, valid_to, known_from, body
FROM register_entry WHERE kind = $1 AND valid_from <= $2 AND known_from <= $3
  AND ($4::text[] IS NULL OR split_part(key, '/', 1) IN (SELECT unnest($4))) AND key > $5
ORDER BY key, valid_from DESC, known_from DESC LIMIT $6"""
_NEXT = """
SELECT DISTINCT key FROM register_entry
WHERE kind = $1 AND valid_from <= $2 AND known_from <= $3 AND key > $4 ORDER BY key LIMIT $5"""
_LATEST = "SELECT body FROM register_entry WHERE kind = $1 AND key = $2 ORDER BY known_from DESC LIMIT 1"
_SINCE = """
SELECT id, kind, key, valid_from, known_from FROM register_entry
WHERE kind <> 'contract' AND known_from <= $1 ORDER BY known_from DESC LIMIT $2"""
_NEWEST_EVENT = "SELECT event FROM register_entry WHERE known_from <= $1 ORDER BY known_from DESC LIMIT 1"
_PAGE = 500


@dataclass(frozen=True)
class Moment:
    """What is asked: the rules and facts of `as_of`, as they were known at `known_at`, and the book's day of it.

    begun: since when the books have said what they say of each sub-processor and transfer; what the register says later counts.
    """

    as_of: datetime
    known_at: datetime
    day: date
    version: str
    book: PolicyBook
    begun: Mapping[str, date]


@dataclass(frozen=True)
class Entry:
    key: str
    valid_from: date
    valid_to: date | None
    known_from: datetime
    body: str


async def moment(database: Database, as_of: datetime, known_at: datetime) -> Moment:
    """The book of that day with the register's own word on sub-processors and transfers. Raises what `as_written` does."""
    asked = await as_written(database, as_of, known_at)
    return replace(asked, book=await laid_over(database, asked))


async def as_written(database: Database, as_of: datetime, known_at: datetime) -> Moment:
    """The book of that day as it says itself: for whoever reads the register's own word beside it, which may be long.

    Raises VersionUnknown, and NotKnownYet for what the register will only know later.
    """
    if known_at > clock.now():
        raise NotKnownYet
    async with database.system() as connection:
        for kind in _SETTLING:
            await connection.execute(_SETTLED, kind)
    version = await version_in_force(database, as_of, known_at)
    full = book_of(version.jws)
    day = as_of.astimezone(full.tz).date()
    earlier = [
        book_of(each.jws)
        for each in sorted(await versions(database), key=lambda each: (each.valid_from, each.known_from))
        if each.valid_from <= as_of and each.known_from <= known_at
    ]
    # Decisions that ended are needed to say since when.
    book = on_the_day(full, as_of).model_copy(update={"adequacy": full.adequacy})
    return Moment(as_of, known_at, day, version.version, book, begun(earlier))


async def laid_over(database: Database, asked: Moment, only: Collection[str] | None = None) -> PolicyBook:
    """The book with what the register says of sub-processors and transfers. `only`: no sub-processor beside these."""
    said = {
        f"{kind}:{entry.key}": Said(entry.valid_from, None if _over(entry, asked.day) else _row(kind, entry.body))
        for kind in ("subprocessor", "transfer")
        async for entry in counting(database, kind, asked.day, asked.known_at, only)
    }
    own = tuple(row for row in asked.book.subprocessors if only is None or row.key in only)
    return overlaid(asked.book.model_copy(update={"subprocessors": own}), asked.begun, said)


async def chains(
    database: Database, asked: Moment, kind: Literal["subprocessor", "transfer"]
) -> AsyncIterator[tuple[list[str], Chain]]:
    """Every sub-processor or transfer, the book's first: its key, some at a time, with the chain that tells of them."""
    own = [row.identity for row in (asked.book.subprocessors if kind == "subprocessor" else asked.book.transfers)]
    keys, after = own, ""
    while True:
        if keys:
            yield keys, await _chain(database, asked, {key.partition("/")[0] for key in keys})
        async with database.system() as connection:
            page = [row["key"] for row in await connection.fetch(_NEXT, kind, asked.day, asked.known_at, after, _PAGE)]
        if not page:
            return
        keys, after = [key for key in page if key not in own], page[-1]


async def _chain(database: Database, asked: Moment, subprocessors: set[str]) -> Chain:
    """Of these, and of whoever engages them."""
    book = await laid_over(database, asked, subprocessors)
    above = {row.parent for row in book.subprocessors if row.parent} - subprocessors
    return await _chain(database, asked, subprocessors | above) if above else Chain(book, asked.day)


async def counting(
    database: Database, kind: EntryKind, day: date, known_at: datetime, only: Collection[str] | None = None
) -> AsyncIterator[Entry]:
    """The rows of a kind that count on a day, by key; also those that are over by then. Read some at a time, since whoever takes them may
    be slow; what was known then stays as it was. `only`: of these sub-processors."""
    some, after = None if only is None else list(only), ""
    while True:
        async with database.system_look() as connection:
            page = await connection.fetch(_COUNTING, kind, day, known_at, some, after, _PAGE)
        for row in page:
            yield _entry(row)
        if len(page) < _PAGE:
            return
        after = page[-1]["key"]


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
