"""Every right but access and deletion, as the person and the staff who decide see it."""

import asyncio
from asyncio import gather
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from chassis.errors import Problem
from services.anonymizer.contract import Correction, Identifier, IdentifierType
from services.registry.contract import Text
from services.requests.rights import jobs
from services.requests.rights.client import RightsClient
from services.requests.rights.commands.doing import Claim
from services.requests.rights.contract import (
    Ask,
    Channel,
    Charge,
    Evidence,
    GroundUnknown,
    Kind,
    NotNow,
    NotYours,
    OpenRequest,
    Paid,
    Propose,
    PurposeUnknown,
    ReasonUnknown,
    Refuse,
    Request,
    Review,
    SamePerson,
    Task,
    TaskMovedOn,
    Verdict,
    VerdictUnfit,
)
from services.requests.rights.queries import shelf_of
from tests.patience import until
from tests.rights.conftest import House
from tests.rights.operator import Row

WORDS = Text(sv="Nätet måste skyddas mot intrång.", en="The network must be protected against intrusion.")


def key() -> str:
    return str(uuid4())


async def opened(client: RightsClient, kind: Kind, **more: Any) -> Request:
    return await client.open(OpenRequest(kind=kind, **more), key=key())


async def task_of(officer: RightsClient, request: UUID) -> Task:
    [task] = [task for task in (await officer.tasks()).items if task.request == request and task.state != "void"]
    return task


async def decided(house: House, tenant: UUID, request: UUID, verdict: Verdict, reason: str | None = None) -> Task:
    """By two officers, or by one where one is enough."""
    first, second = house.officer(tenant), house.officer(tenant, "petronella")
    task = await task_of(first, request)
    said = await first.propose(task.task, Propose(verdict=verdict, reason=reason, text=WORDS), key=key())
    if task.eyes == 1:
        return said
    return await second.review(task.task, Review(proposal=said.digest, agreed=True), key=key())


async def decided_by_another(house: House, tenant: UUID, request: UUID) -> Task:
    second = house.officer(tenant, "petronella")
    task = await task_of(second, request)
    return await second.review(task.task, Review(proposal=task.digest, agreed=True), key=key())


@pytest.fixture
def anna(house: House) -> UUID:
    return house.operator.person(("billing", Row("customer", "1", "Anna Testlind")))


def counted_from(request: Request) -> date:
    """The day it came, where the operator is: in the evening that is another one than in UTC."""
    return request.received_at.astimezone(ZoneInfo("Europe/Stockholm")).date()


# --- withdrawal, objection --------------------------------------------------------------------------------------------


async def test_a_withdrawal_is_handed_to_consent_and_answered_at_once(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.withdrawal, purpose="development")
    seen = await house.until_state(person, asked.request, "closed")
    assert (seen.outcome, seen.due_on) == (Verdict.granted, counted_from(seen))
    assert house.operator.said_of(anna)[0]["purpose"] == "development"


async def test_what_does_not_rest_on_consent_is_refused_with_its_reason_and_how_to_complain(
    house: House, tenant: UUID, anna: UUID
):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.withdrawal, purpose="maintaining_service")
    await house.until_state(person, asked.request, "answered")
    answer = await person.answer(asked.request)
    assert (answer.outcome, answer.refusal.reason) == (Verdict.refused, "not_on_consent")
    assert "imy.se" in answer.complaint.sv and "domstol" in answer.complaint.sv
    [letter] = (await person.letters(asked.request)).items
    assert answer.refusal.label.sv in letter.body and answer.complaint.sv in letter.body
    assert not house.operator.said_of(anna)


async def test_an_objection_stops_processing_while_it_is_weighed_by_two(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.objection, purpose="development", text="Jag vill inte")
    await house.until_state(person, asked.request, "deciding")
    assert [said["state"] for said in house.operator.said_of(anna)] == ["raised"], "before anybody decided"
    await decided(house, tenant, asked.request, Verdict.overruled)
    await house.until_state(person, asked.request, "answered")
    assert [said["state"] for said in house.operator.said_of(anna)] == ["raised", "overruled"]
    answer = await person.answer(asked.request)
    assert (answer.outcome, answer.text) == (Verdict.overruled, WORDS.sv), "our compelling grounds, in writing"
    assert WORDS.sv in (await person.letters(asked.request)).items[-1].body


async def test_an_objection_that_is_granted_stands(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.objection, purpose="communication")
    await house.until_state(person, asked.request, "deciding")
    await decided(house, tenant, asked.request, Verdict.granted)
    assert (await person.answer(asked.request)).outcome is Verdict.granted
    assert [said["state"] for said in house.operator.said_of(anna)] == ["raised"]


