"""Reads: which version of the book was in force, and where the ledger says so."""

from base64 import b64encode
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import asyncpg

from chassis import clock
from chassis.db import Database
from chassis.errors import Unavailable
from chassis.ledger import merkle
from chassis.ledger.contract import Inclusion
from chassis.ledger.tree import range_roots
from services.registry.contract import (
    PolicyBook,
    PolicyVersion,
    PolicyVersions,
    SignedTenantPeriods,
    TenantPeriodDocuments,
    VersionUnknown,
)
from services.registry.contract.signed import stored_payload
from services.registry.rules.book import digest

_VERSIONS = """
SELECT version, valid_from, known_from, jws FROM policy_version
WHERE $1::timestamptz IS NULL OR known_from > $1 ORDER BY known_from"""
_VERSIONS_BEFORE = "SELECT count(*) FROM policy_version WHERE known_from <= $1"
_IN_FORCE = """
SELECT version, valid_from, known_from, jws FROM policy_version
WHERE valid_from <= $1 AND known_from <= $2 ORDER BY valid_from DESC, known_from DESC LIMIT 1"""
_NAMED = "SELECT version, valid_from, known_from, jws FROM policy_version WHERE version = $1"
_TENANT_PERIODS = """
SELECT tenant, known_from, jws FROM tenant_periods
WHERE $1::timestamptz IS NULL OR known_from > $1 ORDER BY known_from"""
_PERIODS_BEFORE = "SELECT count(*) FROM tenant_periods WHERE known_from <= $1"
# The event of one version, and the oldest signed head that covers it: the same proof for as long as the ledger lives.
_PROVEN = """
SELECT l.position, l.event_id, l.leaf, e.body, c.size, c.note
FROM event e JOIN ledger_entry l ON l.event_id = e.id
JOIN LATERAL (SELECT size, note FROM ledger_checkpoint WHERE size >= l.position ORDER BY size LIMIT 1) c ON true
WHERE """
_OF_VERSION = "e.type = 'policy.in_force' AND convert_from(e.body, 'UTF8')::jsonb -> 'data' ->> 'version' = $1"
_OF_EVENT = "e.id = $1"


async def versions(database: Database) -> list[PolicyVersion]:
    """Every signed version, in the order in which the registry learned them."""
    return (await versions_after(database, None)).items


async def versions_after(database: Database, instant: datetime | None) -> PolicyVersions:
    """Those learned after an instant, and how many there were until then."""
    async with database.system() as connection:
        items = [_version(row) for row in await connection.fetch(_VERSIONS, instant)]
        return PolicyVersions(items=items, before=await connection.fetchval(_VERSIONS_BEFORE, instant))


async def tenant_periods_after(database: Database, instant: datetime | None) -> TenantPeriodDocuments:
    """The same of the signed documents by which tenants set their own times."""
    async with database.system() as connection:
        items = [SignedTenantPeriods(**row) for row in await connection.fetch(_TENANT_PERIODS, instant)]
        return TenantPeriodDocuments(items=items, before=await connection.fetchval(_PERIODS_BEFORE, instant))


async def version_in_force(database: Database, as_of: datetime, known_at: datetime) -> PolicyVersion:
    """The version that applied at `as_of`, as it was known at `known_at`. Raises VersionUnknown when none was."""
    async with database.system() as connection:
        row = await connection.fetchrow(_IN_FORCE, as_of, known_at)
    if row is None:
        raise VersionUnknown("No policy book was in force at that time, or none was known then.")
    return _version(row)


async def book_of_today(database: Database) -> PolicyBook:
    """The book in force now, with the rows that apply today."""
    now = clock.now()
    book = book_of((await version_in_force(database, now, now)).jws)
    return book.on(now.astimezone(book.tz).date())


async def version_named(database: Database, version: str) -> PolicyVersion:
    """Raises VersionUnknown."""
    async with database.system() as connection:
        row = await connection.fetchrow(_NAMED, version)
    if row is None:
        raise VersionUnknown("There is no such version.")
    return _version(row)


async def proof(database: Database, version: str) -> Inclusion:
    """That a version was put in force stands in the ledger. Raises Unavailable before it has its position."""
    return await _proof(database, _OF_VERSION, version)


async def proof_of_event(database: Database, event: UUID) -> Inclusion:
    """The same of any event of ours."""
    return await _proof(database, _OF_EVENT, event)


async def _proof(database: Database, which: str, value: str | UUID) -> Inclusion:
    async with database.system() as connection:
        row = await connection.fetchrow(_PROVEN + which, value)
        if row is None:
            raise Unavailable("The newest version is not in the ledger yet; ask again in a second.")
        path = await range_roots(connection, "registry", merkle.inclusion_ranges(row["position"] - 1, row["size"]))
    return Inclusion(
        position=row["position"],
        event_id=UUID(int=row["event_id"].int),
        leaf=b64encode(row["leaf"]).decode(),
        path=[b64encode(node).decode() for node in path],
        checkpoint=row["note"],
        body=row["body"].decode(),
    )


@lru_cache(maxsize=8)
def book_of(signed: str) -> PolicyBook:
    """The book inside a signature of ours."""
    return PolicyBook.model_validate_json(stored_payload(signed))


def _version(row: asyncpg.Record) -> PolicyVersion:
    return PolicyVersion(**row, sha256=digest(stored_payload(row["jws"])))
