"""What people do: ask, prove who asks, set a passphrase, confirm, change their mind."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from chassis import clock, telemetry
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.errors import Forbidden, Problem
from chassis.ids import new_id
from chassis.rows import new_row
from chassis.sealing import SubjectKey
from chassis.together import Made
from services.anonymizer.contract import Correction, FindPrincipal, Identifier
from services.registry.contract import NotInBook, PolicyBook
from services.requests.rights import queries
from services.requests.rights.commands import (
    answering,
    clocks,
    deciding,
    doing,
    letters,
    posting,
    proving,
    transferring,
)
from services.requests.rights.contract import (
    AnotherConfirms,
    Channel,
    Confirm,
    DownloadsUsed,
    ElementUnknown,
    Evidence,
    GroundUnknown,
    Kind,
    NotNow,
    OpenRequest,
    PackageGone,
    PersonNotNamed,
    PreviewOutdated,
    ProveIdentity,
    PurposeUnknown,
    ReceivedInFuture,
    Request,
    SetKey,
    SetPassphrase,
    State,
    TooManyOpen,
    Wish,
)
from services.requests.rights.moves import emit_moved, for_her, moved
from services.requests.rights.office import Office
from services.requests.rights.package import lock
from services.requests.rights.rules import clock as due_clock
from services.requests.rights.rules import kinds, proof
from services.requests.rights.rules.way import WITHDRAWABLE, must_stand_in
from services.requests.rights.tables import ClockRow, RequestRow

_WHEN_TOO_MANY = (
    "Withdraw one of those that are open, or wait for its answer: one that is answered or withdrawn makes room. "
    "What cannot wait the helpdesk takes by letter, mail or telephone."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One call: who asks for what, and its trace."""

    caller: Caller
    wish: OpenRequest
    traceparent: str | None


async def open_requests(tx: Transaction, office: Office, asked: Sequence[Asked]) -> list[Made | Problem]:
    """Those that come at the same moment. What a rule refuses leaves nothing, and its neighbours stand."""
    open_ = await _open_of(tx, asked)
    rows = [await _row_of(tx, office, each, open_) for each in asked]
    new = [(each, row) for each, row in zip(asked, rows, strict=True) if not isinstance(row, Problem)]
    seal_new(tx, office, [(row, _words_of(each.wish)) for each, row in new])
    running: dict[UUID, ClockRow] = {}
    for each, row in new:
        with telemetry.span("request received", {"traceparent": each.traceparent} if each.traceparent else None):
            running[row.id] = await begun(tx, office, row, proven=True)
    await written(tx, office, [row for _, row in new], list(running.values()))
    return [row if isinstance(row, Problem) else _told(queries.view_of_new(row, running[row.id])) for row in rows]


def _told(request: Request) -> Made:
    """The same to who asks again."""
    said = request.model_dump_json().encode()
    return Made(said, said)


async def _open_of(tx: Transaction, asked: Sequence[Asked]) -> queries.Open:
    """What is open of those who ask with a login; who else asks for one of them now waits until these are written."""
    people = [each.wish.principal or each.caller.principal for each in asked if each.caller.principal]
    await tx.lock(*(f"{tx.tenant} {principal} asks" for principal in people))
    return await queries.open_by_login(tx, people)


async def _row_of(tx: Transaction, office: Office, asked: Asked, open_: queries.Open) -> RequestRow | Problem:
    """Reads, and writes nothing."""
    try:
        row = await _new_request(tx, office, asked.caller, asked.wish)
        if asked.caller.principal is not None:
            _must_leave_room(office.book, open_[row.principal, row.agent], row)
    except Problem as refused:
        return refused
    return row


def _must_leave_room(book: PolicyBook, asked: list[UUID], row: RequestRow) -> None:
    """However many one asks at once, no more are open than the book says; a book from before says nothing of it. Whoever acts for her takes
    up none of her own room, and what the helpdesk types in for her is neither counted nor refused. Raises TooManyOpen."""
    with suppress(NotInBook):  # a book from before it limits nothing
        most = book.number("open_requests")
        if len(asked) >= most:
            raise TooManyOpen(_WHEN_TOO_MANY, most=most, open=[str(each) for each in asked])
    asked.append(row.id)