async def test_an_objection_that_is_withdrawn_is_lifted(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.objection, purpose="communication")
    await house.until_state(person, asked.request, "deciding")
    await person.withdraw(asked.request, key=key())
    await house.until_state(person, asked.request, "withdrawn")
    assert [said["state"] for said in house.operator.said_of(anna)] == ["raised", "lifted"]
    assert not (await house.officer(tenant).tasks(state="open")).items


async def test_who_objects_once_more_while_her_objection_is_being_lifted_has_objected(
    house: House, tenant: UUID, anna: UUID
):
    person = house.person(anna, tenant)
    first = await opened(person, Kind.objection, purpose="communication")
    await house.until_state(person, first.request, "deciding")
    house.operator.consent_down = True
    try:
        await person.withdraw(first.request, key=key())
        asked = await opened(person, Kind.objection, purpose="communication")
        await house.until_state(person, asked.request, "executing", "duplicate")
    finally:
        house.operator.consent_down = False
    await house.until_state(person, first.request, "withdrawn")
    await house.until_state(person, asked.request, "deciding")
    raised = [said["case"] for said in house.operator.said_of(anna) if said["state"] == "raised"]
    assert raised == [str(first.request), str(asked.request)]


async def test_a_consent_service_that_came_back_from_a_backup_is_told_again_what_stands_as_of_when_it_was_said(
    house: House, tenant: UUID, anna: UUID
):
    """Of each request the last word; a withdrawal that it knows still is not made twice."""
    person, bert = house.person(anna, tenant), house.operator.person()
    asked = await opened(person, Kind.objection, purpose="communication")
    await house.until_state(person, asked.request, "deciding")
    await decided(house, tenant, asked.request, Verdict.overruled)
    await house.until_state(person, asked.request, "answered")
    for who in (anna, bert):
        withdrawn = await opened(house.person(who, tenant), Kind.withdrawal, purpose="development")
        await house.until_state(house.person(who, tenant), withdrawn.request, "closed")
    before = house.operator.said_of(anna)
    house.operator.stood = [each for each in house.operator.stood if each[1] != bert]
    house.operator.consent_told("guardian.ended", anna, tenant, {"guardian": str(bert), "why": "revoked"})
    house.operator.restored = True
    left = "SELECT FROM rights.pgqueuer WHERE entrypoint = 'rights.stand_again'"
    told = "SELECT store, verb, done_at FROM rights.request_step WHERE request = $1 AND verb = 'overrule'"
    [step] = await house.rows(told, asked.request)
    again = before[1] | {"occurred_at": step["done_at"].isoformat().replace("+00:00", "Z")}
    await house.seen(lambda: asyncio.sleep(0, house.operator.said_of(anna)), lambda said: len(said) > len(before))
    await house.seen(lambda: house.rows(left), lambda jobs: jobs == [])
    assert house.operator.said_of(anna) == [*before, again]
    [lost] = house.operator.said_of(bert)
    assert lost["purpose"] == "development" and "occurred_at" in lost


async def weighed(house: House, tenant: UUID, anna: UUID) -> UUID:
    """Processing stands still, and somebody is to weigh."""
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.objection, purpose="communication")
    await house.until_state(person, asked.request, "deciding")
    return asked.request


def stood(house: House, anna: UUID) -> list[str]:
    return [said["state"] for said in house.operator.said_of(anna)]


async def matters(house: House, tenant: UUID) -> list[str]:
    """What waits for somebody's proposal."""
    return [task.matter for task in (await house.officer(tenant).tasks(state="open")).items]


async def test_an_objection_whose_refusal_was_not_agreed_to_is_weighed(house: House, tenant: UUID, anna: UUID):
    request, person = await weighed(house, tenant, anna), house.person(anna, tenant)
    await house.officer(tenant).refuse(request, Refuse(reason="manifestly_unfounded", text=WORDS), key=key())
    task = await task_of(house.officer(tenant), request)
    review = Review(proposal=task.digest, agreed=False)
    await house.officer(tenant, "petronella").review(task.task, review, key=key())
    await house.seen(lambda: matters(house, tenant), lambda seen: seen == ["weigh"])
    assert (await person.request(request)).state == "deciding"
    await decided(house, tenant, request, Verdict.granted)
    assert (await person.answer(request)).outcome is Verdict.granted and stood(house, anna) == ["raised"]


async def test_processing_goes_on_once_an_objection_is_refused(house: House, tenant: UUID, anna: UUID):
    request = await weighed(house, tenant, anna)
    await house.officer(tenant).refuse(request, Refuse(reason="manifestly_unfounded", text=WORDS), key=key())
    task = await task_of(house.officer(tenant), request)
    review = Review(proposal=task.digest, agreed=True)
    await house.officer(tenant, "petronella").review(task.task, review, key=key())
    person = house.person(anna, tenant)
    await house.until_state(person, request, "answered")
    assert (await person.answer(request)).refusal.reason == "manifestly_unfounded"
    assert stood(house, anna) == ["raised", "lifted"]


