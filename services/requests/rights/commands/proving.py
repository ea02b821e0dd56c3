"""How it becomes known who asks: a code sent to a contact that is already on file, a recorded mandate, a protected identity.

Whoever asks about somebody learns nothing: a code that is sent, one that is not because nobody knows the person, and one
to somebody else's address are answered by the same words after the same work.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from hashlib import sha256
from uuid import UUID

from sqlmodel import col, select

from chassis import clock, identifiers
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.errors import Forbidden, NotFound, TooMany
from chassis.ids import new_id
from services.anonymizer.contract import FindPrincipal, Identifier
from services.consent.contract import GuardianSet, GuardianshipEnded
from services.requests.rights import queries
from services.requests.rights.commands import clocks
from services.requests.rights.contract import (
    AnotherLooks,
    AskCode,
    CheckCode,
    CodeAsked,
    CodeChecked,
    ConfirmMandate,
    Kind,
    Mandate,
    MandateMoved,
    MandateRefused,
    MandateUnknown,
    PersonMoved,
    Protection,
    ProtectPerson,
    RecordMandate,
    State,
)
from services.requests.rights.office import Office
from services.requests.rights.rules import clock as counting
from services.requests.rights.rules import proof
from services.requests.rights.rules.way import must_stand_in
from services.requests.rights.tables import CodeRow, MandateRow, ProtectedRow, RequestRow

DIGITS = 6
CONSENT = "consent"
TELL_CONSENT, TELL_AGAIN = "rights.guardian", "rights.guardian_again"
# Old codes are nobody's business: they go a day after they were asked for, which is as long as they are counted.
OVER = "DELETE FROM one_time_code WHERE asked_at < $1"
_END_MANDATES = """
UPDATE mandate SET evidence = NULL, born = NULL, revoked_at = coalesce(revoked_at, $2), revoked_by = coalesce(revoked_by, 'forgotten')
WHERE $1 IN (principal, agent) RETURNING id"""
# Never sent, or never used: what they would prove was asked about somebody else.
_VOID_CODES = "UPDATE one_time_code SET used_at = $2 WHERE request = $1 AND used_at IS NULL"
_UNPROTECT = "DELETE FROM protected_person WHERE principal = $1"


@dataclass(frozen=True)
class ToTell:
    """Whether somebody speaks for a child, and until when. born: known until consent was told."""

    child: UUID
    guardian: UUID
    speaks: bool
    born: date | None = field(default=None, repr=False)
    until: date | None = None


@dataclass(frozen=True)
class ToSend:
    """A code that may be sent: if `contact` is on file for the person of `claimed`."""

    code: UUID
    language: str
    claimed: FindPrincipal
    contact: FindPrincipal = field(repr=False)


async def ask_code(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: AskCode) -> CodeAsked:
    """Raises TooMany; otherwise the answer is the same for everybody. Whoever is logged in has said who she is: a code could only use up
    what somebody else's address may get in a day."""
    row = await queries.find(tx, office, caller, request, lock=True)
    if caller.principal is not None:
        raise Forbidden("Her login says who she is.")
    must_stand_in(State(row.state), {State.received, State.clarification})
    now, book = clock.now(), office.book
    index = office.sealer.blind_index(tx.tenant, wish.contact.type, _normal(wish.contact))
    await tx.lock(f"{tx.tenant} {index.hex()}")
    by_staff = queries.HANDLING in caller.scopes
    await _must_not_be_too_many(tx, office, row, index, by_staff)
    key = await office.sealer.key_for_sealing(tx.connection, tx.tenant, row.id)
    code = CodeRow(
        id=new_id(),
        tenant=tx.tenant,
        request=row.id,
        contact=key.seal("one_time_code", "contact", wish.contact.model_dump_json(by_alias=True).encode()),
        contact_index=index,
        by_staff=by_staff,
        asked_at=now,
        expires_at=book.period("one_time_code_expiry").after(now, book.tz),
        tries_left=book.number("one_time_code_tries"),
    )
    tx.session.add(code)
    await tx.enqueue("rights.code", code.id)
    return CodeAsked(request=row.id, expires_at=code.expires_at)


async def to_send(tx: Transaction, office: Office, code: UUID) -> ToSend | None:
    row = await tx.session.get(CodeRow, code)
    if row is None or row.used_at is not None or row.expires_at <= clock.now():
        return None
    request = await tx.session.get(RequestRow, row.request)
    if request.identifiers is None or row.contact is None:
        return None
    key = await office.sealer.key(tx.connection, tx.tenant, request.id)
    contact = Identifier.model_validate_json(key.open("one_time_code", "contact", row.contact))
    claimed = FindPrincipal.model_validate_json(key.open("request", "identifiers", request.identifiers))
    return ToSend(row.id, request.language, claimed, FindPrincipal(identifiers=[contact]))