async def _new_request(tx: Transaction, office: Office, caller: Caller, wish: OpenRequest) -> RequestRow:
    """A person's login proves who she is; for anybody else, evidence is recorded."""
    principal = _who_asks(caller, wish)
    row = request_of(tx, office, wish, wish.channel, wish.received_at)
    row.principal = principal
    if caller.principal is not None:
        proof.must_be_assured(office.book, wish.kind, caller.acr)
    if caller.principal is not None and principal != caller.principal:
        row.agent = await proving.acting_for(tx, office, caller, principal, wish.kind)
    if wish.scope:
        must_be_fresh(office, caller)
        row.recording = wish.scope.recording
    if wish.evidence:
        row.evidence_method = wish.evidence.method
        row.vouched_by = caller.subject if queries.HANDLING in caller.scopes else None
    if wish.transfer is not None:
        _must_be_hers(office, caller, row)
        await transferring.want(tx, row, wish.transfer)
    if wish.by_post:
        await posting.want(tx, caller, row)
    return row


async def prove_identity(
    tx: Transaction, office: Office, caller: Caller, request: UUID, proof: ProveIdentity
) -> Request:
    """The helpdesk made sure who asks: from here on it goes its way. The clock has run since receipt."""
    row = await queries.find(tx, office, caller, request, lock=True)
    must_stand_in(State(row.state), {State.received, State.clarification})
    if row.state == State.received and row.evidence_method is not None:
        raise NotNow("Somebody has just made sure who asks.", state=row.state)
    await vouched(tx, row, caller, proof.evidence.method)
    await made_sure(tx, office, row, proof.identifiers, proof.evidence)
    return await queries.view(tx, row)


async def made_sure(
    tx: Transaction, office: Office, row: RequestRow, identifiers: list[Identifier], evidence: Evidence
) -> None:
    """From now on these name who asks, and no code of before says that it is she."""
    await proving.void_codes(tx, row.id)
    await seal(tx, office, row, words(identifiers=identifiers, evidence=evidence))
    await clocks.resume(tx, office, row, "identity")
    await clocks.resume(tx, office, row, "clarification")
    row.state = State.received
    await tx.enqueue("rights.prepare", row.id)


async def set_passphrase(
    tx: Transaction, office: Office, caller: Caller, request: UUID, wish: SetPassphrase
) -> Request:
    return await _lock_with(tx, office, caller, request, wish.passphrase)


async def set_key(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: SetKey) -> Request:
    return await _lock_with(tx, office, caller, request, lock.with_key(wish.key))


async def _lock_with(tx: Transaction, office: Office, caller: Caller, request: UUID, lock_with: str) -> Request:
    """Possible until the package is being built."""
    row = await queries.find_own(tx, office, caller, request, lock=True)
    must_be_sure(office, caller, row)
    if row.kind not in kinds.PACKED:
        raise NotNow("This right has no package.", state=row.state)
    must_stand_in(State(row.state), {State.received, State.clarification, State.identified, State.awaiting_passphrase})
    await seal(tx, office, row, words(passphrase=lock_with))
    if row.state == State.awaiting_passphrase:
        row.state = State.packing
        await tx.enqueue("rights.pack", row.id)
    return await queries.view(tx, row)


async def confirm(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: Confirm) -> Request:
    """The person has read what will be lost; who has no login says so to the helpdesk. Nothing happens before her time to change her mind is over."""
    row = await queries.find(tx, office, caller, request, lock=True)
    must_be_sure(office, caller, row)
    must_stand_in(State(row.state), {State.previewed})
    if wish.preview != (await queries.preview_of(tx, request)).digest:
        raise PreviewOutdated
    book, now = office.book, clock.now()
    if caller.principal is None and proof.is_only_vouched_for(book, row):
        if queries.HANDLING not in caller.scopes or row.vouched_by == caller.subject:
            raise AnotherConfirms
        if row.vouched_by is None:
            await vouched(tx, row, caller, row.evidence_method)
            return await queries.view(tx, row)
    # Whatever else she was asked, nothing waits for her any more.
    await clocks.resume(tx, office, row, "clarification")
    cooling_off = book.right(Kind.deletion).cooling_off
    row.state = State.cooling_off
    row.executes_at = cooling_off.after(now, book.tz) if cooling_off else now
    await emit_moved(tx, "request.confirmed", row, for_her(caller))
    return await queries.view(tx, row)