@pytest.mark.parametrize("how", ["unpaid", "withdrawn", "paid"])
async def test_an_objection_that_costs_stands_still_no_longer_than_it_is_awaited(
    house: House, tenant: UUID, anna: UUID, how: str
):
    request, person = await weighed(house, tenant, anna), house.person(anna, tenant)
    fee = Charge(reason="excessive", fee_ore=100, text=WORDS)
    await house.officer(tenant).charge(request, fee, key=key())
    task = await task_of(house.officer(tenant), request)
    review = Review(proposal=task.digest, agreed=True)
    await house.officer(tenant, "petronella").review(task.task, review, key=key())
    if how == "paid":
        officer = house.officer(tenant)
        await officer.paid(request, Paid(reference="OCR 1"), key=key())
        await house.seen(lambda: matters(house, tenant), lambda seen: seen == ["weigh"])
        assert stood(house, anna) == ["raised"]
    elif how == "withdrawn":
        await person.withdraw(request, key=key())
        await house.until_state(person, request, "withdrawn")
        assert stood(house, anna) == ["raised", "lifted"]
    else:
        house.later(days=31)
        await house.until_state(person, request, "answered")
        assert (await person.answer(request)).refusal.reason == "fee_unpaid"
        assert stood(house, anna) == ["raised", "lifted"]


async def test_nobody_can_object_to_what_contract_or_law_needs(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.objection, purpose="legal_compliance")
    await house.until_state(person, asked.request, "answered")
    assert (await person.answer(asked.request)).refusal.reason == "no_right_to_object"


async def test_consent_that_is_away_is_waited_for_and_seen_in_the_step(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    house.operator.consent_down = True
    try:
        asked = await opened(person, Kind.withdrawal, purpose="development")
        seen = await house.until(person, asked.request, lambda it: any(step.problem for step in it.steps))
        assert (seen.state, seen.steps[0].store, seen.steps[0].problem) == (
            "executing",
            "standing",
            "request.unavailable",
        )
    finally:
        house.operator.consent_down = False
    await house.until_state(person, asked.request, "closed")


# --- restriction ------------------------------------------------------------------------------------------------------


async def restricted(house: House, tenant: UUID, anna: UUID, ground: str = "correctness_disputed") -> Request:
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.restriction, ground=ground, text="Adressen är fel")
    return await house.until_state(person, asked.request, "answered")


async def test_a_restriction_holds_at_once_in_consent_and_in_the_stores(house: House, tenant: UUID, anna: UUID):
    seen = await restricted(house, tenant, anna)
    assert (anna, "billing") in house.operator.frozen
    [said] = house.operator.said_of(anna)
    assert (said["state"], said["ground"]) == ("set", "accuracy")
    clocks = {clock.clock: clock for clock in seen.clocks}
    assert clocks["answer"].due_on == counted_from(seen), "at once"
    assert clocks["investigation"].running and clocks["investigation"].due_on > counted_from(seen)


async def test_day_ten_without_a_result_changes_nothing_and_escalates(house: House, tenant: UUID, anna: UUID):
    seen = await restricted(house, tenant, anna)
    due = next(clock.due_on for clock in seen.clocks if clock.clock == "investigation")
    await house.until_day(due + timedelta(days=1))
    await house.seen(lambda: house.events(seen.request), lambda told: "request.overdue" in told)
    assert (anna, "billing") in house.operator.frozen
    assert (await house.person(anna, tenant).request(seen.request)).state == "answered"


async def test_a_restriction_is_lifted_only_after_the_person_was_told(house: House, tenant: UUID, anna: UUID):
    seen = await restricted(house, tenant, anna)
    person = house.person(anna, tenant)
    await decided(house, tenant, seen.request, Verdict.lifted)
    told = await person.request(seen.request)
    assert told.state == "answered" and told.executes_at > house.now() + timedelta(days=2)
    assert (await person.letters(seen.request)).items[-1].template == "restriction_ends"
    assert (anna, "billing") in house.operator.frozen
    recipients = {(each["recipient"], each["done"]) for each in await house.told(seen.request)}
    house.later(days=5)
    await house.until_state(person, seen.request, "closed")
    assert (anna, "billing") not in house.operator.frozen
    named = {each.recipient for each in (await person.answer(seen.request)).recipients}
    assert named >= {"microsoft", "zendesk"} and recipients == {(one, "restricted") for one in named}
    lifted = {(each["recipient"], each["done"]) for each in await house.told(seen.request)} - recipients
    assert lifted == {(one, "unrestricted") for one in named}
    assert [said["state"] for said in house.operator.said_of(anna)] == ["set", "lifted"]


async def test_a_restriction_that_stays_goes_on_without_its_clock(house: House, tenant: UUID, anna: UUID):
    seen = await restricted(house, tenant, anna)
    await decided(house, tenant, seen.request, Verdict.stays)
    after = await house.person(anna, tenant).request(seen.request)
    assert after.state == "answered" and not any(clock.running for clock in after.clocks)


