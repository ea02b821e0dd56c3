"""A call, told by its call server: who is in it, what they answer to the announcement, and when it ends."""

from uuid import UUID

from sqlmodel import select

from chassis import clock
from chassis.db import Transaction
from services.consent import rules
from services.consent.commands import notices, recordings
from services.consent.commands.desk import Desk
from services.consent.commands.recording import lock_matters, record, to_answer
from services.consent.commands.statements import must_rest_on_consent
from services.consent.contract import (
    Call,
    CallEnded,
    CallKnown,
    CallTold,
    EndCall,
    EndsBeforeItBegan,
    Indicate,
    InTheFuture,
    LanguageMissing,
    NotContent,
    NotInTheCall,
    Participant,
    PartyUnknown,
    Reason,
    StartCall,
    State,
    UnknownCall,
)
from services.consent.tables import CallPartyRow, CallRow


async def start(tx: Transaction, desk: Desk, wish: StartCall) -> Call:
    """Under the locks of all that its parties could say, and of the duty to record: what ends one comes before this decision, or finds the
    call."""
    rules.must_be_in_book(desk.book, wish.purpose, [wish.category])
    if not desk.book.is_content(wish.category):
        raise NotContent("Ask the decision point about other data.")
    now = clock.now()
    if wish.started_at is not None and wish.started_at > now:
        raise InTheFuture("The call is dated later than now.")
    people = [party.principal for party in wish.participants]
    await tx.lock(f"call {tx.tenant} {wish.call}")
    if await tx.session.get(CallRow, (tx.tenant, wish.call)):
        raise CallKnown("Each call has a name of its own.")
    await tx.share(recordings.duty(tx.tenant, wish.purpose))
    await lock_matters(tx, [each for each in people if each], recordings.matters(wish.purpose))
    verdict, duty = await recordings.may_record(tx, desk.book, wish.purpose, wish.category, people)
    call = CallRow(
        tenant=tx.tenant,
        id=wish.call,
        purpose=wish.purpose,
        category=wish.category,
        state="open",
        recording=verdict.allowed,
        reason=verdict.reason.value,
        legal_ref=duty,
        started_at=wish.started_at or now,
        ended_at=None,
        stopped_at=None,
        event=wish.call,
        book_rows=rules.rows_of(desk.book),
    )
    agreed = verdict.allowed and duty is None
    parties = [
        CallPartyRow(
            tenant=tx.tenant,
            call=wish.call,
            party=place,
            principal=party.principal,
            role=party.role,
            indication="prior" if agreed else "none",
            offset_ms=0 if agreed else None,
            record=None,
        )
        for place, party in enumerate(wish.participants)
    ]
    call.event = (await tx.emit("call.started", _told(call, parties))).id
    tx.session.add(call)
    await tx.session.flush()
    tx.session.add_all(parties)
    return _as_reply(call, parties)


async def indicate(tx: Transaction, desk: Desk, name: UUID, said: Indicate) -> Call:
    """Her answer is a consent or a refusal like any other, by every law by which she had spoken of the purpose, with the call as its
    evidence; then the call is decided anew."""
    notice = await notices.published(tx, said.notice, said.notice_version)
    if said.language not in notice.texts:
        raise LanguageMissing("Ask in a language in which the notice was published.")
    call, parties = await _open_call(tx, name)
    if said.party >= len(parties):
        raise NotInTheCall("Places are counted from 0.")
    party = parties[said.party]
    if party.principal is None:
        raise PartyUnknown("The recording of a call with a party nobody knows is refused.")
    must_rest_on_consent(desk.book, notice, call.purpose)
    people = [each.principal for each in parties if each.principal]
    await tx.share(recordings.duty(tx.tenant, call.purpose))
    await lock_matters(tx, people, recordings.matters(call.purpose))
    yes = said.answer == "yes"
    details = {
        "language": said.language,
        "collection_method": said.method,
        "type": "expressed",
        "call": str(name),
        "participants": [
            {"party": each.party, "role": each.role, "indication": each.indication, "offset_ms": each.offset_ms}
            for each in parties
            if each is not party
        ]
        + [
            {
                "party": party.party,
                "role": party.role,
                "indication": said.method if yes else "refused",
                "offset_ms": said.offset_ms,
            }
        ],
    }
    state = State.given if yes else State.refused
    for matter in await to_answer(tx, party.principal, call.purpose):
        told = await record(
            tx, desk, party.principal, matter, state, None, details, notice, evidence_ref=said.evidence_ref
        )
    party.indication, party.offset_ms, party.record = (said.method if yes else "refused"), said.offset_ms, told.record
    await tx.session.refresh(call)  # a refusal has stopped it already
    await _decide_again(tx, desk, call, parties)
    call.event = (await tx.emit("call.indicated", _told(call, parties))).id
    return _as_reply(call, parties)


async def _decide_again(tx: Transaction, desk: Desk, call: CallRow, parties: list[CallPartyRow]) -> None:
    people = [each.principal for each in parties]
    verdict, duty = await recordings.may_record(tx, desk.book, call.purpose, call.category, people)
    began = verdict.allowed and not call.recording
    call.recording, call.reason, call.legal_ref = verdict.allowed, verdict.reason.value, duty
    call.book_rows = rules.rows_of(desk.book)
    if began:
        call.stopped_at = None
        for each in parties:
            each.indication = "prior" if each.indication == "none" and duty is None else each.indication
        await tx.emit("recording.start", _told(call, []))


async def end(tx: Transaction, _desk: Desk, name: UUID, wish: EndCall) -> Call:
    call, parties = await _open_call(tx, name)
    await tx.session.refresh(call, with_for_update=True)  # a withdrawal may have stopped it this moment
    now = clock.now()
    if wish.ended_at is not None and wish.ended_at > now:
        raise InTheFuture("The end is dated later than now.")
    if wish.ended_at is not None and wish.ended_at < call.started_at:
        raise EndsBeforeItBegan("Leave the end out: it is now.")
    call.state, call.ended_at = "ended", wish.ended_at or now
    call.stopped_at = call.stopped_at or (call.ended_at if call.recording else None)
    call.recording = False
    call.event = (await tx.emit("call.ended", _told(call, []))).id
    return _as_reply(call, parties)


async def _open_call(tx: Transaction, name: UUID) -> tuple[CallRow, list[CallPartyRow]]:
    await tx.lock(f"call {tx.tenant} {name}")
    call, parties = await _call(tx, name)
    if call.state != "open":
        raise CallEnded("Nothing in it can change any more.")
    return call, parties


async def read(tx: Transaction, name: UUID) -> Call:
    return _as_reply(*await _call(tx, name))


async def _call(tx: Transaction, name: UUID) -> tuple[CallRow, list[CallPartyRow]]:
    call = await tx.session.get(CallRow, (tx.tenant, name))
    if call is None:
        raise UnknownCall("No call of this organisation has that name.")
    found = select(CallPartyRow).where(CallPartyRow.call == name).order_by(CallPartyRow.party)
    return call, list((await tx.session.execute(found)).scalars())


def _told(call: CallRow, parties: list[CallPartyRow]) -> dict:
    told = CallTold(
        call=call.id,
        reason=Reason(call.reason),
        recording=call.recording,
        legal_ref=call.legal_ref,
        participants=_participants(parties),
    )
    return told.model_dump(mode="json")


def _participants(parties: list[CallPartyRow]) -> list[Participant]:
    return [Participant(**each.model_dump()) for each in parties]


def _as_reply(call: CallRow, parties: list[CallPartyRow]) -> Call:
    return Call(**call.model_dump(), call=call.id, participants=_participants(parties))
