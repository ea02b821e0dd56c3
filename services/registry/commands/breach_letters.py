"""A customer organisation whose data a breach concerns is told by e-mail and by webhook, Art. 33(2). The first proof that a letter
arrived meets its clock; while nobody proved anything the clock runs on, and reminds.

Each statement is told once: what is learned later goes out as another letter.
"""

from datetime import datetime
from uuid import UUID

import asyncpg

from chassis import clock
from chassis.db import Database, Transaction
from chassis.durable import Job
from chassis.ids import new_id
from chassis.ledger.events import Event
from chassis.mail import Mail, MailRefused
from services.registry import notices
from services.registry.commands.breaches import open_breach, record_notice
from services.registry.contract import HOUSE, PolicyBook
from services.registry.contract.breaches import Breach, BreachNotified, Clock, NotConcerned
from services.registry.contract.register import KeepContract
from services.registry.queries import breach_letters as letters
from services.registry.queries import breaches, register
from services.registry.queries.book import versions
from services.registry.queries.breaches import Versions
from services.registry.rules.breaches import form

TELL, MAIL, PROVEN = "breach.tell", "breach.mail", "breach.proven"

_WRITE = """
INSERT INTO breach_letter
    (tenant, id, breach, clock, statement, contract, subject, body, written_at, event, mail_to, mail_state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
_TO_MAIL = "SELECT subject, body, mail_to FROM breach_letter WHERE tenant = $1 AND id = $2 AND mail_state = 'waiting'"
_MAILED = """
UPDATE breach_letter SET mail_state = $3, mail_at = $4, mail_proof = $5 WHERE tenant = $1 AND id = $2 AND mail_state = 'waiting'"""
_DELIVERED = """
INSERT INTO notice_delivery (tenant, notice, delivery, delivered_at)
SELECT tenant, id, $3, $4 FROM breach_letter WHERE tenant = $1 AND event = $2 ON CONFLICT DO NOTHING RETURNING notice"""


async def announce(tx: Transaction, by: str, id: UUID, versions: Versions) -> Breach:
    """From now on each organisation that the last statement names is told of it. Raises NotConcerned, BreachClosed."""
    known = await open_breach(tx, id, versions)
    if not any(duty.tenant for duty in known.clocks):
        raise NotConcerned
    await tx.emit("breach.announced", {"breach": str(id), "statement": known.statements, "by": by})
    await tx.enqueue(TELL, id)
    return known


async def tell_everybody(database: Database, job: Job) -> None:
    """One letter for each agreement of each organisation; done again, nobody is told twice."""
    now = clock.now()
    known = await _breach(database, job.id)
    asked = await register.as_written(database, now, now)
    of_whom: dict[UUID, list[KeepContract | None]] = {}
    async for contract in register.contracts(database, asked):
        of_whom.setdefault(contract.customer, []).append(contract)
    for duty in known.clocks:
        if duty.tenant is not None and known.closed_at is None:
            for contract in of_whom.get(duty.tenant, [None]):
                await _tell(database, asked.book, known, duty, duty.tenant, contract)


async def _tell(
    database: Database, book: PolicyBook, known: Breach, duty: Clock, tenant: UUID, contract: KeepContract | None
) -> None:
    letter, language = new_id(), contract.language if contract else "sv"
    subject, body = notices.words_of_breach(book, form(book, known, duty.clock, tenant, language))
    mail_to = contract.notices_to if contract else None
    try:
        async with database.transaction(tenant) as tx:
            fact = BreachNotified(breach=known.id, letter=letter)
            event = await tx.emit("breach.notified", fact.model_dump(mode="json"))
            about = (known.id, duty.clock, known.statements, contract.reference if contract else "")
            sent = (subject, body, clock.now(), event.id, mail_to, "waiting" if mail_to else None)
            await tx.connection.execute(_WRITE, tenant, letter, *about, *sent)
            if mail_to:
                await tx.enqueue(MAIL, letter)
    except asyncpg.UniqueViolationError:
        # Told before this process was killed, or asked for twice.
        return


async def mail(database: Database, mail: Mail, job: Job) -> None:
    """Sends one letter and keeps the server's answer; tried again while the server is away."""
    async with database.transaction(job.tenant) as tx:
        letter = await tx.connection.fetchrow(_TO_MAIL, job.tenant, job.id)
    if letter is None:
        return
    now = clock.now()
    asked = await register.as_written(database, now, now)
    try:
        message = notices.numbered(asked.book, job.id, letter["mail_to"], letter["subject"], letter["body"])
        proof, state = await mail.send(message), "delivered"
    except MailRefused as refused:
        proof, state = refused.title, "refused"
    async with database.transaction(job.tenant) as tx:
        await tx.connection.execute(_MAILED, job.tenant, job.id, state, clock.now(), proof)
        if state == "delivered":
            await tx.enqueue(PROVEN, job.id)


async def note_delivery(tx: Transaction, event: Event) -> None:
    """`delivery.made` of webhooks: a receiver of the organisation's took the notice."""
    said = event.data
    row = (tx.tenant, UUID(said["event"]), UUID(said["delivery"]), event.time)
    if (letter := await tx.connection.fetchval(_DELIVERED, *row)) is not None:
        await tx.enqueue(PROVEN, letter)


async def count_as_told(database: Database, job: Job) -> None:
    """The clock of the organisation is met by the first proof of any of its letters."""
    async with database.system() as connection:
        letter = await letters.one(connection, job.id)
    if not (proofs := [sent for sent in letter.sent if sent.state == "delivered" and sent.at]):
        return
    known = await _breach(database, letter.breach)
    first = min(proofs, key=lambda sent: sent.at or datetime.max)
    async with database.transaction(HOUSE) as tx:
        told = (letter.clock, letter.tenant, first.at, f"{first.by}: {first.proof}"[:200])
        await record_notice(tx, "registry", known.id, *told, once=True)


async def _breach(database: Database, id: UUID) -> Breach:
    known = await versions(database)
    async with database.system() as connection:
        return await breaches.breach(connection, known, id)
