"""Everything that changes the access register: asked for by one, approved by another, ended at once, reviewed twice a year.

Changes wait for each other (one lock for the register): they are rare, and a grant that is confirmed, revoked and reviewed in
the same moment must end as if that had been done one after the other.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis import clock
from chassis.db import Database, Transaction
from chassis.ids import new_id
from services.registry.contract import HOUSE, PolicyBook
from services.registry.contract.access import (
    MANAGER,
    WARDLINE,
    AlreadyDecided,
    AlreadyFounded,
    Clearance,
    ConfirmGrant,
    DecideGrant,
    Depart,
    Ended,
    EndGrant,
    EndReason,
    Founded,
    FoundRegister,
    Grant,
    Manager,
    RecordClearance,
    RequestGrant,
    ReviewDetail,
)
from services.registry.queries import access
from services.registry.rules import access as rules

# Who writes down what nobody did: that a period is over.
CLOCK = "registry"

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('access', 0))"
_REQUEST = """
INSERT INTO access_grant (id, tenant, person, role, system, facility, areas, organisation, purpose, justification,
    requested_by, requested_at, valid_from, valid_to)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"""
_DECIDE = """
UPDATE access_grant SET approved = $2, decided_by = $3, decided_at = $4, decision = $5, clearance = $6, valid_from = $7
WHERE id = $1 AND approved IS NULL RETURNING true"""
_END = """
UPDATE access_grant SET ended_by = $2, ended_at = $3, ended_for = $4
WHERE id = ANY($1) AND approved AND ended_at IS NULL RETURNING id, person"""
_HERS = "SELECT id FROM access_grant WHERE person = $1 AND approved AND ended_at IS NULL"
_ASKED = "SELECT id FROM access_grant WHERE person = $1 AND approved IS NULL"
_RECORD = """
INSERT INTO access_clearance (id, tenant, person, clearance, evidence, recorded_by, recorded_at, valid_to)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_END_CLEARANCE = (
    "UPDATE access_clearance SET ended_at = $2, ended_by = $3 WHERE id = $1 AND ended_at IS NULL RETURNING person"
)
_RESTING = "SELECT id FROM access_grant WHERE clearance = $1 AND approved AND ended_at IS NULL"
_DECIDE_ITEM = """
UPDATE access_review_item SET kept = $3, decided_by = $4, decided_at = $5, reason = $6
WHERE review = $1 AND grant_id = $2 AND decided_at IS NULL RETURNING true"""


async def _turn(tx: Transaction) -> datetime:
    """Waits for whoever decides now. The instant is read after the wait: what they wrote must not lie in its future, where it
    would not be known yet."""
    await tx.connection.execute(_LOCK)
    return clock.now()


async def found_register(tx: Transaction, client: str, wish: FoundRegister, book: PolicyBook) -> Founded:
    """The first who may grant, named by whoever installs the house; never while somebody may already."""
    now = await _turn(tx)
    if await access.managing(tx.connection, now):
        raise AlreadyFounded
    rules.check_founding(book, wish, now)
    made = [await _founded(tx, client, manager, wish, now) for manager in wish.managers]
    return Founded(grants=made)


async def _founded(tx: Transaction, client: str, manager: Manager, wish: FoundRegister, now: datetime) -> UUID:
    asked = RequestGrant(
        person=manager.person,
        role=MANAGER,
        system=WARDLINE,
        organisation=manager.organisation,
        purpose=wish.purpose,
        justification=wish.justification,
        valid_to=wish.valid_to,
    )
    id = await _requested(tx, client, asked, now)
    await tx.connection.execute(_DECIDE, id, True, "founding", now, wish.justification, None, now)
    await tx.emit("access.granted", {"grant": str(id), "person": str(manager.person), "by": "founding"})
    return id


async def request_grant(tx: Transaction, requester: str, wish: RequestGrant, book: PolicyBook) -> Grant:
    now = await _turn(tx)
    rules.check_wish(book, wish, now)
    rules.check_manager(wish, await access.managing(tx.connection, now))
    return await access.grant(tx.connection, await _requested(tx, requester, wish, now), now)