async def make_code(tx: Transaction, office: Office, code: UUID) -> str | None:
    """The contact is on file: only the code's digest is kept. Whoever sends it again, because a mail server was away, sends the same."""
    row = await tx.session.get(CodeRow, code, with_for_update=True)
    if row is None or row.used_at is not None:
        return None
    drawn = int.from_bytes(hmac.digest(office.secret, f"one-time code {row.id}".encode(), sha256)) % 10**DIGITS
    row.digest = _digest(office, row, f"{drawn:0{DIGITS}}")
    return f"{drawn:0{DIGITS}}"


async def check_code(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: CheckCode) -> CodeChecked:
    """Whether it proves who asks. A wrong, late or used-up code, and one that was never sent, are the same."""
    row = await queries.find(tx, office, caller, request, lock=True)
    must_stand_in(State(row.state), {State.received, State.clarification})
    newest = select(CodeRow).where(CodeRow.request == row.id).order_by(col(CodeRow.id).desc()).limit(1)
    code = (await tx.session.scalars(newest.with_for_update())).first()
    proven = False
    if code is not None and code.tries_left > 0 and code.used_at is None:
        code.tries_left -= 1
        given = _digest(office, code, wish.code)
        right = hmac.compare_digest(given, code.digest or bytes(32))
        proven = right and code.digest is not None and clock.now() < code.expires_at
    if proven:
        code.used_at, row.evidence_method, row.state = clock.now(), proof.BY_CODE, State.received
        await clocks.resume(tx, office, row, "identity")
        await tx.enqueue("rights.prepare", row.id)
    return CodeChecked(request=row.id, proven=proven)


async def void_codes(tx: Transaction, request: UUID) -> None:
    """Somebody else is named from now on, and no code of before says that it is she."""
    await tx.connection.execute(_VOID_CODES, request, clock.now())


async def record_mandate(tx: Transaction, office: Office, caller: Caller, wish: RecordMandate) -> Mandate:
    """Somebody may act for somebody else, in these rights, in this time, if the policy book lets them, and once another of the staff has
    looked at the papers, if it wants that. Raises MandateRefused."""
    id, today = new_id(), counting.day_of(clock.now(), office.book.tz)
    last = proof.last_day_of(office.book, wish, today)
    note = wish.evidence.note or wish.evidence.method
    row = MandateRow(
        id=id,
        tenant=tx.tenant,
        principal=wish.principal,
        agent=wish.agent,
        basis=wish.basis,
        kinds=[str(kind) for kind in wish.kinds],
        valid_from=wish.valid_from or today,
        valid_to=last,
        evidence=await office.sealer.seal(tx.connection, tx.tenant, id, "mandate", "evidence", note.encode()),
        recorded_by=caller.subject,
        recorded_at=clock.now(),
        waiting=office.book.representation(wish.basis).confirmed_by == "four_eyes",
        vouched_by=caller.subject,
    )
    if wish.born is not None and _concerns_consent(office, row):
        born = wish.born.isoformat().encode()
        row.born = await office.sealer.seal(tx.connection, tx.tenant, id, "mandate", "born", born)
    tx.session.add(row)
    await tx.emit("mandate.recorded", _mandate_moved(row, caller.subject), row.principal)
    await _tell_consent(tx, office, row)
    return queries.mandate_view(row)


async def confirm_mandate(
    tx: Transaction, office: Office, caller: Caller, mandate: UUID, wish: ConfirmMandate
) -> Mandate:
    """Another of the staff has looked at its papers: from now on it counts. If nobody knows who vouched for it, the first one's word is
    noted, and the second one's counts. Raises AnotherLooks and MandateRefused."""
    row = await _locked(tx, mandate)
    if not row.waiting:
        return queries.mandate_view(row)
    if proof.has_ended(row, counting.day_of(clock.now(), office.book.tz)):
        raise MandateRefused("It has ended: record it anew.")
    if row.vouched_by == caller.subject:
        raise AnotherLooks
    proof.must_be_seen(office.book, row.basis, wish.papers)
    if row.vouched_by is None:
        row.vouched_by, told = caller.subject, "mandate.vouched"
    else:
        row.waiting, row.confirmed_by, told = False, caller.subject, "mandate.confirmed"
    await tx.emit(told, _mandate_moved(row, caller.subject), row.principal)
    await _tell_consent(tx, office, row)
    return queries.mandate_view(row)


