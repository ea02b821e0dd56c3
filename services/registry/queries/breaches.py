"""Reads of the breach register: each breach with its last statement and all its clocks, as known at an instant."""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import asyncpg

from chassis import clock
from chassis.errors import NotFound
from services.registry.contract import PolicyBook, PolicyVersion
from services.registry.contract.breaches import Breach, Clock, Notice, Statement
from services.registry.queries.book import book_of
from services.registry.rules import breaches as rules

Versions = list[PolicyVersion]

_BREACHES = """
SELECT * FROM breach WHERE reported_at <= $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"""
_OPEN = "SELECT * FROM breach WHERE reported_at <= $1 AND closed_at IS NULL ORDER BY id"
_ONE = "SELECT * FROM breach WHERE reported_at <= $1 AND id = $2"
_STATEMENTS = """
SELECT breach, body, stated_by, stated_at FROM breach_statement
WHERE stated_at <= $1 AND breach = ANY ($2) ORDER BY breach, id"""
_NOTICES = """
SELECT breach, clock, organisation AS tenant, told_at, reference, recorded_by, recorded_at FROM breach_notice
WHERE recorded_at <= $1 AND breach = ANY ($2) ORDER BY breach, id"""
_REMINDED = "SELECT about, clock, organisation, kind FROM reminder WHERE about = ANY($1)"


async def page(
    connection: asyncpg.Connection, versions: Versions, known_at: datetime, after: UUID | None, limit: int
) -> list[Breach]:
    """The register, oldest first; what the profile `breaches` exports. Each breach is judged by the book of its own time."""
    return await _told(connection, versions, known_at, await connection.fetch(_BREACHES, known_at, after, limit))


async def open_breaches(connection: asyncpg.Connection, versions: Versions) -> list[Breach]:
    now = clock.now()
    return await _told(connection, versions, now, await connection.fetch(_OPEN, now))


async def breach(connection: asyncpg.Connection, versions: Versions, id: UUID) -> Breach:
    now = clock.now()
    found = await _told(connection, versions, now, await connection.fetch(_ONE, now, id))
    if not found:
        raise NotFound("There is no such breach.")
    return found[0]


async def _told(
    connection: asyncpg.Connection, versions: Versions, known_at: datetime, rows: list[asyncpg.Record]
) -> list[Breach]:
    # Read before their statements: one that is committed between two reads is then left out whole, not found without its first.
    these = [row["id"] for row in rows]
    said = _by_breach(await connection.fetch(_STATEMENTS, known_at, these))
    given = _by_breach(await connection.fetch(_NOTICES, known_at, these))
    return [_breach(row, said[row["id"]], given.get(row["id"], []), versions, known_at) for row in rows]


async def reminded(connection: asyncpg.Connection, about: Iterable[UUID]) -> set[tuple[Any, ...]]:
    """(about, clock, organisation, kind) of every reminder given."""
    return {tuple(row) for row in await connection.fetch(_REMINDED, list(about))}


def book_of_its_time(versions: Versions, aware_at: datetime) -> PolicyBook:
    """The rows that applied when the operator became aware; of the first book for what lies before it."""
    begun = [one for one in versions if one.valid_from <= aware_at]
    chosen = max(begun, key=lambda one: (one.valid_from, one.known_from)) if begun else versions[0]
    book = book_of(chosen.jws)
    return book.on(aware_at.astimezone(book.tz).date())


def _breach(
    row: asyncpg.Record,
    statements: list[dict[str, Any]],
    given: list[dict[str, Any]],
    versions: Versions,
    known_at: datetime,
) -> Breach:
    last = statements[-1]
    statement = Statement.model_validate_json(last["body"])
    notices = [Notice(**notice) for notice in given]
    closed = row["closed_at"] is not None and row["closed_at"] <= known_at
    return Breach(
        id=row["id"],
        aware_at=row["aware_at"],
        statement=statement,
        stated_by=last["stated_by"],
        stated_at=last["stated_at"],
        statements=len(statements),
        clocks=_clocks(versions, row["aware_at"], statement, notices, known_at),
        notices=notices,
        closed_at=row["closed_at"] if closed else None,
        closed_by=row["closed_by"] if closed else None,
        conclusion=row["conclusion"] if closed else None,
    )


def _clocks(
    versions: Versions, aware_at: datetime, statement: Statement, notices: list[Notice], now: datetime
) -> list[Clock]:
    return rules.clocks(book_of_its_time(versions, aware_at), aware_at, statement, notices, now)


def _by_breach(rows: list[asyncpg.Record]) -> dict[UUID, list[dict[str, Any]]]:
    return {
        breach: [{name: value for name, value in row.items() if name != "breach"} for row in group]
        for breach, group in groupby(rows, key=lambda row: row["breach"])
    }