async def vouched(tx: Transaction, row: RequestRow, caller: Caller, method: str) -> None:
    row.evidence_method, row.vouched_by = method, caller.subject
    await tx.emit("request.vouched", moved(row) | {"by": caller.subject}, row.principal)


async def withdraw(tx: Transaction, office: Office, caller: Caller, request: UUID) -> Request:
    """Possible until erasing has begun, or the package is being built. What was sealed for it is gone at once; what stood
    still for a restriction or an objection goes on."""
    row = await queries.find(tx, office, caller, request, lock=True)
    if kinds.is_in_force(row) or (row.state in WITHDRAWABLE and await deciding.stands_still(tx, row)):
        must_stand_in(State(row.state), WITHDRAWABLE | {State.answered})
        await deciding.void_tasks(tx, row)
        await doing.lift(tx, office, row)
        return await queries.view(tx, row)
    must_stand_in(State(row.state), WITHDRAWABLE)
    if row.state == State.transferring and await transferring.is_taken(tx, office, row):
        raise NotNow("The other operator has acknowledged that it has all of it.", state=row.state)
    await deciding.void_tasks(tx, row)
    await answering.close_withdrawn(tx, office, row, for_her(caller))
    return await queries.view(tx, row)


async def download(tx: Transaction, office: Office, caller: Caller, request: UUID) -> BinaryIO:
    """The package, opened while nobody removes it, and one download fewer. Raises PackageGone after its time, DownloadsUsed when none is
    left."""
    row = await queries.find_own(tx, office, caller, request, lock=True)
    must_be_sure(office, caller, row)
    if row.package_expires_at is None:
        raise NotNow("There is no package yet.", state=row.state)
    if row.state != State.answered or clock.now() >= row.package_expires_at:
        raise PackageGone
    if not row.downloads_left:
        raise DownloadsUsed
    try:
        package = office.package(request).open("rb")
    except FileNotFoundError:
        raise PackageGone from None
    row.downloads_left -= 1
    return package


def must_be_sure(office: Office, caller: Caller, row: RequestRow) -> None:
    """Whoever it was that asked: a login that is too weak to ask for this locks, opens and confirms nothing of it."""
    if caller.principal is not None:
        proof.must_be_assured(office.book, row.kind, caller.acr)
    must_be_fresh(office, caller)


def must_be_fresh(office: Office, caller: Caller) -> None:
    """A person's session left open at a library opens no package and erases nothing. Tokens go by the machine's clock."""
    if caller.principal is not None:
        proof.must_be_fresh(office.book, caller.auth_time, time.time())


def _must_be_hers(office: Office, caller: Caller, row: RequestRow) -> None:
    """Nobody consents for her to what another operator gets. Raises Forbidden or StepUpNeeded."""
    if caller.principal is None or row.principal != caller.principal:
        raise Forbidden("Only the person herself says to whom her data go.")
    must_be_fresh(office, caller)


def must_be_known(book: PolicyBook, wish: Wish) -> None:
    """What the wish names stands in the policy book. Raises PurposeUnknown, GroundUnknown or ElementUnknown."""
    if wish.purpose and wish.purpose not in {purpose.key for purpose in book.purposes}:
        raise PurposeUnknown
    grounds = sorted(ground.key for ground in book.right(wish.kind).grounds)
    if wish.ground and wish.ground not in grounds:
        raise GroundUnknown(grounds=grounds)
    known = {element.key for category in book.categories for element in category.elements}
    if any(change.element not in known for change in wish.changes):
        raise ElementUnknown