async def _locked(tx: Transaction, mandate: UUID) -> MandateRow:
    row = await tx.session.get(MandateRow, mandate, with_for_update=True)
    if row is None:
        raise MandateUnknown
    return row


def _concerns_consent(office: Office, row: MandateRow) -> bool:
    """Who may withdraw for a child speaks of its consents altogether, if the policy book has one proof serve both."""
    known = office.book.representation("guardian")
    return row.basis == "guardian" and Kind.withdrawal in row.kinds and known is not None and known.known_to_consent


def _is_known_to_consent(office: Office, row: MandateRow) -> bool:
    """Consent is told of none that waits here; of whom it told us itself it is told the end."""
    return _concerns_consent(office, row) and (not row.waiting or row.recorded_by == CONSENT)


async def _tell_consent(tx: Transaction, office: Office, row: MandateRow) -> None:
    """From the first day on, of whom it does not know yet, and of whom it has waiting."""
    if row.waiting or not _concerns_consent(office, row):
        return
    if row.born is not None or row.recorded_by == CONSENT:
        job = TELL_CONSENT if row.born is not None else TELL_AGAIN
        await tx.enqueue(job, row.id, after=_until_day(row.valid_from, office))


def _until_day(day: date, office: Office) -> timedelta | None:
    left = datetime.combine(day, time.min, office.book.tz) - clock.now()
    return left if left > timedelta(0) else None


async def to_tell_consent(tx: Transaction, office: Office, mandate: UUID) -> ToTell | None:
    """What the consent service is to know of a guardian, read anew each time: a mandate may have ended since. None: nothing."""
    row = await tx.session.get(MandateRow, mandate)
    if row is None or row.of_age or not _is_known_to_consent(office, row):
        return None
    today = counting.day_of(clock.now(), office.book.tz)
    if row.revoked_at is None and today < row.valid_from:
        await tx.enqueue(TELL_CONSENT, row.id, after=_until_day(row.valid_from, office))
        return None
    if row.waiting and row.revoked_at is None:
        return None
    theirs = [one for one in await _of_guardian(tx, row.principal, row.agent) if _concerns_consent(office, one)]
    if not any(proof.is_live(one, Kind.withdrawal, today) for one in theirs):
        return ToTell(row.principal, row.agent, False)
    if row.revoked_at is not None:
        return None
    if row.born is None:
        return ToTell(row.principal, row.agent, True, None, row.valid_to)
    born = await office.sealer.open(tx.connection, tx.tenant, row.id, "mandate", "born", row.born)
    return ToTell(row.principal, row.agent, True, date.fromisoformat(born.decode()), row.valid_to)


async def consent_told(tx: Transaction, mandate: UUID) -> None:
    """Whoever revoked it meanwhile may have been told of before."""
    row = await tx.session.get(MandateRow, mandate, with_for_update=True)
    if row is not None and row.revoked_at is None:
        row.born = None
    elif row is not None:
        await tx.enqueue(TELL_CONSENT, row.id)


async def _of_guardian(tx: Transaction, child: UUID, guardian: UUID) -> Sequence[MandateRow]:
    theirs = select(MandateRow).where(
        MandateRow.principal == child, MandateRow.agent == guardian, MandateRow.basis == "guardian"
    )
    return (await tx.session.scalars(theirs.with_for_update())).all()


async def let_guardian_act(tx: Transaction, office: Office, child: UUID, told: GuardianSet, told_at: datetime) -> None:
    """Whom the consent service knows as a child's guardian acts for it here as well, if the policy book says so, until consent knows it no
    more; there one of the staff recorded it, and by what waits for another nobody acts, there or here. Where a child is to be asked younger than consent asks it, that day is not known here, and the answer is no. What was recorded
    here says itself how far it goes, and what was revoked since is not opened again."""
    row, today = office.book.representation("guardian"), counting.day_of(clock.now(), office.book.tz)
    for one in await _of_guardian(tx, child, told.guardian):
        known = one.recorded_by == CONSENT or Kind.withdrawal in one.kinds
        revoked_since = one.revoked_at is not None and one.revoked_at >= told_at
        if (known and not proof.has_ended(one, today)) or revoked_since:
            return
    if row is None or not row.known_to_consent:
        return
    if (row.asked_from_age or row.until_age or 0) < office.book.number("consent_min_age"):
        return
    mandate = MandateRow(
        id=new_id(),
        tenant=tx.tenant,
        principal=child,
        agent=told.guardian,
        basis=row.key,
        kinds=list(row.rights),
        valid_from=today,
        recorded_by=CONSENT,
        recorded_at=told_at,  # there: an end told since, and heard late like this, comes after it
        waiting=row.confirmed_by == "four_eyes",
        vouched_by=told.by,
    )
    tx.session.add(mandate)
    await tx.emit("mandate.recorded", _mandate_moved(mandate, CONSENT), child)


