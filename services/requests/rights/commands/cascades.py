"""What follows by itself from what the consent service tells: a consent is withdrawn, and what rested on it alone is erased without
anybody asking (decision 0032: on another's word than hers, once it is confirmed); a child's guardian is known there, and acts here as well."""

from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

import asyncpg
from sqlmodel import col, select

from chassis import clock
from chassis.db import Transaction
from chassis.durable import Wanted, enqueue
from chassis.ledger.events import Event
from services.consent.contract import GuardianSet, GuardianshipEnded, Stated
from services.requests.rights.commands import answering, clocks, doing, proving
from services.requests.rights.contract import Channel, Kind, State
from services.requests.rights.moves import emit_moved
from services.requests.rights.office import Office
from services.requests.rights.rules import clock as counting
from services.requests.rights.rules import proof, way
from services.requests.rights.tables import RequestRow

GROUND = "consent_withdrawn"
# What consent was told from here is heard as well, though nothing follows from it: so the cursor is behind it at once, and a consent
# service that comes back from a backup without it is found out.
_TOLD_FROM_HERE = (
    "objection.raised",
    "objection.lifted",
    "objection.overruled",
    "restriction.set",
    "restriction.lifted",
)
FOLLOWED = ("consent.withdrawn", "guardian.set", "guardian.ended", *_TOLD_FROM_HERE)
# Of each request the last word that consent was told.
_STOOD = """
SELECT tenant, id FROM (SELECT DISTINCT ON (request) tenant, id FROM request_step WHERE store = 'standing' AND state = 'done'
                        ORDER BY request, done_at DESC) last ORDER BY tenant"""
_AGAIN = {
    proving.TELL_AGAIN: "SELECT tenant, id FROM mandate WHERE basis = 'guardian' ORDER BY tenant",
    doing.STAND_AGAIN: _STOOD,
}


async def follow(tx: Transaction, office: Office, event: Event) -> None:
    match event.type:
        case "consent.withdrawn":
            await erase_what_rested_on_it(tx, office, event)
        case "guardian.set" if event.subject:
            told = GuardianSet.model_validate(event.data, strict=False)
            await proving.let_guardian_act(tx, office, event.subject, told, event.time)
        case "guardian.ended" if event.subject:
            ended = GuardianshipEnded.model_validate(event.data, strict=False)
            await proving.end_guardian(tx, event.subject, ended, event.time)


async def tell_all_again(connection: asyncpg.Connection) -> None:
    """The consent service came back from a backup: it may have lost who speaks for a child, and who does no more, from here or told there;
    and what people objected to, restricted or withdrew here, or do no more."""
    for job, those in _AGAIN.items():
        for tenant, theirs in groupby(await connection.fetch(those), key=lambda row: row["tenant"]):
            await enqueue(connection, "rights", tenant, [Wanted(job, row["id"]) for row in theirs])


async def erase_what_rested_on_it(tx: Transaction, office: Office, event: Event) -> None:
    """`consent.withdrawn` with a rule of the book: a deletion of these elements, at once, like any other in all else. It bears the name
    of the withdrawal's record, so that one told again, by whatever event, erases nothing that was said yes to since. What only people say
    waits until another of them, or she herself, has confirmed it, where the book wants that; her own word ends what waits so."""
    said = Stated.model_validate(event.data, strict=False)
    if said.erase_rule is None or not said.erase_elements or event.subject is None:
        return
    if await tx.session.get(RequestRow, said.record):
        return
    book, now = office.book, clock.now()
    due = book.right(Kind.deletion).due
    row = RequestRow(
        id=said.record,
        tenant=tx.tenant,
        principal=event.subject,
        kind=Kind.deletion,
        channel=Channel.consent,
        language="sv",
        state=State.identified,
        ground=GROUND,
        elements=sorted(said.erase_elements),
        purpose=said.purpose,
        evidence_method=proof.BY_STAFF if said.vouched else None,
        vouched_by=said.vouched.by if said.vouched else None,
        received_at=said.occurred_at,
        recorded_at=now,
        due_on=counting.due_on(said.occurred_at, due, book.tz, office.holidays),
    )
    tx.session.add(row)
    await tx.flush()
    tx.session.add(clocks.begun(tx, office, row, due))
    await emit_moved(tx, "request.received", row, row.vouched_by)
    await emit_moved(tx, "request.identified", row)
    if said.vouched is None:
        for other in await _waiting(tx, row):
            await answering.close_duplicate(tx, office, other, row)
    await tx.enqueue("rights.prepare", row.id)


async def _waiting(tx: Transaction, row: RequestRow) -> Sequence[RequestRow]:
    """What others said of this consent of hers, and nobody has carried out."""
    theirs = select(RequestRow).where(
        RequestRow.principal == row.principal,
        RequestRow.channel == Channel.consent,
        RequestRow.purpose == row.purpose,
        RequestRow.evidence_method == proof.BY_STAFF,
        col(RequestRow.state).in_(way.WITHDRAWABLE),
    )
    return (await tx.session.scalars(theirs.with_for_update())).all()


async def spare(tx: Transaction, office: Office, request: UUID) -> None:
    """She said yes again while what her withdrawal would erase waited: that stays."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state == State.cooling_off:
        await answering.close_withdrawn(tx, office, row)
