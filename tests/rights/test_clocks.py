"""Clocks of running requests: paused by a question, extended with a reason, and told of before they run out."""

import asyncio
import base64
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from services.anonymizer.contract import Identifier, IdentifierType
from services.registry.contract import PolicyBook, Text
from services.requests.rights.commands import clocks
from services.requests.rights.contract import (
    AddEvidence,
    Ask,
    CannotExtend,
    Channel,
    Confirm,
    Evidence,
    Extend,
    Kind,
    NotNow,
    OpenRequest,
    PostTicket,
    ProveIdentity,
    ReasonUnknown,
    Replied,
    Verdict,
)
from tests.days import day_of
from tests.rights.conftest import House
from tests.rights.operator import Row
from tests.rights.test_clock import BOOK
from tests.rights.test_evidence import png
from tests.rights.test_rights import decided, restricted

WORDS = Text(sv="Är det du, Anna Testlind?", en="Is it you, Anna Testlind?")


def key() -> str:
    return str(uuid4())


async def a_ticket(house: House, tenant: UUID, language: str = "sv") -> UUID:
    """A request of which nobody knows yet whose it is."""
    who = [Identifier(type=IdentifierType.email, value=f"{uuid4()}@epost.example")]
    ticket = PostTicket(ticket=uuid4().hex, kind=Kind.access, identifiers=who, language=language)
    return (await house.ticket_system(tenant).post_ticket(ticket, key=key())).request


async def test_a_question_asked_at_once_stops_the_clock_and_both_days_are_shown(house: House, tenant: UUID):
    desk, request = house.helpdesk(tenant), await a_ticket(house, tenant)
    before = (await desk.request(request)).due_on
    asked = await desk.question(request, Ask(about="identity", text=WORDS), key=key())
    assert not asked.clocks[0].running and asked.clocks[0].pauses[0].counts
    house.later(days=5)
    proof = ProveIdentity(
        identifiers=[Identifier(type=IdentifierType.email, value=f"{uuid4()}@epost.example")],
        evidence=Evidence(method="call_back"),
    )
    after = await desk.prove_identity(request, proof, key=key())
    [clock], [pause] = after.clocks, after.clocks[0].pauses
    assert clock.running and pause.answered_on - pause.asked_on == timedelta(days=5)
    assert after.due_on > before, "later by those days; weekends and holidays may add more"


async def test_a_question_asked_late_is_shown_and_stops_nothing(house: House, tenant: UUID):
    desk, request = house.helpdesk(tenant), await a_ticket(house, tenant)
    before = (await desk.request(request)).due_on
    house.later(days=8)
    asked = await desk.question(request, Ask(about="clarification", text=WORDS), key=key())
    assert asked.clocks[0].running and not asked.clocks[0].pauses[0].counts
    house.later(days=3)
    answered = await desk.reply(request, Replied(text="Ja, det är jag"), key=key())
    assert answered.due_on == before and answered.clocks[0].pauses[0].answered_on


async def test_who_confirms_instead_of_answering_is_awaited_no_more(house: House, tenant: UUID):
    person, desk = (
        house.person(house.operator.person(("billing", Row("customer", "1"))), tenant),
        house.helpdesk(tenant),
    )
    asked = await person.open(OpenRequest(kind=Kind.deletion), key=key())
    await house.until_state(person, asked.request, "previewed")
    await desk.question(asked.request, Ask(about="clarification", text=WORDS), key=key())
    house.later(days=2)
    read = Confirm(preview=(await person.preview(asked.request)).digest)
    [clock] = (await person.confirm(asked.request, read, key=key())).clocks
    assert clock.running and clock.pauses[0].answered_on == clock.pauses[0].asked_on + timedelta(days=2)


async def test_nobody_is_asked_twice_at_once(house: House, tenant: UUID):
    desk, request = house.helpdesk(tenant), await a_ticket(house, tenant)
    await desk.question(request, Ask(about="clarification", text=WORDS), key=key())
    with pytest.raises(NotNow):
        await desk.question(request, Ask(about="identity", text=WORDS), key=key())


@pytest.mark.parametrize(("language", "said"), [("sv", "Har vi inte hört av dig"), ("en", "not heard from you by")])
async def test_who_is_asked_who_she_is_and_never_says_is_answered_so_in_time(
    house: House, tenant: UUID, language: str, said: str
):
    desk, other = house.helpdesk(tenant), await a_ticket(house, tenant)
    request = await a_ticket(house, tenant, language=language)
    last = (day_of(house.now()) + timedelta(days=14)).isoformat()
    await desk.question(request, Ask(about="identity", text=WORDS), key=key())
    [letter] = (await desk.letters(request)).items
    assert f"{said} " in letter.body and last in letter.body
    house.later(days=13)
    await asyncio.sleep(1.5)  # a tick
    assert (await desk.request(request)).state == "received"
    house.later(days=2)
    over = await house.until_state(desk, request, "answered")
    answer = await desk.answer(request)
    assert (answer.outcome, answer.refusal.reason) == ("refused", "identity_not_proven")
    assert "imy.se" in answer.complaint.sv and over.due_on >= answer.answered_at.date()
    assert (await desk.request(other)).state == "received", "whom nobody asked is ours to ask"


