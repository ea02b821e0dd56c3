"""Reads of the access register. Every row is filled in once per decision, so what was known at an instant can be read later."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from chassis.errors import NotFound
from services.registry.contract import PolicyBook
from services.registry.contract.access import (
    MANAGER,
    WARDLINE,
    Clearance,
    Grant,
    GrantState,
    Review,
    ReviewDetail,
    ReviewItem,
)
from services.registry.contract.pack import Audit, Counted

_GRANTS = """
SELECT * FROM access_grant
WHERE requested_at <= $1 AND ($2::uuid IS NULL OR person = $2) AND ($3::uuid IS NULL OR id > $3)
ORDER BY id LIMIT $4"""
_CLEARANCES = """
SELECT id, person, clearance, evidence, recorded_by, recorded_at, valid_to, ended_at, ended_by FROM access_clearance
WHERE recorded_at <= $1 AND ($2::uuid IS NULL OR person = $2) ORDER BY id"""
_REVIEWS = """
SELECT r.id, r.opened_at, r.due_at, CASE WHEN r.closed_at <= $1 THEN r.closed_at END AS closed_at, count(i.grant_id)::int AS grants,
    (count(*) FILTER (WHERE i.kept AND i.decided_at <= $1))::int AS kept,
    (count(*) FILTER (WHERE NOT i.kept AND i.decided_at <= $1))::int AS not_kept,
    (count(i.grant_id) FILTER (WHERE i.decided_at > $1 OR i.decided_at IS NULL))::int AS undecided
FROM access_review r LEFT JOIN access_review_item i ON i.review = r.id
WHERE r.opened_at <= $1 AND ($2::uuid IS NULL OR r.id = $2) GROUP BY r.id ORDER BY r.id"""
_ITEMS = """
SELECT i.grant_id AS "grant", g.person, g.role, i.kept, i.decided_by, i.decided_at, i.reason
FROM access_review_item i JOIN access_grant g ON g.id = i.grant_id WHERE i.review = $1 ORDER BY i.grant_id"""
_AUDITS = """
SELECT r.id AS review, r.opened_at, r.due_at, CASE WHEN r.closed_at <= $1 THEN r.closed_at END AS closed_at, g.organisation IS NOT NULL AS own,
    count(*)::int AS grants, (count(*) FILTER (WHERE i.kept AND i.decided_at <= $1))::int AS kept,
    (count(*) FILTER (WHERE NOT i.kept AND i.decided_at <= $1))::int AS not_kept,
    (count(*) FILTER (WHERE i.decided_at > $1 OR i.decided_at IS NULL))::int AS undecided
FROM access_review r JOIN access_review_item i ON i.review = r.id JOIN access_grant g ON g.id = i.grant_id
WHERE r.opened_at <= $1 AND (g.organisation = $2 OR g.organisation IS NULL) GROUP BY r.id, 5 ORDER BY r.id, 5"""
# Live: approved, in its time, not ended, and not left undecided by a review whose time is over, whether or not the clock that
# writes this down has been round since.
LIVE = """
approved AND ended_at IS NULL AND valid_from <= $1 AND valid_to > $1
AND NOT EXISTS (
    SELECT FROM access_review_item i JOIN access_review r ON r.id = i.review
    WHERE i.grant_id = access_grant.id AND i.decided_at IS NULL AND r.closed_at IS NULL AND r.due_at <= $1)"""
_STANDING = f"""
SELECT DISTINCT role FROM access_grant
WHERE {LIVE} AND system = '{WARDLINE}' AND person = $2 AND organisation = $3 ORDER BY role"""
_OWN = f"SELECT DISTINCT organisation FROM access_grant WHERE {LIVE} AND system = '{WARDLINE}' AND role = '{MANAGER}'"
_EXPIRED = "SELECT id FROM access_grant WHERE approved AND ended_at IS NULL AND valid_to <= $1"
_CLOSING = "SELECT id FROM access_review WHERE closed_at IS NULL AND due_at <= $1"
_SINCE = """
SELECT coalesce((SELECT max(opened_at) FROM access_review), (SELECT min(decided_at) FROM access_grant WHERE approved))"""


async def roles_held(connection: asyncpg.Connection, person: UUID, organisation: UUID, now: datetime) -> list[str]:
    """What somebody may do at this platform this instant."""
    return [row["role"] for row in await connection.fetch(_STANDING, now, person, organisation)]


async def managing(connection: asyncpg.Connection, now: datetime) -> set[UUID]:
    """The organisation whose people manage access, the operator's own; empty when nobody does."""
    return {row["organisation"] for row in await connection.fetch(_OWN, now)}


