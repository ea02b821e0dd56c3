"""The life of a change of sub-processors: proposed, told to every customer it concerns, objected to, resolved, in effect.

Each step is another row of the register. Notices and objections lie with the customer they belong to, in its own tenant.
"""

from datetime import date
from uuid import UUID

import asyncpg

from chassis import clock
from chassis.auth import Caller
from chassis.db import Database, Transaction
from chassis.durable import Job
from chassis.ids import new_id
from chassis.ledger.events import Event
from chassis.mail import Mail, MailRefused
from services.registry.commands.register import keep, refuse_unknown_transfer
from services.registry.contract import HOUSE
from services.registry.contract.policy import SubProcessor, SubProcessorStatus
from services.registry.contract.register import (
    ChangeAnnounced,
    ChangeDecided,
    ChangeDecidedAlready,
    ChangeRecord,
    ChangeUnknown,
    KeepContract,
    ObjectionRaised,
    ObjectionTold,
    ObjectionUnknown,
    ProposeChange,
    RaiseObjection,
    ResolveObjection,
    WindowClosed,
)
from services.registry.notices import letter_about
from services.registry.queries import changes, register
from services.registry.queries.register import Moment
from services.registry.rules.changes import OPEN, check, verdict
from services.registry.rules.rows import field_changes
from services.registry.rules.subprocessors import serves

ANNOUNCE, MAIL, DECIDED = "change.announce", "change.mail", "change.decided"

