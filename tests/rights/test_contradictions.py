"""What contradicts itself in the same moment: one thing happens, wholly, and everybody is told which; and policy books that change while
somebody waits."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.anonymizer.contract import Identifier, IdentifierType, Scope
from services.registry.books import read_book
from services.registry.contract import PolicyBook, Text
from services.requests.rights.contract import (
    Channel,
    Confirm,
    Evidence,
    Extend,
    Kind,
    NotNow,
    OpenRequest,
    PostTicket,
    Propose,
    RecordMandate,
    Refuse,
    Review,
    Verdict,
    VerdictUnfit,
)
from services.requests.rights.office import Office
from tests.rights.conftest import House
from tests.rights.operator import Row

BOOK = read_book(Path(__file__).parents[2] / "policy" / "book.yaml")

WORDS = Text(sv="Så här är det", en="So it is")
SEEN = Evidence(method="id_document")


def key() -> str:
    return str(uuid4())


async def test_who_changes_her_mind_in_the_very_instant_in_which_it_is_too_late_keeps_all_or_loses_all(
    house: House, tenant: UUID
):
    people = [house.operator.person(("billing", Row("customer", "1"))) for _ in range(6)]
    confirmed = await asyncio.gather(*(house.confirmed(house.person(each, tenant)) for each in people))
    last = max(each.executes_at for each in confirmed)
    house.later(seconds=(last - house.now() + timedelta(milliseconds=1)).total_seconds())

    async def regrets(principal: UUID, request: UUID) -> bool:
        await asyncio.sleep(random.uniform(0, 1.5))
        try:
            await house.person(principal, tenant).withdraw(request, key=key())
        except NotNow:
            return False
        return True

    heard = await asyncio.gather(*(regrets(one, each.request) for one, each in zip(people, confirmed, strict=True)))
    for principal, each, in_time in zip(people, confirmed, heard, strict=True):
        ends = "withdrawn" if in_time else "closed"
        await house.until_state(house.person(principal, tenant), each.request, ends)
        assert bool(house.operator.held(principal, "billing")) is in_time
        assert ("request.executing" in await house.events(each.request)) is not in_time


async def test_a_restriction_that_was_asked_for_and_cannot_be_begun_holds_back_a_deletion_whose_hour_comes(
    house: House, tenant: UUID
):
    anna = house.operator.person(("billing", Row("customer", "1")))
    person = house.person(anna, tenant)
    deletion = await house.confirmed(person)
    house.operator.away = True
    try:
        restriction = await person.open(OpenRequest(kind=Kind.restriction, ground="unlawful"), key=key())
        house.later(seconds=(deletion.executes_at - house.now()).total_seconds() + 1)
        await house.until(person, deletion.request, lambda seen: seen.executes_at != deletion.executes_at)
    finally:
        house.operator.away = False
    await house.until_state(person, restriction.request, "answered")
    assert (await person.request(deletion.request)).state == "cooling_off" and house.operator.held(anna, "billing")


async def test_what_she_asked_to_have_is_collected_before_it_is_erased(house: House, tenant: UUID):
    anna = house.operator.person(("billing", Row("customer", "1", "Anna Testlind")))
    person = house.person(anna, tenant)
    deletion = await house.confirmed(person)
    house.operator.down.add("billing")
    try:
        access = await person.open(OpenRequest(kind=Kind.access, passphrase="en hemlig mening"), key=key())
        house.later(seconds=(deletion.executes_at - house.now()).total_seconds() + 1)
        waits = await house.until(person, deletion.request, lambda seen: seen.executes_at != deletion.executes_at)
    finally:
        house.operator.down.discard("billing")
    assert waits.state == "cooling_off"
    await house.until_state(person, access.request, "answered")
    house.later(days=1)
    await house.until_state(person, deletion.request, "closed")
    assert {each.store: each.counts for each in (await person.answer(access.request)).found}["billing"] == {
        "customer": 1
    }
    assert not house.operator.held(anna, "billing")


async def test_a_store_that_stays_away_holds_back_no_deletion_beyond_its_own_last_day(house: House, tenant: UUID):
    anna = house.operator.person(("billing", Row("customer", "1")), ("helpdesk", Row("ticket", "1")))
    person = house.person(anna, tenant)
    deletion = await house.confirmed(person)
    house.operator.down.add("billing")
    try:
        access = await person.open(OpenRequest(kind=Kind.access, passphrase="en hemlig mening"), key=key())
        await house.helpdesk(tenant).extend(access.request, Extend(reason="complexity", text=WORDS), key=key())
        await house.until_day(deletion.due_on)
        await house.until_state(person, deletion.request, "executing")
    finally:
        house.operator.down.discard("billing")
    await house.until_state(person, deletion.request, "closed")


async def test_a_restriction_of_which_it_is_not_decided_yet_whether_it_is_refused_holds_back_a_deletion(
    house: House, tenant: UUID
):
    anna = house.operator.person(("billing", Row("customer", "1")))
    person = house.person(anna, tenant)
    deletion = await house.confirmed(person)
    house.operator.away = True
    try:
        restriction = await person.open(OpenRequest(kind=Kind.restriction, ground="unlawful"), key=key())
        refusal = Refuse(reason="manifestly_unfounded", text=Text(sv="Grundlös", en="Unfounded"))
        assert (await house.officer(tenant).refuse(restriction.request, refusal, key=key())).state == "deciding"
    finally:
        house.operator.away = False
    house.later(seconds=(deletion.executes_at - house.now()).total_seconds() + 1)
    await house.until(person, deletion.request, lambda seen: seen.executes_at != deletion.executes_at)
    assert (await person.request(deletion.request)).state == "cooling_off" and house.operator.held(anna, "billing")


async def test_one_recording_does_not_go_at_once_beside_a_restriction_that_was_asked_for(house: House, tenant: UUID):
    anna = house.operator.person(("recordings", Row("recording", "4711")))
    person = house.person(anna, tenant)
    house.operator.away = True
    try:
        restriction = await person.open(OpenRequest(kind=Kind.restriction, ground="legal_claims"), key=key())
        refusal = Refuse(reason="manifestly_unfounded", text=Text(sv="Grundlös", en="Unfounded"))
        await house.officer(tenant).refuse(restriction.request, refusal, key=key())
    finally:
        house.operator.away = False
    asked = await person.open(OpenRequest(kind=Kind.deletion, scope=Scope(recording="4711")), key=key())
    await house.until_state(person, asked.request, "answered", "closed")
    assert (await person.answer(asked.request)).refusal.reason == "restricted"
    assert house.operator.held(anna, "recordings")


async def test_the_same_wish_in_the_same_moment_in_the_portal_on_the_telephone_and_by_ticket_is_carried_out_once(
    house: House, tenant: UUID
):
    address = f"{uuid4().hex}@epost.example"
    principal = house.operator.person(("billing", Row("customer", "1")), email=address)
    named, anna = [Identifier(type=IdentifierType.email, value=address)], house.person(principal, tenant)
    desk, system = house.helpdesk(tenant), house.ticket_system(tenant)
    typed = OpenRequest(kind=Kind.deletion, channel=Channel.helpdesk, identifiers=named, evidence=SEEN)
    ticket = PostTicket(ticket=uuid4().hex, kind=Kind.deletion, identifiers=named, evidence=SEEN)
    asked = await asyncio.gather(
        anna.open(OpenRequest(kind=Kind.deletion), key=key()),
        desk.open(typed, key=key()),
        system.post_ticket(ticket, key=key()),
        anna.open(OpenRequest(kind=Kind.deletion), key=key()),
    )

    async def states() -> list[str]:
        return sorted([(await desk.request(each.request)).state for each in asked])

    await house.seen(states, lambda seen: seen == ["duplicate"] * 3 + ["previewed"])
    previewed = [r for r in (await anna.requests()).items if r.state == "previewed"]
    assert len(previewed) == 1 and len(house.operator.held(principal, "billing")) == 1


async def test_a_guardian_who_asks_while_the_child_does_is_dealt_with_once_and_only_who_asked_takes_it_back(
    house: House, tenant: UUID
):
    child, erik = house.operator.person(("billing", Row("customer", "1"))), house.operator.person()
    wish = RecordMandate(
        principal=child,
        agent=erik,
        kinds=[Kind.deletion],
        basis="guardian",
        papers=["population_register"],
        born=house.now().date().replace(day=1) - timedelta(days=9 * 365),
        evidence=SEEN,
    )
    await house.mandate(tenant, wish)
    hers, his = house.person(child, tenant), house.person(erik, tenant)
    asked = await asyncio.gather(
        hers.open(OpenRequest(kind=Kind.deletion), key=key()),
        his.open(OpenRequest(kind=Kind.deletion, principal=child), key=key()),
    )

    async def states() -> list[str]:
        return sorted([(await hers.request(each.request)).state for each in asked])

    await house.seen(states, lambda seen: seen == ["duplicate", "previewed"])
    [lives] = [each.request for each in asked if (await hers.request(each.request)).state == "previewed"]
    preview = await hers.preview(lives)

    async def both(one: int) -> object:
        return await (
            hers.confirm(lives, Confirm(preview=preview.digest), key=key()) if one else hers.withdraw(lives, key=key())
        )

    await asyncio.gather(both(0), both(1), return_exceptions=True)
    assert (await hers.request(lives)).state == "withdrawn", "whichever came first, her no counts"
    assert house.operator.held(child, "billing")


async def test_what_a_person_restricts_herself_stands_when_who_acts_for_her_takes_back_the_same(
    house: House, tenant: UUID
):
    anna, erik = house.operator.person(("billing", Row("customer", "1"))), house.operator.person()
    await house.mandate(tenant, RecordMandate(principal=anna, agent=erik, kinds=[Kind.restriction], evidence=SEEN))
    hers, his = house.person(anna, tenant), house.person(erik, tenant)
    first = await his.open(OpenRequest(kind=Kind.restriction, ground="unlawful", principal=anna), key=key())
    await house.until_state(his, first.request, "answered")
    asked = await hers.open(OpenRequest(kind=Kind.restriction, ground="unlawful"), key=key())
    await house.until_state(hers, asked.request, "answered", "duplicate")
    await his.withdraw(first.request, key=key())
    await house.until_state(his, first.request, "closed")
    assert (await hers.request(asked.request)).state == "answered"
    assert (anna, "billing") in house.operator.frozen


async def test_what_is_to_be_corrected_while_it_is_erased_is_answered_and_brings_nothing_back(
    house: House, tenant: UUID
):
    anna = house.operator.person(("billing", Row("customer", "1", "Anna Testlnd")))
    person, officer = house.person(anna, tenant), house.officer(tenant)
    deletion = await house.confirmed(person)
    wrong = {"element": "name", "old": "Anna Testlnd", "new": "Anna Testlind"}
    wish = OpenRequest.model_validate({"kind": "correction", "changes": [wrong]}, strict=False)
    correction = await person.open(wish, key=key())
    await house.until_state(person, correction.request, "deciding")
    [task] = [one for one in (await officer.tasks(state="open")).items if one.request == correction.request]
    house.later(seconds=(deletion.executes_at - house.now()).total_seconds() + 1)
    text = Text(sv="Pass", en="Passport")
    granted = await officer.propose(task.task, Propose(verdict=Verdict.granted, text=text), key=key())
    if granted.state == "proposed":
        other = house.officer(tenant, "petronella")
        await other.review(task.task, Review(proposal=granted.digest, agreed=True), key=key())
    await house.until_state(person, correction.request, "closed", "answered")
    await house.until_state(person, deletion.request, "closed")
    assert house.operator.held(anna, "billing") == []


# --- a policy book that changes while somebody waits --------------------------------------------------------------------


def with_purposes(monkeypatch: pytest.MonkeyPatch, changed: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """The book in force from now on."""
    written = BOOK.model_dump(mode="json")
    written["purposes"] = [row for each in written["purposes"] if (row := changed(each))]
    book = PolicyBook.model_validate(written, strict=False)
    monkeypatch.setattr(Office, "book", property(lambda _: book))


def without_development(purpose: dict[str, Any]) -> dict[str, Any] | None:
    return None if purpose["key"] == "development" else purpose


def objection_is(right: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda purpose: purpose | ({"objection": right} if purpose["key"] == "development" else {})


async def objected(house: House, tenant: UUID, principal: UUID) -> UUID:
    wish = OpenRequest(kind=Kind.objection, purpose="development")
    return (await house.person(principal, tenant).open(wish, key=key())).request


async def test_an_objection_to_what_is_done_no_more_when_it_is_looked_at_is_answered(
    house: House, tenant: UUID, monkeypatch: pytest.MonkeyPatch
):
    anna = house.operator.person()
    house.operator.away = True
    try:
        asked = await objected(house, tenant, anna)
        with_purposes(monkeypatch, without_development)
    finally:
        house.operator.away = False
    await house.until_state(house.person(anna, tenant), asked, "answered")
    assert (await house.person(anna, tenant).answer(asked)).refusal.reason == "no_right_to_object"


async def test_an_objection_of_which_consent_says_that_nobody_can_object_is_answered_so(house: House, tenant: UUID):
    anna = house.operator.person()
    house.operator.objections["development"] = "none"
    try:
        asked = await objected(house, tenant, anna)
        await house.until_state(house.person(anna, tenant), asked, "answered")
    finally:
        house.operator.objections.clear()
    assert (await house.person(anna, tenant).answer(asked)).refusal.reason == "no_right_to_object"
    assert house.operator.said_of(anna) == []


async def test_nobody_overrules_an_objection_that_became_absolute_while_it_was_weighed(
    house: House, tenant: UUID, monkeypatch: pytest.MonkeyPatch
):
    anna, first, second = house.operator.person(), house.officer(tenant), house.officer(tenant, "petronella")
    asked = await objected(house, tenant, anna)
    await house.until_state(house.person(anna, tenant), asked, "deciding")
    [task] = (await first.tasks()).items
    said = await first.propose(task.task, Propose(verdict=Verdict.overruled, text=WORDS), key=key())
    with_purposes(monkeypatch, objection_is("absolute"))
    with pytest.raises(VerdictUnfit):
        await second.review(task.task, Review(proposal=said.digest, agreed=True), key=key())
    await second.review(task.task, Review(proposal=said.digest, agreed=False), key=key())
    [task] = (await first.tasks(state="open")).items
    with pytest.raises(VerdictUnfit) as unfit:
        await first.propose(task.task, Propose(verdict=Verdict.overruled, text=WORDS), key=key())
    assert unfit.value.extra["verdicts"] == ["granted"]
    said = await first.propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    await second.review(task.task, Review(proposal=said.digest, agreed=True), key=key())
    assert (await house.person(anna, tenant).request(asked)).state == "answered"
    assert [each["state"] for each in house.operator.said_of(anna)] == ["raised"]


async def test_an_objection_that_became_absolute_between_the_decision_and_its_effect_stands(house: House, tenant: UUID):
    """Consent knows the new book first."""
    anna, first, second = house.operator.person(), house.officer(tenant), house.officer(tenant, "petronella")
    asked = await objected(house, tenant, anna)
    await house.until_state(house.person(anna, tenant), asked, "deciding")
    [task] = (await first.tasks()).items
    house.operator.objections["development"] = "absolute"
    try:
        said = await first.propose(task.task, Propose(verdict=Verdict.overruled, text=WORDS), key=key())
        await second.review(task.task, Review(proposal=said.digest, agreed=True), key=key())
        await house.until_state(house.person(anna, tenant), asked, "deciding")
    finally:
        house.operator.objections.clear()
    [task] = (await first.tasks(state="open")).items
    assert task.matter == "weigh"


async def test_what_was_corrected_and_is_in_the_book_no_more_is_answered_all_the_same(
    house: House, tenant: UUID, monkeypatch: pytest.MonkeyPatch
):
    anna, officer = house.operator.person(("billing", Row("customer", "1", "Anna Testlnd"))), house.officer(tenant)
    wrong = {"element": "agent_name", "old": "Anna Testlnd", "new": "Anna Testlind"}
    wish = OpenRequest.model_validate({"kind": "correction", "changes": [wrong]}, strict=False)
    asked = (await house.person(anna, tenant).open(wish, key=key())).request
    await house.until_state(house.person(anna, tenant), asked, "deciding")
    written = BOOK.model_dump(mode="json")
    for category in written["categories"]:
        category["elements"] = [row for row in category["elements"] if row["key"] != "agent_name"]
    book = PolicyBook.model_validate(written, strict=False)
    monkeypatch.setattr(Office, "book", property(lambda _: book))
    [task] = (await officer.tasks()).items
    await officer.propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    await house.until_state(house.person(anna, tenant), asked, "answered")
    assert [row.text for row in house.operator.held(anna, "billing")] == ["Anna Testlind"]


async def test_what_was_erased_and_is_in_the_book_no_more_is_answered_and_can_be_read(house: House, tenant: UUID):
    anna = house.operator.person(("billing", Row("customer", "1", category="in_an_earlier_book")))
    person = house.person(anna, tenant)
    asked = await house.confirmed(person)
    house.later(hours=73)
    await house.until_state(person, asked.request, "closed")
    headers = {"authorization": f"Bearer {await person.tokens.token('rights')}"}
    page = await house.http.get(f"{house.url}/v1/requests/{asked.request}/answer/page", headers=headers)
    assert (page.status_code, "in_an_earlier_book" in page.text) == (200, True)
