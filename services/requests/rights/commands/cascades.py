"""What follows by itself from what the consent service tells: a consent is withdrawn, and what rested on it alone is erased without
anybody asking; a child's guardian is known there, and acts here as well."""

from chassis import clock
from chassis.db import Transaction
from chassis.ledger.events import Event
from services.consent.contract import GuardianSet, GuardianshipEnded, Stated
from services.requests.rights.commands import clocks, proving
from services.requests.rights.contract import Channel, Kind, State
from services.requests.rights.moves import emit_moved
from services.requests.rights.office import Office
from services.requests.rights.rules import clock as counting
from services.requests.rights.tables import RequestRow

GROUND = "consent_withdrawn"
FOLLOWED = ("consent.withdrawn", "guardian.set", "guardian.ended")


async def follow(tx: Transaction, office: Office, event: Event) -> None:
    match event.type:
        case "consent.withdrawn":
            await erase_what_rested_on_it(tx, office, event)
        case "guardian.set" if event.subject:
            guardian = GuardianSet.model_validate(event.data, strict=False).guardian
            await proving.let_guardian_act(tx, office, event.subject, guardian, event.time)
        case "guardian.ended" if event.subject:
            ended = GuardianshipEnded.model_validate(event.data, strict=False)
            await proving.end_guardian(tx, event.subject, ended, event.time)


async def erase_what_rested_on_it(tx: Transaction, office: Office, event: Event) -> None:
    """`consent.withdrawn` with a rule of the book: a deletion of these elements, at once, like any other in all else. It bears the name
    of the withdrawal's record, so that one told again, by whatever event, erases nothing that was said yes to since."""
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
        received_at=said.occurred_at,
        recorded_at=now,
        due_on=counting.due_on(said.occurred_at, due, book.tz, office.holidays),
    )
    tx.session.add(row)
    await tx.flush()
    tx.session.add(clocks.begun(tx, office, row, due))
    await emit_moved(tx, "request.received", row)
    await emit_moved(tx, "request.identified", row)
    await tx.enqueue("rights.prepare", row.id)