def _who_asks(caller: Caller, wish: OpenRequest) -> UUID | None:
    if caller.principal is not None:
        if wish.channel is not Channel.portal or wish.received_at or wish.identifiers or wish.evidence:
            raise Forbidden("A person asks for herself: her login says who she is, and receipt is now.")
        return wish.principal or caller.principal
    if wish.evidence is None or (wish.principal is None and not wish.identifiers):
        raise PersonNotNamed
    return wish.principal


def request_of(
    tx: Transaction, office: Office, wish: Wish, channel: Channel, received_at: datetime | None
) -> RequestRow:
    must_be_known(office.book, wish)
    now = clock.now()
    received = received_at or now
    if received > now:
        raise ReceivedInFuture
    book = office.book
    return new_row(
        RequestRow,
        id=new_id(),
        tenant=tx.tenant,
        kind=wish.kind,
        channel=channel,
        language=wish.language,
        purpose=wish.purpose,
        ground=wish.ground,
        state=State.received,
        received_at=received,
        recorded_at=now,
        due_on=due_clock.due_on(received, book.right(wish.kind).due, book.tz, office.holidays),
    )


async def begun(tx: Transaction, office: Office, row: RequestRow, proven: bool) -> ClockRow:
    """The request's clock; both are then written."""
    started = clocks.begun(tx, office, row, office.book.right(row.kind).due)
    await emit_moved(tx, "request.received", row, row.vouched_by)
    if row.principal is not None:
        await doing.identified(tx, row, row.principal)
    if proven:
        await tx.enqueue("rights.prepare", row.id)
    return started


async def written(tx: Transaction, office: Office, rows: Sequence[RequestRow], clocks: Sequence[ClockRow]) -> None:
    tx.insert(RequestRow, rows)
    tx.insert(ClockRow, clocks)
    claims = [row for row in rows if row.kind == Kind.damages]
    if claims:
        await tx.flush()
    for row in claims:
        await letters.write(tx, office, row, "claim_received")


def _words_of(wish: OpenRequest) -> dict[str, bytes]:
    """And the key of what will be collected: there is no better moment for it than with the row itself."""
    locked_with = lock.with_key(wish.key) if wish.key else wish.passphrase
    said = words(wish.text, locked_with, wish.identifiers, wish.evidence, wish.changes)
    said |= {"transfer": wish.transfer.model_dump_json().encode()} if wish.transfer else {}
    return said | ({"spool_key": os.urandom(32)} if wish.kind in kinds.PACKED else {})


def words(
    text: str | None = None,
    passphrase: str | None = None,
    identifiers: list[Identifier] | None = None,
    evidence: Evidence | None = None,
    changes: Sequence[Correction] = (),
) -> dict[str, bytes]:
    """What is to be sealed, by its column; the others stay as they are."""
    named = FindPrincipal(identifiers=identifiers).model_dump_json(by_alias=True) if identifiers else None
    note = evidence.note if evidence else None
    wrong = answering.Changes.dump_json(list(changes)).decode() if changes else None
    given = {"said": text, "passphrase": passphrase, "identifiers": named, "evidence": note, "changes": wrong}
    return {column: plain.encode() for column, plain in given.items() if plain}


def seal_new(tx: Transaction, office: Office, given: Sequence[tuple[RequestRow, dict[str, bytes]]]) -> None:
    """Of requests that nobody else knows yet; their keys are written with them."""
    keys, making = office.sealer.make(tx.tenant, [row.id for row, said in given if said])
    tx.write(*making)
    for row, said in given:
        _write_sealed(row, said, keys.get(row.id))


async def seal(tx: Transaction, office: Office, row: RequestRow, said: dict[str, bytes]) -> None:
    if said:
        _write_sealed(row, said, await office.sealer.key_for_sealing(tx.connection, tx.tenant, row.id))


def _write_sealed(row: RequestRow, said: dict[str, bytes], key: SubjectKey | None) -> None:
    for column, plain in said.items():
        setattr(row, column, key.seal("request", column, plain))