async def test_a_restriction_that_stayed_is_lifted_once_its_reason_has_ended(house: House, tenant: UUID, anna: UUID):
    seen, one, other = await restricted(house, tenant, anna), house.officer(tenant), house.officer(tenant, "petronella")
    await decided(house, tenant, seen.request, Verdict.stays)
    [task] = (await one.tasks(state="open")).items
    assert task.due_on > counted_from(seen)
    said = await one.propose(task.task, Propose(verdict=Verdict.lifted, text=WORDS), key=key())
    if said.state == "proposed":
        await other.review(task.task, Review(proposal=said.digest, agreed=True), key=key())
    house.later(days=5)
    await house.until_state(house.person(anna, tenant), seen.request, "closed")
    assert (anna, "billing") not in house.operator.frozen


async def test_a_deletion_is_refused_while_a_restriction_holds_and_a_confirmed_one_stands_still(
    house: House, tenant: UUID, anna: UUID
):
    person = house.person(anna, tenant)
    waiting = await house.confirmed(person)
    seen = await restricted(house, tenant, anna, "legal_claims")
    house.later(hours=73)
    refused = await opened(person, Kind.deletion)
    await house.until_state(person, refused.request, "duplicate", "answered")
    still = await person.request(waiting.request)
    assert still.state == "cooling_off" and house.operator.held(anna, "billing")
    await person.withdraw(seen.request, key=key())
    await house.until_state(person, seen.request, "closed")
    house.later(days=2)
    await house.until_state(person, waiting.request, "closed")
    assert not house.operator.held(anna, "billing")


async def test_a_deletion_asked_for_under_a_restriction_says_why_not(house: House, tenant: UUID, anna: UUID):
    await restricted(house, tenant, anna, "legal_claims")
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.deletion)
    await house.until_state(person, asked.request, "answered")
    assert (await person.answer(asked.request)).refusal.reason == "restricted"
    assert house.operator.held(anna, "billing")