async def _requested(tx: Transaction, requester: str, wish: RequestGrant, now: datetime) -> UUID:
    id = new_id()
    row: tuple[Any, ...] = (
        id,
        HOUSE,
        wish.person,
        wish.role,
        wish.system,
        wish.facility,
        wish.areas,
        wish.organisation,
    )
    row += (wish.purpose, wish.justification, requester, now, wish.valid_from, wish.valid_to)
    await tx.connection.execute(_REQUEST, *row)
    await tx.emit("access.requested", {"grant": str(id), "person": str(wish.person), "by": requester})
    return id


async def decide_grant(tx: Transaction, decider: str, id: UUID, wish: DecideGrant, book: PolicyBook) -> Grant:
    """Approved or refused by neither its holder nor who asked for it. Raises AccessRefused where a clearance is missing."""
    now = await _turn(tx)
    asked = await access.grant(tx.connection, id, now)
    rules.check_other(decider, str(asked.person), asked.requested_by)
    if asked.state != "requested":
        raise AlreadyDecided
    begins = max(asked.valid_from or now, now)
    clearance = None
    if wish.approve:
        rules.check_span(book, begins, asked.valid_to, now)
        clearance = await _clearance(tx, asked, book, now)
    row = (id, wish.approve, decider, now, wish.reason, clearance, begins)
    if not await tx.connection.fetchval(_DECIDE, *row):
        raise AlreadyDecided
    said = {"grant": str(id), "person": str(asked.person), "by": decider}
    await tx.emit("access.granted" if wish.approve else "access.refused", said)
    return await access.grant(tx.connection, id, now)


async def _clearance(tx: Transaction, asked: Grant, book: PolicyBook, now: datetime) -> UUID | None:
    needed = rules.clearance_needed(book, asked.facility)
    if needed is None:
        return None
    held = await access.clearances(tx.connection, now, person=asked.person)
    return rules.sufficient(held, needed, asked.valid_to).id


async def end_grant(tx: Transaction, ender: str, id: UUID, _wish: EndGrant) -> Grant:
    """At once, by anybody who may decide, her own grant too: giving up access needs no second pair of eyes."""
    now = await _turn(tx)
    await access.grant(tx.connection, id, now)
    if not await _end(tx, [id], ender, "revoked", now):
        raise AlreadyDecided("This grant is not in force.")
    return await access.grant(tx.connection, id, now)


async def depart(tx: Transaction, recorder: str, wish: Depart) -> Ended:
    """Whatever she may do ends now, and what was asked for her is refused."""
    now = await _turn(tx)
    for row in await tx.connection.fetch(_ASKED, wish.person):
        await tx.connection.execute(_DECIDE, row["id"], False, CLOCK, now, wish.reason, None, None)
        await tx.emit("access.refused", {"grant": str(row["id"]), "person": str(wish.person), "by": CLOCK})
    hers = [row["id"] for row in await tx.connection.fetch(_HERS, wish.person)]
    return Ended(grants=await _end(tx, hers, recorder, wish.reason, now))


async def record_clearance(tx: Transaction, recorder: str, wish: RecordClearance, book: PolicyBook) -> Clearance:
    now = await _turn(tx)
    rules.check_clearance(book, wish, now)
    rules.check_other(recorder, str(wish.person))
    id = new_id()
    row = (id, HOUSE, wish.person, wish.clearance, wish.evidence, recorder, now, wish.valid_to)
    await tx.connection.execute(_RECORD, *row)
    await tx.emit("access.clearance_recorded", {"clearance": str(id), "person": str(wish.person), "by": recorder})
    return await access.clearance(tx.connection, id, now)


async def end_clearance(tx: Transaction, ender: str, id: UUID) -> Ended:
    """The grants that rest on it end with it."""
    now = await _turn(tx)
    await access.clearance(tx.connection, id, now)
    person = await tx.connection.fetchval(_END_CLEARANCE, id, now, ender)
    if person is None:
        raise AlreadyDecided("This clearance has ended already.")
    await tx.emit("access.clearance_ended", {"clearance": str(id), "person": str(person), "by": ender})
    resting = [row["id"] for row in await tx.connection.fetch(_RESTING, id)]
    return Ended(grants=await _end(tx, resting, ender, "clearance_ended", now))