async def test_a_request_that_is_broken_stops_no_other_one_s_clock(house: House, tenant: UUID):
    """As one whose words nobody can open any more would be."""
    desk, broken, anna = house.helpdesk(tenant), await a_ticket(house, tenant), house.operator.person()
    await desk.question(broken, Ask(about="identity", text=WORDS), key=key())
    [(whole,)] = await house.rows("SELECT identifiers FROM rights.request WHERE id = $1", broken)
    await house.rows("UPDATE rights.request SET identifiers = 'nothing' WHERE id = $1", broken)
    try:
        restriction = await restricted(house, tenant, anna)
        await decided(house, tenant, restriction.request, Verdict.lifted)
        house.later(days=15)
        await house.until_state(desk, restriction.request, "closed")
        assert (await desk.request(broken)).state == "received"
    finally:
        mended = "UPDATE rights.request SET awaiting_since = NULL, identifiers = $2 WHERE id = $1"
        await house.rows(mended, broken, whole)


def test_a_book_from_before_it_says_no_day_by_which_somebody_is_to_say_who_she_is():
    assert clocks._waits_until(BOOK) is not None
    written = BOOK.model_dump(mode="json")
    written["limits"] = [row for row in written["limits"] if row["key"] != "identity_awaited"]
    assert clocks._waits_until(PolicyBook.model_validate(written, strict=False)) is None


async def test_who_says_something_when_asked_who_she_is_is_refused_by_no_rule(house: House, tenant: UUID):
    desk = house.helpdesk(tenant)
    replied, showed, proved = [await a_ticket(house, tenant) for _ in range(3)]
    for request in (replied, showed, proved):
        await desk.question(request, Ask(about="identity", text=WORDS), key=key())
    await desk.reply(replied, Replied(text="Det är jag"), key=key())
    sent = {"content": base64.b64encode(png(20, 20)).decode()}
    await desk.call(
        "POST", f"/v1/requests/{showed}/evidence", body=AddEvidence(**sent), tenant=tenant, idempotency_key=key()
    )
    address = f"{uuid4().hex}@epost.example"
    house.operator.person(email=address)
    who = [Identifier(type=IdentifierType.email, value=address)]
    proof = ProveIdentity(identifiers=who, evidence=Evidence(method="call_back"))
    await desk.prove_identity(proved, proof, key=key())
    house.later(days=20)
    await asyncio.sleep(2.5)  # ticks
    assert [(await desk.request(each)).state for each in (replied, showed)] == ["received"] * 2
    assert (await desk.request(proved)).outcome is None


async def test_question_and_answer_are_sealed_and_can_be_read_by_both_sides(house: House, tenant: UUID):
    desk, request = house.helpdesk(tenant), await a_ticket(house, tenant)
    await desk.question(request, Ask(about="clarification", text=WORDS), key=key())
    await desk.reply(request, Replied(text="Bara samtalen från mars"), key=key())
    ours, hers = (await desk.letters(request)).items
    assert WORDS.sv in ours.body and hers.body.strip() == "Bara samtalen från mars"
    stored = await house.rows("SELECT * FROM rights.letter WHERE request = $1", request)
    assert not [row for row in stored if b"mars" in bytes(row["body"]) or b"Anna" in bytes(row["body"])]


async def test_an_extension_needs_a_reason_of_the_book_and_is_given_once(house: House, tenant: UUID):
    desk, request = house.helpdesk(tenant), await a_ticket(house, tenant)
    before = (await desk.request(request)).due_on
    with pytest.raises(ReasonUnknown):
        await desk.extend(request, Extend(reason="holidays", text=WORDS), key=key())
    longer = await desk.extend(request, Extend(reason="complexity", text=WORDS), key=key())
    assert longer.due_on >= before + timedelta(days=57) and longer.clocks[0].extension_reason == "complexity"
    assert longer.due_on.isoformat() in (await desk.letters(request)).items[0].body
    with pytest.raises(CannotExtend):
        await desk.extend(request, Extend(reason="complexity", text=WORDS), key=key())


async def test_an_extension_comes_inside_the_first_period_or_not_at_all(house: House, tenant: UUID):
    desk, request = house.helpdesk(tenant), await a_ticket(house, tenant)
    house.later(days=40)
    with pytest.raises(CannotExtend):
        await desk.extend(request, Extend(reason="complexity", text=WORDS), key=key())


async def test_reminder_escalation_and_overdue_are_events_each_once(house: House, tenant: UUID):
    request = await a_ticket(house, tenant)
    desk = house.helpdesk(tenant)
    due = (await desk.request(request)).due_on
    notices = ("request.reminder", "request.escalation", "request.overdue")
    for left, wanted in zip((7, 2, -1), notices, strict=True):
        await house.until_day(due - timedelta(days=left))
        told = await house.seen(lambda: house.events(request), lambda seen, wanted=wanted: wanted in seen)
    assert [each for each in told if each in notices] == list(notices)


async def test_a_request_that_waits_for_the_person_reminds_nobody(house: House, tenant: UUID):
    desk, request = house.helpdesk(tenant), await a_ticket(house, tenant)
    asked = await desk.question(request, Ask(about="identity", text=WORDS), key=key())
    other = await a_ticket(house, tenant)
    await house.until_day(asked.due_on + timedelta(days=1))
    await house.seen(lambda: house.events(other), lambda seen: "request.overdue" in seen)
    assert not {"request.reminder", "request.overdue"} & set(await house.events(request))


async def test_a_letter_typed_in_after_its_due_day_is_overdue_at_once_and_nothing_less(house: House, tenant: UUID):
    person = house.operator.person()
    letter = OpenRequest(
        kind=Kind.deletion,
        channel=Channel.letter,
        received_at=house.now() - timedelta(days=60),
        principal=person,
        evidence=Evidence(method="known_contact"),
    )
    request = (await house.helpdesk(tenant).open(letter, key=key())).request
    seen = await house.seen(lambda: house.events(request), lambda seen: "request.overdue" in seen)
    assert "request.reminder" not in seen