async def grants(
    connection: asyncpg.Connection,
    known_at: datetime,
    *,
    person: UUID | None = None,
    after: UUID | None = None,
    limit: int | None = None,
) -> list[Grant]:
    """Grants in the order in which they were asked for, as they stood at `known_at`."""
    rows = await connection.fetch(_GRANTS, known_at, person, after, limit)
    return [_grant(row, known_at) for row in rows]


async def grant(connection: asyncpg.Connection, id: UUID, now: datetime) -> Grant:
    row = await connection.fetchrow("SELECT * FROM access_grant WHERE id = $1", id)
    if row is None:
        raise NotFound("There is no such grant.")
    return _grant(row, now)


async def clearance(connection: asyncpg.Connection, id: UUID, now: datetime) -> Clearance:
    for found in await clearances(connection, now):
        if found.id == id:
            return found
    raise NotFound("There is no such clearance.")


async def clearances(
    connection: asyncpg.Connection, known_at: datetime, *, person: UUID | None = None
) -> list[Clearance]:
    rows = await connection.fetch(_CLEARANCES, known_at, person)
    return [Clearance(**_known(row, known_at, "ended_at", "ended_at", "ended_by")) for row in rows]


async def reviews(connection: asyncpg.Connection, known_at: datetime, *, only: UUID | None = None) -> list[Review]:
    """Review campaigns as they stood at `known_at`; what the profile `access-reviews` exports."""
    return [Review(**row) for row in await connection.fetch(_REVIEWS, known_at, only)]


async def items(connection: asyncpg.Connection, review: UUID, known_at: datetime) -> AsyncIterator[ReviewItem]:
    """Every grant a campaign asks about, with what was decided by `known_at`; a few at a time, since it asks about them all."""
    async for row in connection.cursor(_ITEMS, review, prefetch=500):
        yield ReviewItem(**_known(row, known_at, "decided_at", "kept", "decided_by", "decided_at", "reason"))


async def audits(connection: asyncpg.Connection, known_at: datetime, organisation: UUID) -> list[Audit]:
    """The reviews that looked at who may see this organisation's data; of other organisations' grants nothing is counted."""
    found: dict[UUID, Audit] = {}
    none = Counted(grants=0, kept=0, not_kept=0, undecided=0)
    for row in await connection.fetch(_AUDITS, known_at, organisation):
        about = {name: row[name] for name in ("review", "opened_at", "due_at", "closed_at")}
        audit = found.setdefault(row["review"], Audit(**about, own=none, shared=none))
        counted = Counted(**{name: row[name] for name in Counted.model_fields})
        found[row["review"]] = audit.model_copy(update={"own" if row["own"] else "shared": counted})
    return list(found.values())


async def review(connection: asyncpg.Connection, id: UUID, now: datetime) -> ReviewDetail:
    found = await reviews(connection, now, only=id)
    if not found:
        raise NotFound("There is no such review.")
    return ReviewDetail(**dict(found[0]), items=[item async for item in items(connection, id, now)])


@dataclass(frozen=True)
class Due:
    """What the clock has to write down. `since`: when the last review was opened, else when the first grant was given."""

    now: datetime
    expired: list[UUID]
    closing: list[UUID]
    since: datetime | None

    def review_due(self, book: PolicyBook) -> bool:
        return self.since is not None and book.period("access_review_every").after(self.since, book.tz) <= self.now

    def anything(self, book: PolicyBook) -> bool:
        return bool(self.expired or self.closing) or self.review_due(book)


async def due(connection: asyncpg.Connection, now: datetime) -> Due:
    expired = await connection.fetch(_EXPIRED, now)
    closing = await connection.fetch(_CLOSING, now)
    return Due(now, [row["id"] for row in expired], [row["id"] for row in closing], await connection.fetchval(_SINCE))


def _grant(row: asyncpg.Record, known_at: datetime) -> Grant:
    told = _known(row, known_at, "decided_at", "approved", "decided_by", "decided_at", "decision", "clearance")
    told |= _known(row, known_at, "ended_at", "ended_by", "ended_at", "ended_for", only=True)
    state = _state(told.pop("approved"), told["ended_at"])
    del told["tenant"]
    return Grant(**told, state=state)


def _state(approved: bool | None, ended_at: datetime | None) -> GrantState:
    if approved is None:
        return "requested"
    if not approved:
        return "refused"
    return "ended" if ended_at else "approved"


def _known(row: asyncpg.Record, known_at: datetime, at: str, *decided: str, only: bool = False) -> dict[str, Any]:
    """The row with `decided` left out where that was decided, at `at`, later than `known_at`."""
    hidden = row[at] is not None and row[at] > known_at
    told = {name: row[name] for name in decided} if only else dict(row)
    return told | (dict.fromkeys(decided) if hidden else {})