# An objection and the end of its window meet here: whoever comes second sees what the first did.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('change:' || $1, 0))"
_NOTICE = """
INSERT INTO change_notice (tenant, id, change, contract, "window", told_at, objections_until, event, mail_state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
_OWN_UNTIL = "SELECT max(objections_until) FROM change_notice WHERE tenant = $1 AND change = $2"
_OBJECT = """
INSERT INTO objection (tenant, id, change, grounds, statement, raised_at) VALUES ($1, $2, $3, $4, $5, $6)"""
_RESOLVE = """
UPDATE objection SET outcome = $3, resolution = $4, resolved_at = $5, resolved_by = $6
WHERE tenant = $1 AND id = $2 AND outcome IS NULL RETURNING change"""
_OBJECTION = """
SELECT id AS objection, tenant AS customer, grounds, statement, raised_at, outcome, resolution, resolved_at
FROM objection WHERE tenant = $1 AND id = $2"""
_TO_MAIL = "SELECT change, contract, objections_until FROM change_notice WHERE tenant = $1 AND id = $2 AND mail_state = 'waiting'"
_MAILED = """
UPDATE change_notice SET mail_state = $3, mail_at = $4, mail_proof = $5 WHERE tenant = $1 AND id = $2 AND mail_state = 'waiting'"""
_DELIVERED = """
INSERT INTO notice_delivery (tenant, notice, delivery, delivered_at)
SELECT tenant, id, $3, $4 FROM change_notice WHERE tenant = $1 AND event = $2 ON CONFLICT DO NOTHING"""
_UNDECIDED = "SELECT DISTINCT tenant FROM change_notice WHERE change = $1 AND NOT decision_told"
_DECISION_TOLD = """
UPDATE change_notice SET decision_told = true WHERE tenant = $1 AND change = $2 AND NOT decision_told"""


async def propose(tx: Transaction, caller: Caller, asked: Moment, wish: ProposeChange) -> ChangeRecord:
    """Raises what `rules.changes.check` raises. A correction of facts takes effect at once: it changes no processing."""
    book = asked.book
    check(book, wish)
    for row in wish.transfers:
        refuse_unknown_transfer(book, row, {wish.subprocessor})
    now = next((row for row in book.subprocessors if row.key == wish.subprocessor), None)
    record = ChangeRecord(
        change=new_id(),
        status="proposed",
        proposed_at=clock.now(),
        diff=list(field_changes(_json(now), _json(wish.row))),
        **{name: getattr(wish, name) for name in ProposeChange.model_fields},
    )
    await _step(tx, caller.subject, asked.day, record)
    if wish.kind == "correction":
        return await _decide(tx, caller.subject, asked, record, "active")
    return record


async def announce(tx: Transaction, caller: Caller, asked: Moment, change: UUID) -> ChangeRecord:
    """From now on every customer whom it concerns is told. Raises ChangeUnknown or ChangeDecidedAlready."""
    await tx.connection.execute(_LOCK, str(change))
    record = await changes.change_record(tx.connection, change)
    if record.status != "proposed":
        raise ChangeDecidedAlready
    record = record.model_copy(update={"status": "notified", "notice_at": clock.now()})
    await _step(tx, caller.subject, asked.day, record)
    await tx.enqueue(ANNOUNCE, change)
    return record


async def tell_everybody(database: Database, job: Job) -> None:
    """One notice for each agreement it concerns; done again, nobody is told twice. Then the windows are open."""
    now = clock.now()
    asked = await register.moment(database, now, now)
    async with database.system() as connection:
        record = await changes.change_record(connection, job.id)
    if record.status != "notified":
        return
    row = record.row or next(each for each in asked.book.subprocessors if each.key == record.subprocessor)
    concerned = [each async for each in register.contracts(database, asked) if serves(row, each.services)]
    for contract in concerned:
        await _tell(database, asked, record, contract)
    async with database.transaction(HOUSE) as tx:
        await tx.connection.execute(_LOCK, str(job.id))
        record = await changes.change_record(tx.connection, job.id)
        if record.status == "notified":
            opened = record.model_copy(update={"status": "objection_open", "told": len(concerned)})
            await _step(tx, "registry", asked.day, opened)


async def _tell(database: Database, asked: Moment, record: ChangeRecord, contract: KeepContract) -> None:
    now, notice = clock.now(), new_id()
    until = contract.objection_window.after(now, asked.book.tz)
    fact = ChangeAnnounced(change=record.change, notice=notice, objections_until=until)
    try:
        async with database.transaction(contract.customer) as tx:
            event = await tx.emit("subprocessor.change_announced", fact.model_dump(mode="json"))
            await tx.connection.execute(
                _NOTICE,
                contract.customer,
                notice,
                record.change,
                contract.reference,
                str(contract.objection_window),
                now,
                until,
                event.id,
                "waiting" if contract.notices_to else None,
            )
            if contract.notices_to:
                await tx.enqueue(MAIL, notice)
    except asyncpg.UniqueViolationError:
        # Told before this process was killed.
        return


async def mail(database: Database, mail: Mail, job: Job) -> None:
    """Sends one notice and keeps the server's answer. Tried again while the server is away; after a kill in between the
    customer may get the letter twice, under one Message-ID."""
    async with database.transaction(job.tenant) as tx:
        notice = await tx.connection.fetchrow(_TO_MAIL, job.tenant, job.id)
    if notice is None:
        return
    now = clock.now()
    asked = await register.moment(database, now, now)
    contract = await _contract(database, asked, notice["contract"])
    async with database.system() as connection:
        record = await changes.change_record(connection, notice["change"])
    try:
        proof = await mail.send(letter_about(asked.book, record, contract, job.id, notice["objections_until"]))
        state = "delivered"
    except MailRefused as refused:
        state, proof = "refused", refused.title
    async with database.transaction(job.tenant) as tx:
        await tx.connection.execute(_MAILED, job.tenant, job.id, state, clock.now(), proof)


async def note_delivery(tx: Transaction, event: Event) -> None:
    """`delivery.made` of webhooks: a receiver of the customer's took the notice. Its delivery's number is the proof."""
    said = event.data
    await tx.connection.execute(_DELIVERED, tx.tenant, UUID(said["event"]), UUID(said["delivery"]), event.time)


async def _contract(database: Database, asked: Moment, reference: str) -> KeepContract:
    found = [each async for each in register.contracts(database, asked) if each.reference == reference]
    if not found:
        raise ChangeUnknown("The agreement has ended since.")
    return found[0]


async def raise_objection(tx: Transaction, change: UUID, wish: RaiseObjection) -> ObjectionTold:
    """By a customer that was told. Raises ChangeUnknown, or WindowClosed before and after its time."""
    await tx.connection.execute(_LOCK, str(change))
    until = await tx.connection.fetchval(_OWN_UNTIL, tx.tenant, change)
    now = clock.now()
    if until is None:
        raise ChangeUnknown
    if now >= until:
        raise WindowClosed
    objection = new_id()
    await tx.connection.execute(_OBJECT, tx.tenant, objection, change, wish.grounds, wish.statement, now)
    fact = ObjectionRaised(change=change, objection=objection)
    await tx.emit("subprocessor.objection_raised", fact.model_dump(mode="json"))
    return await _objection(tx, objection)


async def resolve_objection(tx: Transaction, caller: Caller, objection: UUID, wish: ResolveObjection) -> ObjectionTold:
    """In the customer's tenant. Raises ObjectionUnknown, or ChangeDecidedAlready where it was resolved before."""
    change = await tx.connection.fetchval(
        _RESOLVE, tx.tenant, objection, wish.outcome, wish.statement, clock.now(), caller.subject
    )
    told = await _objection(tx, objection)
    if change is None:
        raise ChangeDecidedAlready("This objection was resolved before.")
    fact = ObjectionRaised(change=change, objection=objection)
    await tx.emit("subprocessor.objection_resolved", fact.model_dump(mode="json"))
    return told


