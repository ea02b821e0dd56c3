"""Everything that changes the breach register: reported, stated anew, told, closed; and reminders before each clock runs out."""

from datetime import datetime
from uuid import UUID

from chassis import clock
from chassis.db import Database, Transaction
from chassis.ids import new_id
from services.registry.contract import HOUSE
from services.registry.contract.breaches import (
    Breach,
    BreachClosed,
    Clock,
    CloseBreach,
    ReportBreach,
    Statement,
    TellBreach,
)
from services.registry.queries import breaches
from services.registry.queries.breaches import Versions
from services.registry.rules import breaches as rules

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('breaches', 0))"
_REPORT = "INSERT INTO breach (id, tenant, aware_at, reported_by, reported_at) VALUES ($1, $2, $3, $4, $5)"
_STATE = "INSERT INTO breach_statement (id, tenant, breach, body, stated_by, stated_at) VALUES ($1, $2, $3, $4, $5, $6)"
_TELL = """
INSERT INTO breach_notice (id, tenant, breach, clock, organisation, told_at, reference, recorded_by, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
_CLOSE = "UPDATE breach SET closed_at = $2, closed_by = $3, conclusion = $4 WHERE id = $1 AND closed_at IS NULL RETURNING true"
REMIND = """
INSERT INTO reminder (tenant, about, clock, organisation, kind, at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING true"""


async def report_breach(tx: Transaction, reporter: str, wish: ReportBreach, versions: Versions) -> Breach:
    """The clocks run from `aware_at`, whenever it is reported here."""
    await tx.connection.execute(_LOCK)
    now, id = clock.now(), new_id()
    rules.check_statement(breaches.book_of_its_time(versions, wish.aware_at), wish.statement, wish.aware_at, now)
    await tx.connection.execute(_REPORT, id, HOUSE, wish.aware_at, reporter, now)
    await _state(tx, id, reporter, wish.statement, now)
    await tx.emit("breach.reported", {"breach": str(id), "aware_at": wish.aware_at.isoformat(), "by": reporter})
    return await breaches.breach(tx.connection, versions, id)


async def state_breach(tx: Transaction, author: str, id: UUID, wish: Statement, versions: Versions) -> Breach:
    """What is known by now; what was said before stays."""
    known, now = await open_breach(tx, id, versions), clock.now()
    rules.check_statement(breaches.book_of_its_time(versions, known.aware_at), wish, known.aware_at, now)
    await _state(tx, id, author, wish, now)
    await tx.emit("breach.stated", {"breach": str(id), "by": author})
    return await breaches.breach(tx.connection, versions, id)


async def tell_breach(tx: Transaction, recorder: str, id: UUID, wish: TellBreach, versions: Versions) -> Breach:
    """That somebody was told. A second notice for the same clock is a conflict of the table's own."""
    known, now = await open_breach(tx, id, versions), clock.now()
    rules.check_notice(known, wish.clock, wish.organisation, wish.told_at, now)
    await record_notice(tx, recorder, id, wish.clock, wish.organisation, wish.told_at, wish.reference)
    return await breaches.breach(tx.connection, versions, id)


async def record_notice(
    tx: Transaction,
    recorder: str,
    id: UUID,
    clock_key: str,
    organisation: UUID | None,
    told_at: datetime,
    reference: str,
    once: bool = False,
) -> None:
    """`once`: one that was recorded before stays, and nothing is said again."""
    await tx.connection.execute(_LOCK)
    row = (new_id(), HOUSE, id, clock_key, organisation, told_at, reference, recorder, clock.now())
    sql = _TELL + (" ON CONFLICT DO NOTHING" if once else "")
    if await tx.connection.execute(sql, *row) == "INSERT 0 1":
        whom = {"tenant": str(organisation)} if organisation else {}
        said = {"breach": str(id), "clock": clock_key, "told_at": told_at.isoformat(), "by": recorder}
        await tx.emit("breach.told", said | whom)


async def close_breach(tx: Transaction, closer: str, id: UUID, wish: CloseBreach, versions: Versions) -> Breach:
    """Only when everybody was told who has to be."""
    rules.check_all_told(await open_breach(tx, id, versions))
    if not await tx.connection.fetchval(_CLOSE, id, clock.now(), closer, wish.conclusion):
        raise BreachClosed
    await tx.emit("breach.closed", {"breach": str(id), "by": closer})
    return await breaches.breach(tx.connection, versions, id)


async def remind(database: Database, versions: Versions) -> None:
    """Once before each clock of an open breach runs out, and once when it has. Looks first, and writes only for a reason."""
    async with database.system() as connection:
        known = await breaches.open_breaches(connection, versions)
        given = await breaches.reminded(connection, [one.id for one in known])
    due = [
        (one, duty, kind)
        for one in known
        for duty in one.clocks
        for kind in rules.reminders(breaches.book_of_its_time(versions, one.aware_at), duty, clock.now())
        if (one.id, duty.clock, duty.tenant, kind) not in given
    ]
    if due:
        async with database.transaction(HOUSE) as tx:
            for one, duty, kind in due:
                await _remind(tx, one, duty, kind)


async def _remind(tx: Transaction, breach: Breach, duty: Clock, kind: str) -> None:
    row = (HOUSE, breach.id, duty.clock, duty.tenant, kind, clock.now())
    if await tx.connection.fetchval(REMIND, *row):
        whom = {"tenant": str(duty.tenant)} if duty.tenant else {}
        said = {"breach": str(breach.id), "clock": duty.clock, "due_at": duty.due_at.isoformat()}
        await tx.emit("breach.overdue" if kind == "overdue" else "breach.reminder", said | whom)


async def open_breach(tx: Transaction, id: UUID, versions: Versions) -> Breach:
    """One at a time, so that nothing is said of a breach that is being closed. Raises BreachClosed."""
    await tx.connection.execute(_LOCK)
    found = await breaches.breach(tx.connection, versions, id)
    if found.closed_at is not None:
        raise BreachClosed
    return found


async def _state(tx: Transaction, id: UUID, author: str, statement: Statement, now: datetime) -> None:
    body = statement.model_dump_json().encode()
    await tx.connection.execute(_STATE, new_id(), HOUSE, id, body, author, now)