async def end_guardian(tx: Transaction, child: UUID, ended: GuardianshipEnded, told_at: datetime) -> None:
    """Consent knows them no more. If nobody revoked it, what was proven here goes on until its own day: a child consents for itself
    before it is of age here. What was proven since, an end heard late, or once more, does not end."""
    for row in await _of_guardian(tx, child, ended.guardian):
        if row.recorded_at > told_at:
            continue
        row.of_age = row.of_age or ended.why == "of_age"
        if row.revoked_at is None and (ended.why == "revoked" or row.recorded_by == CONSENT):
            row.revoked_at, row.revoked_by = clock.now(), CONSENT
            await tx.emit("mandate.revoked", _mandate_moved(row, CONSENT), child)


async def revoke_mandate(tx: Transaction, office: Office, caller: Caller, mandate: UUID) -> Mandate:
    """From now on. What was asked under it goes on, and its answers are for the person alone."""
    row = await _locked(tx, mandate)
    if row.revoked_at is None:
        row.revoked_at, row.revoked_by, row.born = clock.now(), caller.subject, None
        if _is_known_to_consent(office, row):
            await tx.enqueue(TELL_CONSENT, row.id)
        await tx.emit("mandate.revoked", _mandate_moved(row, caller.subject), row.principal)
    return queries.mandate_view(row)


async def protect(tx: Transaction, caller: Caller, principal: UUID, wish: ProtectPerson) -> Protection:
    """A protected identity: no address is shown in a package, and nothing is posted."""
    row = await tx.session.get(ProtectedRow, (tx.tenant, principal), with_for_update=True)
    if wish.protected and row is None:
        row = ProtectedRow(tenant=tx.tenant, principal=principal, recorded_by=caller.subject, recorded_at=clock.now())
        tx.session.add(row)
        await tx.emit("person.protected", PersonMoved(by=caller.subject).model_dump(mode="json"), principal)
    elif not wish.protected and row is not None:
        await tx.session.delete(row)
        await tx.emit("person.unprotected", PersonMoved(by=caller.subject).model_dump(mode="json"), principal)
    return Protection(principal=principal, protected=wish.protected)


async def forget(tx: Transaction, office: Office, principal: UUID) -> None:
    """Nobody is known by this name any more: mandates for and of her end, with what proved them."""
    ended = await tx.connection.fetch(_END_MANDATES, principal, clock.now())
    tx.write(*office.sealer.shredding(tx.tenant, [row["id"] for row in ended]))
    await tx.connection.execute(_UNPROTECT, principal)


async def acting_for(tx: Transaction, office: Office, caller: Caller, principal: UUID, kind: str) -> UUID:
    """The agent who asks for this person, by a mandate that lives. Raises NotFound: nobody learns who exists."""
    if (principal, kind) not in await queries.mandated(tx, office, caller.principal):
        raise NotFound
    return caller.principal


async def _must_not_be_too_many(tx: Transaction, office: Office, row: RequestRow, index: bytes, by_staff: bool) -> None:
    """What staff send to whom they speak with is counted by itself: with tickets in her name strangers use up none of it."""
    most, now = office.book.number("one_time_code_sends"), clock.now()
    for mine in (CodeRow.request == row.id, CodeRow.contact_index == index):
        asked = select(CodeRow.asked_at).where(mine, CodeRow.by_staff == by_staff)
        sent = (await tx.session.scalars(asked)).all()
        if not proof.may_send(sent, now, most):
            raise TooMany("No more codes today.")


def _normal(contact: Identifier) -> str:
    """However it is spelled, it is one address."""
    return identifiers.normalise(contact.type, contact.value)


def _digest(office: Office, row: CodeRow, code: str) -> bytes:
    """Keyed: a million codes are tried in no time by whoever reads the table."""
    return hmac.digest(office.secret, f"{row.id}|{code}".encode(), sha256)


def _mandate_moved(row: MandateRow, by: str) -> dict:
    said = MandateMoved(mandate=row.id, agent=row.agent, basis=row.basis, kinds=row.kinds, by=by, waiting=row.waiting)
    return said.model_dump(mode="json")
