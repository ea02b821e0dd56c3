"""The helpdesk's tickets: one becomes a request, what it says later of who asks is heard, and it is told where its request stands."""

from uuid import UUID

from sqlmodel import col, select

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from services.anonymizer.contract import FindPrincipal
from services.requests.rights import queries
from services.requests.rights.commands import answering, asking, clocks, proving
from services.requests.rights.contract import (
    Channel,
    PostTicket,
    State,
    TicketAsksOther,
    TicketNamesOther,
    TicketTaken,
)
from services.requests.rights.moves import emit_moved, moved
from services.requests.rights.office import Office
from services.requests.rights.rules import clock as due_clock
from services.requests.rights.rules import kinds
from services.requests.rights.rules.helpdesk import Stands
from services.requests.rights.tables import RequestRow


async def take(tx: Transaction, office: Office, caller: Caller, ticket: PostTicket) -> TicketTaken:
    """A ticket becomes a request; the same ticket again is the request it already became. Raises TicketAsksOther and TicketNamesOther:
    whoever would be answered with that one would think that this is done as well."""
    await tx.lock(f"{tx.tenant} {ticket.ticket}")
    known = (await tx.session.scalars(select(RequestRow).where(RequestRow.ticket == ticket.ticket))).first()
    if known is None:
        known = await _begun(tx, office, ticket)
    elif (known.kind, known.purpose, known.ground) != (ticket.kind, ticket.purpose, ticket.ground):
        raise TicketAsksOther(request=str(known.id), kind=known.kind)
    else:
        await _heard_again(tx, office, caller, known, ticket)
    return TicketTaken(ticket=ticket.ticket, request=known.id)


async def _begun(tx: Transaction, office: Office, ticket: PostTicket) -> RequestRow:
    # By a clock that is ahead of ours nobody loses her request: it came now at the latest.
    received = min(ticket.received_at or clock.now(), clock.now())
    row = asking.request_of(tx, office, ticket, Channel.helpdesk, received)
    row.ticket = ticket.ticket
    if ticket.evidence:
        row.evidence_method = ticket.evidence.method
    said = asking.words(ticket.text, None, ticket.identifiers, ticket.evidence, ticket.changes)
    asking.seal_new(tx, office, [(row, said | {"ticket_named": _named(ticket)})])
    started = await asking.begun(tx, office, row, proven=ticket.evidence is not None)
    await asking.written(tx, office, [row], [started])
    return row


async def _heard_again(tx: Transaction, office: Office, caller: Caller, row: RequestRow, ticket: PostTicket) -> None:
    """While nobody has made sure who asks, a requester who was corrected there counts, and so does evidence that comes later; and where
    who was made sure of is known to nobody, both together. Otherwise no ticket makes it somebody else's. Raises TicketNamesOther."""
    await tx.session.refresh(row, with_for_update=True)
    named_other = await _names_other(tx, office, row, ticket)
    unproven = row.evidence_method is None and row.state in (State.received, State.clarification)
    if not named_other and not (unproven and ticket.evidence):
        return
    if not unproven and not (row.state == State.clarification and ticket.evidence):
        raise TicketNamesOther(request=str(row.id))
    said = {"ticket_named": _named(ticket)} | asking.words(identifiers=ticket.identifiers)
    await asking.seal(tx, office, row, said)
    if ticket.evidence is None:
        await proving.void_codes(tx, row.id)
        await emit_moved(tx, "request.named_anew", row, caller.subject)
        return
    # Another system says it: of the staff nobody stands behind it yet.
    row.evidence_method, row.vouched_by = ticket.evidence.method, None
    await tx.emit("request.vouched", moved(row) | {"by": caller.subject}, row.principal)
    await asking.made_sure(tx, office, row, ticket.identifiers, ticket.evidence)


async def _names_other(tx: Transaction, office: Office, row: RequestRow, ticket: PostTicket) -> bool:
    """Than it did before, whomever staff have found to ask; of a request that is over nobody knows any more."""
    if row.ticket_named is None:
        return False
    return await answering.open_sealed(tx, office, row, "ticket_named") != _named(ticket)


def _named(ticket: PostTicket) -> bytes:
    return FindPrincipal(identifiers=ticket.identifiers).model_dump_json(by_alias=True).encode()


async def to_tell(tx: Transaction, request: UUID) -> tuple[RequestRow, Stands]:
    row = await tx.session.get(RequestRow, request)
    return row, await _stands(tx, row)


async def told(tx: Transaction, request: UUID, stood: Stands) -> None:
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    row.ticket_told = str(stood)
    if row.ticket_told != str(await _stands(tx, row)):  # said while something newer was told too, and perhaps after it
        await tx.enqueue("rights.ticket", row.id)


async def unsure(tx: Transaction, request: UUID) -> None:
    """What nobody took in time may be taken all the same, after what was told meanwhile."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    row.ticket_told = None


async def _stands(tx: Transaction, row: RequestRow) -> Stands:
    """What is over stands where another controller's part of it does, until that is over too."""
    if row.state not in kinds.OPEN:
        theirs = select(RequestRow).where(RequestRow.part_of == row.id, col(RequestRow.state).in_(kinds.OPEN))
        row = (await tx.session.scalars(theirs)).first() or row
    pauses = [pause for each in await queries.clocks_of(tx, row.id) for pause in clocks.pauses_of(each)]
    asked = any(pause.answered_on is None for pause in pauses)
    return Stands(State(row.state), None if due_clock.is_paused(pauses) else row.due_on, asked)