async def test_of_two_restrictions_the_stores_stay_frozen_until_both_have_ended(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    first, second = [await restricted(house, tenant, anna, ground) for ground in ("unlawful", "legal_claims")]
    await person.withdraw(first.request, key=key())
    await house.until_state(person, first.request, "closed")
    assert (anna, "billing") in house.operator.frozen
    await person.withdraw(second.request, key=key())
    await house.until_state(person, second.request, "closed")
    assert (anna, "billing") not in house.operator.frozen


async def test_a_restriction_that_comes_while_another_one_is_being_lifted_holds(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    first = await restricted(house, tenant, anna, "unlawful")
    house.operator.down.add("billing")
    try:
        await person.withdraw(first.request, key=key())
        asked = await opened(person, Kind.restriction, ground="legal_claims")
        await house.until(person, asked.request, lambda seen: any(step.verb == "freeze" for step in seen.steps))
    finally:
        house.operator.down.discard("billing")
    await house.until_state(person, first.request, "closed")
    await house.until_state(person, asked.request, "answered")

    async def done() -> bool:
        seen = await person.request(asked.request)
        return all(step.state == "done" for step in seen.steps) and (anna, "billing") in house.operator.frozen

    await house.seen(done, bool)


async def test_who_asks_once_more_for_a_restriction_that_is_about_to_end_has_another_one(
    house: House, tenant: UUID, anna: UUID
):
    person = house.person(anna, tenant)
    first = await restricted(house, tenant, anna, "legal_claims")
    await decided(house, tenant, first.request, Verdict.lifted)
    asked = await opened(person, Kind.restriction, ground="legal_claims", text="Jag har stämt er nu")
    await house.until_state(person, asked.request, "answered", "duplicate")
    house.later(days=5)
    await house.until_state(person, first.request, "closed")
    assert (anna, "billing") in house.operator.frozen
    assert (await person.request(asked.request)).state == "answered"


async def test_what_is_frozen_once_more_while_its_restriction_ends_is_freed(
    house: House, tenant: UUID, anna: UUID, monkeypatch: pytest.MonkeyPatch
):
    """A first one freed the store while a second came, for which it is frozen again; and the second ends before that was done."""
    person, done = house.person(anna, tenant), jobs.Work._done
    first = await restricted(house, tenant, anna, "unlawful")
    gates = {"unfreeze": asyncio.Event(), "freeze": asyncio.Event()}
    reached = list[str]()

    async def slow(self: jobs.Work, who: UUID, claim: Claim) -> Any:
        once_more = claim.verb == "freeze" and gates["unfreeze"].is_set()
        if claim.store == "billing" and (once_more or (claim.request, claim.verb) == (first.request, "unfreeze")):
            reached.append(claim.verb)
            await gates[claim.verb].wait()
        return await done(self, who, claim)

    monkeypatch.setattr(jobs.Work, "_done", slow)
    await person.withdraw(first.request, key=key())
    await until(lambda: reached == ["unfreeze"])
    second = await restricted(house, tenant, anna, "legal_claims")
    gates["unfreeze"].set()
    await until(lambda: reached == ["unfreeze", "freeze"])
    await person.withdraw(second.request, key=key())
    freed = ("unfreeze", "billing", "done")
    await house.until(
        person, second.request, lambda seen: freed in [(each.verb, each.store, each.state) for each in seen.steps]
    )
    gates["freeze"].set()
    await house.until_state(person, second.request, "closed")
    assert (anna, "billing") not in house.operator.frozen


async def test_a_restriction_that_was_refused_holds_nothing(house: House, tenant: UUID, anna: UUID):
    person, one, other = house.person(anna, tenant), house.officer(tenant), house.officer(tenant, "petronella")
    house.operator.away = True
    try:
        asked = await opened(person, Kind.restriction, ground="unlawful")
        await one.refuse(asked.request, Refuse(reason="manifestly_unfounded", text=WORDS), key=key())
        task = await task_of(other, asked.request)
        await other.review(task.task, Review(proposal=task.digest, agreed=True), key=key())
    finally:
        house.operator.away = False
    assert (await person.request(asked.request)).state == "answered"
    with pytest.raises(NotNow):
        await person.withdraw(asked.request, key=key())
    again = await restricted(house, tenant, anna, "unlawful")
    await person.withdraw(again.request, key=key())
    await house.until_state(person, again.request, "closed")
    assert (anna, "billing") not in house.operator.frozen
    deletion = await opened(person, Kind.deletion)
    assert (await house.until_state(person, deletion.request, "previewed", "answered")).state == "previewed"


# --- correction, portability ------------------------------------------------------------------------------------------


async def test_a_correction_is_applied_everywhere_once_a_person_has_seen_the_proof(
    house: House, tenant: UUID, anna: UUID
):
    person = house.person(anna, tenant)
    change = Correction(element="name", old="Anna Testlind", new="Anna Provlind")
    asked = await opened(person, Kind.correction, changes=[change], text="Jag har gift mig")
    await house.until_state(person, asked.request, "deciding")
    assert house.operator.held(anna, "billing")[0].text == "Anna Testlind"
    await decided(house, tenant, asked.request, Verdict.granted)
    await house.until_state(person, asked.request, "answered")
    assert house.operator.held(anna, "billing")[0].text == "Anna Provlind"
    assert [(line.store, line.action) for line in (await person.answer(asked.request)).outcomes] == [
        ("billing", "correct")
    ], "what was done is told"
    stored = await house.rows("SELECT * FROM rights.request WHERE id = $1", asked.request)
    assert b"Provlind" not in bytes(stored[0]["changes"])


async def test_data_that_are_correct_stay_and_the_person_is_told_why(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    change = Correction(element="name", old="Anna Testlind", new="Greta Garbo")
    asked = await opened(person, Kind.correction, changes=[change])
    await house.until_state(person, asked.request, "deciding")
    await decided(house, tenant, asked.request, Verdict.refused, "data_are_correct")
    answer = await person.answer(asked.request)
    assert (answer.refusal.reason, answer.text) == ("data_are_correct", WORDS.sv)
    assert house.operator.held(anna, "billing")[0].text == "Anna Testlind"


async def test_portability_collects_what_the_person_gave_on_consent_or_contract(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.portability, passphrase="en hemlig mening")
    await house.until_state(person, asked.request, "answered")
    assert anna in house.operator.portable


# --- claims, reviews, complaints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.damages, Kind.human_review, Kind.complaint])
@pytest.mark.parametrize(("verdict", "reason"), [(Verdict.granted, None), (Verdict.refused, "excessive")])
async def test_what_only_people_can_decide_is_decided_by_people(
    house: House, tenant: UUID, anna: UUID, kind: Kind, verdict: Verdict, reason: str | None
):
    person = house.person(anna, tenant)
    asked = await opened(person, kind, text="Ni har gjort fel")
    await house.until_state(person, asked.request, "deciding")
    task = await decided(house, tenant, asked.request, verdict, reason)
    assert (task.proposed_by == task.decided_by) == (kind is Kind.complaint), "a complaint takes one person"
    answer = await person.answer(asked.request)
    assert (answer.outcome, answer.text) == (verdict, WORDS.sv)


async def test_a_claim_is_acknowledged_in_writing_when_it_comes(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.damages, text="500 kr för samtalen i mars")
    [letter] = (await person.letters(asked.request)).items
    assert (letter.template, letter.direction) == ("claim_received", "out")
    assert asked.due_on.isoformat() in letter.body and str(asked.request) in letter.subject


async def test_a_claim_outlives_other_answers_and_then_goes_too(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    requests = {kind: (await opened(person, kind, text="Fel")).request for kind in (Kind.damages, Kind.complaint)}
    for request in requests.values():
        await house.until_state(person, request, "deciding")
        await decided(house, tenant, request, Verdict.granted)
    house.later(days=130)
    await house.until_state(person, requests[Kind.complaint], "closed")
    assert (await person.request(requests[Kind.damages])).state == "answered"
    assert not (await person.letters(requests[Kind.complaint])).items, "our copies are gone"
    assert (await person.answer(requests[Kind.complaint])).text is None
    assert (await person.answer(requests[Kind.damages])).text == WORDS.sv


COPIES = """
SELECT r.said, r.identifiers, r.evidence, r.changes, r.reason, t.text, l.subject, l.body, k.wrapped AS key, s.wrapped AS shelf
FROM rights.request r
LEFT JOIN rights.request_task t ON t.request = r.id LEFT JOIN rights.letter l ON l.request = r.id
LEFT JOIN rights.subject_key k ON k.subject = r.id LEFT JOIN rights.subject_key s ON s.subject = $2 WHERE r.id = $1"""


async def test_when_a_request_is_over_none_of_its_words_is_left_not_even_sealed(house: House, tenant: UUID):
    """Also nothing of what staff noted, and no key that would open what a backup has."""
    address = f"{uuid4().hex}@epost.example"
    house.operator.person(("billing", Row("customer", "1", "Anna Testlind")), email=address)
    said = {
        "channel": Channel.letter,
        "identifiers": [Identifier(type=IdentifierType.email, value=address)],
        "evidence": Evidence(method="id_document", note="Pass nr 4711"),
        "changes": [Correction(element="name", old="Anna Testlind", new="Anna Provlind")],
    }
    desk = house.helpdesk(tenant)
    asked = await opened(desk, Kind.correction, text="Jag har gift mig", **said)
    await house.until_state(desk, asked.request, "deciding")
    await decided(house, tenant, asked.request, Verdict.granted)
    await house.until_state(desk, asked.request, "answered")
    held = await house.rows(COPIES, asked.request, shelf_of(asked.request))
    assert {name for row in held for name, value in row.items() if value is not None} == {*held[0].keys()}
    house.later(days=130)
    await house.until_state(desk, asked.request, "closed")
    left = await house.rows(COPIES, asked.request, shelf_of(asked.request))
    assert {name for row in left for name, value in row.items() if value is not None} == set()


# --- who decides ------------------------------------------------------------------------------------------------------


async def claimed(house: House, tenant: UUID, anna: UUID) -> tuple[UUID, Task]:
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.damages, text="Ni är skyldiga mig pengar")
    await house.until_state(person, asked.request, "deciding")
    return asked.request, await task_of(house.officer(tenant), asked.request)


async def test_who_proposed_does_not_review_and_another_role_does_neither(house: House, tenant: UUID, anna: UUID):
    _, task = await claimed(house, tenant, anna)
    officer, proposal = house.officer(tenant), Propose(verdict=Verdict.granted, text=WORDS)
    for stranger in (house.helpdesk(tenant), house.contact(tenant)):
        with pytest.raises(NotYours):
            await stranger.propose(task.task, proposal, key=key())
    said = await officer.propose(task.task, proposal, key=key())
    with pytest.raises(SamePerson):
        await officer.review(task.task, Review(proposal=said.digest, agreed=True), key=key())


async def test_what_ends_while_tasks_are_listed_hides_no_other(house: House, tenant: UUID, anna: UUID):
    """Between the row and its key somebody may have withdrawn, and what was proposed is gone."""
    request, task = await claimed(house, tenant, anna)
    await house.officer(tenant).propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    await house.rows("DELETE FROM rights.subject_key WHERE subject = $1", shelf_of(request))
    [seen] = (await house.officer(tenant).tasks()).items
    assert (seen.task, seen.state, seen.text) == (task.task, "proposed", None)


async def test_of_two_who_decide_at_once_one_is_told_that_it_moved_on(house: House, tenant: UUID, anna: UUID):
    request, task = await claimed(house, tenant, anna)
    names = ("pontus", "petronella", "pia", "per")
    verdicts = (Verdict.granted, Verdict.partly, Verdict.granted, Verdict.partly)
    said = await gather(
        *(
            house.officer(tenant, name).propose(task.task, Propose(verdict=verdict, text=WORDS), key=key())
            for name, verdict in zip(names, verdicts, strict=True)
        ),
        return_exceptions=True,
    )
    [proposed] = [each for each in said if isinstance(each, Task)]
    assert sum(isinstance(each, TaskMovedOn) for each in said) == 3
    reviewers = [name for name in names if name != proposed.proposed_by]
    reviewed = await gather(
        *(
            house.officer(tenant, name).review(task.task, Review(proposal=proposed.digest, agreed=True), key=key())
            for name in reviewers
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Task) for each in reviewed) == 1
    assert (await house.events(request)).count("request.answered") == 1


async def test_a_review_is_of_exactly_the_proposal_that_was_read(house: House, tenant: UUID, anna: UUID):
    _, task = await claimed(house, tenant, anna)
    first, second = house.officer(tenant), house.officer(tenant, "petronella")
    old = await first.propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    await second.review(task.task, Review(proposal=old.digest, agreed=False), key=key())
    new = (await task_of(first, task.request)) if task.state == "void" else None
    [again] = [each for each in (await first.tasks(state="open")).items if each.request == task.request]
    assert new is None and again.task != task.task, "what was disagreed with is open again"
    with pytest.raises(TaskMovedOn):
        await second.review(task.task, Review(proposal=old.digest, agreed=True), key=key())


async def test_unfit_verdicts_and_unknown_reasons_are_named(house: House, tenant: UUID, anna: UUID):
    _, task = await claimed(house, tenant, anna)
    officer = house.officer(tenant)
    with pytest.raises(VerdictUnfit):
        await officer.propose(task.task, Propose(verdict=Verdict.lifted, text=WORDS), key=key())
    with pytest.raises(ReasonUnknown):
        await officer.propose(task.task, Propose(verdict=Verdict.refused, reason="no_time", text=WORDS), key=key())


async def test_an_excessive_request_is_refused_by_two_people_with_a_reason(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.access)
    await house.until_state(person, asked.request, "awaiting_passphrase")
    first, second = house.officer(tenant), house.officer(tenant, "petronella")
    await first.refuse(asked.request, Refuse(reason="excessive", text=WORDS), key=key())
    task = await task_of(second, asked.request)
    await second.review(task.task, Review(proposal=task.digest, agreed=True), key=key())
    answer = await person.answer(asked.request)
    assert (answer.refusal.reason, answer.text) == ("excessive", WORDS.sv)
    assert not list(house.settings.packages.glob(f"{asked.request}/*"))


async def test_a_refusal_that_the_second_person_rejects_lets_the_request_go_on(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await opened(person, Kind.access, passphrase="en hemlig mening")
    await house.until_state(person, asked.request, "answered")
    asked = await opened(person, Kind.deletion)
    await house.until_state(person, asked.request, "previewed")
    first, second = house.officer(tenant), house.officer(tenant, "petronella")
    await first.refuse(asked.request, Refuse(reason="manifestly_unfounded", text=WORDS), key=key())
    task = await task_of(second, asked.request)
    await second.review(task.task, Review(proposal=task.digest, agreed=False), key=key())
    await house.until_state(person, asked.request, "previewed")


# --- bad input --------------------------------------------------------------------------------------------------------


async def test_the_same_wish_twice_is_one_request_and_the_other_says_which(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await gather(*(opened(person, Kind.complaint, text="Fel") for _ in range(5)))
    seen = [await house.until_state(person, each.request, "deciding", "duplicate") for each in asked]
    [kept] = [each for each in seen if each.state == "deciding"]
    assert {each.duplicate_of for each in seen if each is not kept} == {kept.request}


@pytest.mark.parametrize(
    ("kind", "first", "second", "state"),
    [
        (Kind.complaint, {"text": "Fel"}, {"text": "Något annat är också fel"}, "deciding"),
        (Kind.damages, {"text": "500 kr för ett samtal"}, {"text": "500 kr för ett annat"}, "deciding"),
        (
            Kind.correction,
            {"changes": [Correction(element="name", old="Anna", new="Hanna")]},
            {"changes": [Correction(element="address", old="Provgatan 1", new="Provgatan 2")]},
            "deciding",
        ),
        (Kind.restriction, {"ground": "correctness_disputed"}, {"ground": "legal_claims"}, "answered"),
    ],
)
async def test_another_wish_of_the_same_kind_is_no_duplicate(
    house: House, tenant: UUID, anna: UUID, kind: Kind, first: dict[str, Any], second: dict[str, Any], state: str
):
    person = house.person(anna, tenant)
    for wish in (first, second):
        asked = await opened(person, kind, **wish)
        await house.until_state(person, asked.request, state)
    again = await opened(person, kind, **second)
    assert (await house.until_state(person, again.request, "duplicate", state)).duplicate_of == asked.request


async def test_a_request_whose_words_nobody_can_open_any_more_stops_no_other_of_hers(
    house: House, tenant: UUID, anna: UUID
):
    """As it is for a moment while that one ends."""
    person = house.person(anna, tenant)
    first = await opened(person, Kind.damages, text="Ni är skyldiga mig pengar")
    await house.until_state(person, first.request, "deciding")
    await house.rows("DELETE FROM rights.subject_key WHERE subject = $1", first.request)
    second = await opened(person, Kind.damages, text="Ni är skyldiga mig pengar")
    await house.until_state(person, second.request, "deciding")


@pytest.mark.parametrize(
    ("kind", "wrong", "problem"),
    [
        (Kind.withdrawal, {"purpose": "world_peace"}, PurposeUnknown),
        (Kind.restriction, {"ground": "i_do_not_like_it"}, GroundUnknown),
    ],
)
async def test_what_the_book_does_not_have_is_refused(
    house: House, tenant: UUID, anna: UUID, kind: Kind, wrong: dict[str, str], problem: type[Problem]
):
    with pytest.raises(problem):
        await opened(house.person(anna, tenant), kind, **wrong)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Kind.withdrawal, {}),
        (Kind.damages, {}),
        (Kind.access, {"purpose": "development"}),
        (Kind.access, {"changes": [Correction(element="name", old="a", new="b")]}),
        (Kind.complaint, {"text": "Fel", "passphrase": "en hemlig mening"}),
    ],
)
def test_what_does_not_fit_the_right_is_no_wish(kind: Kind, wrong: dict[str, Any]):
    with pytest.raises(ValueError):
        OpenRequest(kind=kind, **wrong)


async def test_a_withdrawal_in_mid_execution_is_too_late_and_says_so(house: House, tenant: UUID, anna: UUID):
    person = house.person(anna, tenant)
    asked = await house.confirmed(person)
    house.operator.down.add("billing")
    try:
        house.later(hours=73)
        await house.until_state(person, asked.request, "executing")
        with pytest.raises(NotNow):
            await person.withdraw(asked.request, key=key())
    finally:
        house.operator.down.discard("billing")
    await house.until_state(person, asked.request, "closed")


async def test_the_month_s_report_counts_what_was_asked_answered_refused_and_is_overdue(
    house: House, tenant: UUID, anna: UUID
):
    person = house.person(anna, tenant)
    house.later(days=40 - house.now().day)  # early in a month
    done = await opened(person, Kind.withdrawal, purpose="development")
    await house.until_state(person, done.request, "closed")
    refused = await opened(person, Kind.withdrawal, purpose="maintaining_service")
    await house.until_state(person, refused.request, "answered")
    late = await opened(person, Kind.complaint, text="Fel")
    await house.until_state(person, late.request, "deciding")
    month = f"{house.now():%Y-%m}"
    kinds = {each.kind: each for each in (await house.officer(tenant).report(month)).kinds}
    assert (kinds[Kind.withdrawal].received, kinds[Kind.withdrawal].answered) == (2, 2)
    assert kinds[Kind.withdrawal].refused == {"not_on_consent": 1} and kinds[Kind.withdrawal].median_days == 0
    assert (kinds[Kind.complaint].received, kinds[Kind.complaint].overdue) == (1, 0)
    house.later(days=50)
    [overdue] = (await house.officer(tenant).report(f"{house.now():%Y-%m}")).kinds
    assert (overdue.kind, overdue.received, overdue.overdue) == (Kind.complaint, 0, 1)
    assert not (await house.officer(uuid4()).report(month)).kinds, "another organisation's month is its own"


async def test_the_month_s_report_is_silent_of_what_a_withdrawal_set_off_and_of_months_to_come(
    house: House, tenant: UUID, anna: UUID
):
    told = house.operator.consent_withdrawn(anna, tenant, ["recorded_call"], vouched={"by": "hilda"})
    request, officer = UUID(told["data"]["record"]), house.officer(tenant)

    async def known() -> bool:
        return request in {each.request for each in (await officer.requests()).items}

    await house.seen(known, bool)
    await house.until_state(officer, request, "previewed")
    await officer.refuse(request, Refuse(reason="excessive", text=WORDS), key=key())
    await decided_by_another(house, tenant, request)
    assert (await officer.request(request)).outcome is Verdict.refused
    assert (await officer.report(f"{house.now():%Y-%m}")).kinds == []
    late = await opened(house.person(anna, tenant), Kind.complaint, text="Fel")
    await house.until_state(officer, late.request, "deciding")
    house.later(days=80)
    [complaint] = (await officer.report(f"{house.now():%Y-%m}")).kinds
    assert (complaint.kind, complaint.overdue) == (Kind.complaint, 1)
    assert (await officer.report(f"{house.now() + timedelta(days=40):%Y-%m}")).kinds == []


async def test_who_is_waited_for_is_not_overdue_in_the_month_s_report(house: House, tenant: UUID, anna: UUID):
    person, desk = house.person(anna, tenant), house.helpdesk(tenant)
    waiting = await opened(person, Kind.deletion)
    await house.until_state(person, waiting.request, "previewed")
    await desk.question(waiting.request, Ask(about="clarification", text=WORDS), key=key())
    house.later(days=50)
    [kind] = (await house.officer(tenant).report(f"{house.now():%Y-%m}")).kinds or [None]
    assert kind is None or kind.overdue == 0