async def go_on(database: Database) -> None:
    """Every open change as far as it may go now. Asked often: the whole register is read only where there is one."""
    if found := await changes.undecided(database):
        now = clock.now()
        asked = await register.moment(database, now, now)
        for change in found:
            await _go_on(database, asked, change)


async def _go_on(database: Database, asked: Moment, change: UUID) -> None:
    async with database.transaction(HOUSE) as tx:
        await tx.connection.execute(_LOCK, str(change))
        record = await changes.change_record(tx.connection, change)
        if record.status != "objection_open":
            return
        # Behind the lock, on another connection: the customers' rows lie in tenants of their own.
        async with database.system() as connection:
            notices = await changes.notices(connection, change)
            objections = await changes.objections(connection, change)
        raised = {"objections": len(objections), "upheld": sum(each.outcome == "upheld" for each in objections)}
        status = verdict(record, notices, objections, asked.as_of, asked.day)
        if status is not None:
            await _decide(tx, "registry", asked, record.model_copy(update=raised), status)


async def _decide(
    tx: Transaction, by: str, asked: Moment, record: ChangeRecord, status: SubProcessorStatus
) -> ChangeRecord:
    """The last step: with it the register's own word on the sub-processor changes, from its day on."""
    day = max(asked.day, record.effective_on)
    if status == "active" and record.row is not None:
        row = record.row.model_copy(update={"status": "active", "started_on": record.row.started_on or day})
        await keep(tx, by, "subprocessor", row.key, row.model_dump_json(), day)
        for transfer in record.transfers:
            await keep(tx, by, "transfer", transfer.identity, transfer.model_dump_json(), day)
    gone = record.subprocessor if status == "retired" else record.replaces if status == "active" else None
    for row in asked.book.subprocessors:
        if row.key == gone:
            ended = row.model_copy(update={"status": "retired", "ends_on": day})
            await keep(tx, by, "subprocessor", row.key, ended.model_dump_json(), day)
    record = record.model_copy(update={"status": status, "decided_at": clock.now()})
    await _step(tx, by, asked.day, record)
    await tx.enqueue(DECIDED, record.change)
    return record


async def tell_decision(database: Database, job: Job) -> None:
    """Every customer that was told of the change is told what became of it, once."""
    async with database.system() as connection:
        record = await changes.change_record(connection, job.id)
        customers = [row["tenant"] for row in await connection.fetch(_UNDECIDED, job.id)]
    if record.status in OPEN:
        return
    fact = ChangeDecided(change=record.change, status=record.status)
    for customer in customers:
        async with database.transaction(customer) as tx:
            if await tx.connection.execute(_DECISION_TOLD, customer, job.id) != "UPDATE 0":
                await tx.emit("subprocessor.change_decided", fact.model_dump(mode="json"))


async def _step(tx: Transaction, by: str, day: date, record: ChangeRecord) -> None:
    await keep(tx, by, "change", str(record.change), record.model_dump_json(), day)


async def _objection(tx: Transaction, objection: UUID) -> ObjectionTold:
    row = await tx.connection.fetchrow(_OBJECTION, tx.tenant, objection)
    if row is None:
        raise ObjectionUnknown
    return ObjectionTold(**row)


def _json(row: SubProcessor | None) -> dict:
    return row.model_dump(mode="json") if row else {}