async def confirm_grant(tx: Transaction, reviewer: str, review: UUID, wish: ConfirmGrant) -> ReviewDetail:
    """One decision of a review, by somebody other than the grant's holder; what is not confirmed ends at once."""
    now = await _turn(tx)
    grant = await access.grant(tx.connection, wish.grant, now)
    rules.check_other(reviewer, str(grant.person))
    rules.check_open(await access.review(tx.connection, review, now), wish.grant, now)
    row = (review, wish.grant, wish.keep, reviewer, now, wish.reason)
    if not await tx.connection.fetchval(_DECIDE_ITEM, *row):
        raise AlreadyDecided
    said = {"review": str(review), "grant": str(wish.grant), "kept": wish.keep, "by": reviewer}
    await tx.emit("access.reviewed", said)
    if not wish.keep:
        await _end(tx, [wish.grant], reviewer, "review_not_confirmed", now)
    return await access.review(tx.connection, review, now)


async def open_review(tx: Transaction, opener: str, book: PolicyBook) -> ReviewDetail:
    """Puts every grant in force to the question. Raises AlreadyDecided while a review is open."""
    now = await _turn(tx)
    return await _opened(tx, opener, book, now)


async def keep_time(database: Database, book: PolicyBook) -> None:
    """What time alone brings about: grants end, reviews open and close. The lock is taken only when there is something."""
    async with database.system() as connection:
        if not (await access.due(connection, clock.now())).anything(book):
            return
    async with database.transaction(HOUSE) as tx:
        now = await _turn(tx)
        due = await access.due(tx.connection, now)
        await _end(tx, due.expired, CLOCK, "expired", now)
        for review in due.closing:
            await _close(tx, review, now)
        if due.review_due(book):
            await _opened(tx, CLOCK, book, now)


async def _opened(tx: Transaction, opener: str, book: PolicyBook, now: datetime) -> ReviewDetail:
    id, due = new_id(), book.period("access_review_open").after(now, book.tz)
    if await tx.connection.fetchval("SELECT EXISTS (SELECT FROM access_review WHERE closed_at IS NULL)"):
        raise AlreadyDecided("A review is open already.")
    await tx.connection.execute(
        "INSERT INTO access_review (id, tenant, opened_at, due_at) VALUES ($1, $2, $3, $4)", id, HOUSE, now, due
    )
    await tx.connection.execute(
        "INSERT INTO access_review_item (review, grant_id, tenant) "
        "SELECT $1, id, tenant FROM access_grant WHERE approved AND ended_at IS NULL",
        id,
    )
    opened = await access.review(tx.connection, id, now)
    await tx.emit(
        "access.review_opened",
        {"review": str(id), "grants": opened.grants, "due_at": due.isoformat(), "by": opener},
    )
    return opened


async def _close(tx: Transaction, review: UUID, now: datetime) -> None:
    """Undecided grants lapse: nobody said that they are still needed."""
    undecided = [
        row["grant_id"]
        for row in await tx.connection.fetch(
            "SELECT grant_id FROM access_review_item WHERE review = $1 AND decided_at IS NULL", review
        )
    ]
    lapsed = await _end(tx, undecided, CLOCK, "review_undecided", now)
    await tx.connection.execute("UPDATE access_review SET closed_at = $2 WHERE id = $1", review, now)
    await tx.emit("access.review_closed", {"review": str(review), "lapsed": len(lapsed)})


async def _end(tx: Transaction, ids: Iterable[UUID], by: str, reason: EndReason, now: datetime) -> list[UUID]:
    ended = await tx.connection.fetch(_END, list(ids), by, now, reason)
    for row in ended:
        said = {"grant": str(row["id"]), "person": str(row["person"]), "reason": reason, "by": by}
        await tx.emit("access.ended", said)
    return [row["id"] for row in ended]
