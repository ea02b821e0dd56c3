"""Correspondence: what we write to a person about her request, and what she writes to us. All of it is sealed.

Who asked by mail or by the helpdesk is written to by mail as well, at an address that she named and that is on file for her; others
read their letters in the portal, or get them by post.
"""

from dataclasses import dataclass, field
from uuid import UUID

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.ids import new_id
from services.anonymizer.contract import FindPrincipal, Identifier, IdentifierType
from services.requests.rights import queries, words
from services.requests.rights.contract import Channel, Letters, LettersRead
from services.requests.rights.office import Office
from services.requests.rights.tables import LetterRow, RequestRow

_BY_MAIL = frozenset({Channel.helpdesk, Channel.email})


@dataclass(frozen=True)
class Mailing:
    """A letter that is to go, if `to` is on file for whom the request is about: `principal`, or whoever `claimed` names."""

    letter: UUID
    principal: UUID | None
    claimed: FindPrincipal | None = field(repr=False)
    to: FindPrincipal = field(repr=False)
    subject: str = field(repr=False)
    body: str = field(repr=False)


async def write(tx: Transaction, office: Office, row: RequestRow, template: str, **said: str) -> LetterRow:
    """One of our letters, in the request's language; `said` fills the template's places."""
    told = {"request": str(row.id), "due_on": row.due_on.isoformat(), "controller": office.book.controller.name}
    told |= {"complaint": office.book.clause("complaint").in_(row.language)}
    subject, body = words.letter(template, row.language, told | said)
    letter = await _keep(tx, office, row, "out", template, subject, body)
    address = await _address_of(tx, office, row)
    if address is not None:
        key = await office.sealer.key(tx.connection, tx.tenant, queries.shelf_of(row.id))
        letter.recipient = key.seal("letter", "recipient", address.model_dump_json(by_alias=True).encode())
        letter.state = "queued"
        await tx.enqueue("rights.letter", letter.id)
    return letter


async def take(tx: Transaction, office: Office, row: RequestRow, body: str) -> LetterRow:
    """Somebody's own words, as they came."""
    return await _keep(tx, office, row, "in", "own", "", body)


async def read(tx: Transaction, office: Office, caller: Caller, request: UUID) -> Letters:
    """As the person sees them; who else read them stands in the ledger."""
    found = await queries.read_letters(tx, office, caller, request)
    if caller.principal is None and found.items:
        row = await tx.session.get(RequestRow, request)
        told = LettersRead(request=request, letters=[each.letter for each in found.items], by=caller.subject)
        await tx.emit("letters.read", told.model_dump(mode="json"), row.principal)
    return found


async def to_mail(tx: Transaction, office: Office, letter: UUID) -> Mailing | None:
    """None once it went, or when the request has ended with everything that was written about it."""
    row = await tx.session.get(LetterRow, letter)
    if row is None or row.state != "queued" or row.recipient is None:
        return None
    request = await tx.session.get(RequestRow, row.request)
    key = await office.sealer.key(tx.connection, tx.tenant, queries.shelf_of(row.request))
    to = Identifier.model_validate_json(key.open("letter", "recipient", row.recipient))
    return Mailing(
        letter=row.id,
        principal=request.principal,
        claimed=await _claimed(tx, office, request),
        to=FindPrincipal(identifiers=[to]),
        subject=key.open("letter", "subject", row.subject).decode(),
        body=key.open("letter", "body", row.body).decode(),
    )


async def mailed(tx: Transaction, letter: UUID, state: str, problem: str | None = None) -> None:
    """What became of it: `sent`, `failed`, `kept` for somebody else's address, or still `queued` with its problem."""
    row = await tx.session.get(LetterRow, letter, with_for_update=True)
    if row.state != "queued":
        return
    row.state, row.problem, row.tries = state, problem, row.tries + 1
    if state == "sent":
        row.sent_at = clock.now()
    if state != "queued":
        row.recipient = None


async def _address_of(tx: Transaction, office: Office, row: RequestRow) -> Identifier | None:
    claimed = await _claimed(tx, office, row) if office.mails and row.channel in _BY_MAIL else None
    named = claimed.identifiers if claimed else []
    # Without the time in which it was hers: it is whose it is now, or nobody is written to.
    return next((Identifier(type=one.type, value=one.value) for one in named if one.type is IdentifierType.email), None)


async def _claimed(tx: Transaction, office: Office, row: RequestRow) -> FindPrincipal | None:
    """What the person named herself by, while we still keep it."""
    if row.identifiers is None:
        return None
    sealed = await office.sealer.open(tx.connection, tx.tenant, row.id, "request", "identifiers", row.identifiers)
    return FindPrincipal.model_validate_json(sealed)


async def _keep(
    tx: Transaction, office: Office, row: RequestRow, direction: str, template: str, subject: str, body: str
) -> LetterRow:
    key = await office.sealer.key_for_sealing(tx.connection, tx.tenant, queries.shelf_of(row.id))
    letter = LetterRow(
        id=new_id(),
        tenant=tx.tenant,
        request=row.id,
        direction=direction,
        template=template,
        language=row.language,
        made_at=clock.now(),
        subject=key.seal("letter", "subject", subject.encode()),
        body=key.seal("letter", "body", body.encode()),
    )
    tx.session.add(letter)
    return letter
