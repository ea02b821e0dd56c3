"""Where a customer organisation is controller of some stores, it decides about them: two requests, two clocks, two answers."""

from uuid import UUID, uuid4

import pytest

from services.anonymizer.contract import Identifier, IdentifierType, Scope
from services.registry.contract import Text
from services.requests.rights.client import RightsClient
from services.requests.rights.contract import (
    Channel,
    Correction,
    Evidence,
    Kind,
    NameController,
    NotYours,
    OpenRequest,
    Propose,
    Request,
    RequestUnknown,
    Verdict,
)
from tests.rights.conftest import House
from tests.rights.operator import Row

BANK = NameController(name="Kustbanken AB", contact="dataskydd@kustbanken.example")
WORDS = Text(sv="Inspelningarna omfattas av vår tystnadsplikt.", en="The recordings fall under our duty of secrecy.")
PASSPHRASE = "en hemlig mening"


def key() -> str:
    return str(uuid4())


async def an_agent_asks(house: House, tenant: UUID, kind: Kind = Kind.access, **more) -> tuple[Request, Request]:
    """The operator's part and the organisation's."""
    await house.contact(tenant).name_controller(BANK, key=key())
    omar = house.operator.person(("billing", Row("agent", "1")), ("recordings", Row("recording", "r-1")))
    person = house.person(omar, tenant)
    asked = await person.open(OpenRequest(kind=kind, **more), key=key())

    async def parts() -> list[Request]:
        return (await person.requests()).items

    await house.seen(parts, lambda seen: any(each.party == "tenant" for each in seen))
    [theirs] = [each for each in await parts() if each.party == "tenant"]
    await house.until_state(person, theirs.request, "deciding")
    return await person.request(asked.request), await person.request(theirs.request)


async def test_both_clocks_are_visible_and_the_operator_answers_its_own_part(house: House, tenant: UUID):
    ours, theirs = await an_agent_asks(house, tenant, passphrase=PASSPHRASE)
    person = house.person(ours.principal, tenant)
    ours = await house.until_state(person, ours.request, "answered")
    assert {step.store for step in ours.steps} == {"billing", "helpdesk"}
    assert (theirs.part_of, theirs.due_on, theirs.clocks[0].party) == (ours.request, ours.due_on, "tenant")
    assert (await person.answer(ours.request)).controller == "Nordtel AB"


async def test_the_organisation_s_contact_decides_and_the_operator_carries_it_out(house: House, tenant: UUID):
    _, theirs = await an_agent_asks(house, tenant, passphrase=PASSPHRASE)
    assert not theirs.steps, "nothing is collected before it decided"
    contact, person = house.contact(tenant), house.person(theirs.principal, tenant)
    [task] = (await contact.tasks(state="open")).items
    with pytest.raises(NotYours):
        await house.officer(tenant).propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    await contact.propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    seen = await house.until_state(person, theirs.request, "answered")
    assert {step.store for step in seen.steps} == {"recordings"} and seen.package
    assert (await person.answer(theirs.request)).controller == BANK.name


async def test_who_wanted_it_on_paper_gets_the_organisation_s_part_on_paper_too(house: House, tenant: UUID):
    _, theirs = await an_agent_asks(house, tenant, by_post=True)
    contact, person = house.contact(tenant), house.person(theirs.principal, tenant)
    [task] = (await contact.tasks(state="open")).items
    await contact.propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    assert (await house.until_state(person, theirs.request, "printing")).by_post


async def test_what_the_organisation_refuses_is_not_collected_and_the_person_is_told_by_whom(
    house: House, tenant: UUID
):
    _, theirs = await an_agent_asks(house, tenant)
    contact, person = house.contact(tenant), house.person(theirs.principal, tenant)
    [task] = (await contact.tasks(state="open")).items
    refusal = Propose(verdict=Verdict.refused, reason="controller_refused", text=WORDS)
    await contact.propose(task.task, refusal, key=key())
    answer = await person.answer(theirs.request)
    assert (answer.controller, answer.refusal.reason, answer.text) == (BANK.name, "controller_refused", WORDS.sv)
    assert "imy.se" in answer.complaint.sv


@pytest.mark.parametrize("verdict", [Verdict.granted, Verdict.refused])
async def test_the_organisation_is_asked_once_whenever_the_operator_decides_about_its_own_part(
    house: House, tenant: UUID, verdict: Verdict
):
    changes = [Correction(element="name", old="Omar", new="Omar V")]
    ours, theirs = await an_agent_asks(house, tenant, Kind.correction, changes=changes)
    person, officer = house.person(ours.principal, tenant), house.officer(tenant)
    [task] = (await house.contact(tenant).tasks(state="open")).items
    reason = "controller_refused" if verdict is Verdict.refused else None
    said = Propose(verdict=verdict, reason=reason, text=WORDS)
    await house.contact(tenant).propose(task.task, said, key=key())
    await house.until_state(person, theirs.request, "answered")
    [task] = [each for each in (await officer.tasks(state="open")).items if each.request == ours.request]
    await officer.propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    await house.until_state(person, ours.request, "answered")
    assert {each.request for each in (await person.requests()).items} == {ours.request, theirs.request}


async def test_a_recording_that_only_the_organisation_has_is_its_request_alone(house: House, tenant: UUID):
    await house.contact(tenant).name_controller(BANK, key=key())
    omar = house.operator.person(("recordings", Row("recording", "r-1")), ("recordings", Row("recording", "r-2")))
    person = house.person(omar, tenant)
    wish = OpenRequest(kind=Kind.deletion, scope=Scope(recording="r-1"))
    asked = await person.open(wish, key=key())
    seen = await house.until_state(person, asked.request, "deciding")
    assert seen.party == "tenant" and len((await person.requests()).items) == 1
    [task] = (await house.contact(tenant).tasks(state="open")).items
    await house.contact(tenant).propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    await house.until_state(person, asked.request, "closed")
    assert [row.id for row in house.operator.held(omar, "recordings")] == ["r-2"]


async def test_of_a_withdrawn_consent_the_organisation_is_asked_for_what_rested_on_it_and_nothing_else(
    house: House, tenant: UUID
):
    await house.contact(tenant).name_controller(BANK, key=key())
    rows = [("billing", Row("usage_statistics", "u-1")), ("billing", Row("invoice", "i-1"))]
    rows += [("recordings", Row("recorded_call", "r-1")), ("recordings", Row("quality", "q-1"))]
    vera = house.operator.person(*rows)
    person = house.person(vera, tenant)
    house.operator.consent_withdrawn(vera, tenant, ["recorded_call", "usage_statistics"])

    async def parts() -> list[Request]:
        return sorted((await person.requests()).items, key=lambda each: each.party)

    ours, theirs = await house.seen(parts, lambda seen: len(seen) == 2)
    await house.until_state(person, ours.request, "closed")
    await house.until_state(person, theirs.request, "deciding")
    [task] = (await house.contact(tenant).tasks(state="open")).items
    await house.contact(tenant).propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    await house.until_state(person, theirs.request, "closed")
    held = [row.id for store in ("billing", "recordings") for row in house.operator.held(vera, store)]
    assert held == ["i-1", "q-1"]


async def test_without_a_named_contact_the_operator_answers_everything(house: House, tenant: UUID):
    anna = house.operator.person(("recordings", Row("recording", "r-1")))
    person = house.person(anna, tenant)
    asked = await person.open(OpenRequest(kind=Kind.access, passphrase=PASSPHRASE), key=key())
    seen = await house.until_state(person, asked.request, "answered")
    assert "recordings" in {step.store for step in seen.steps}


async def test_the_part_of_one_organisation_is_nobody_else_s_business(house: House, tenant: UUID):
    _, theirs = await an_agent_asks(house, tenant)
    with pytest.raises(RequestUnknown):
        await house.contact(uuid4()).request(theirs.request)


async def two_restrictions(house: House, tenant: UUID) -> tuple[UUID, RightsClient, list[UUID]]:
    """Of one person, both granted by the organisation: whose, she, and the parts."""
    _, first = await an_agent_asks(house, tenant, Kind.restriction, ground="unlawful")
    contact, person = house.contact(tenant), house.person(first.principal, tenant)
    await person.open(OpenRequest(kind=Kind.restriction, ground="legal_claims"), key=key())
    both = await house.seen(lambda: contact.tasks(state="open"), lambda seen: len(seen.items) == 2)
    for task in both.items:
        await contact.propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
        await house.until_state(person, task.request, "answered")
    return first.principal, person, [task.request for task in both.items]


async def test_the_organisation_s_part_of_a_restriction_ends_although_another_one_keeps_it_frozen(
    house: House, tenant: UUID
):
    whose, person, parts = await two_restrictions(house, tenant)
    for part, stays in zip(parts, (True, False), strict=True):
        await person.withdraw(part, key=key())
        await house.until_state(person, part, "closed")
        assert ((whose, "recordings") in house.operator.frozen) is stays


async def test_a_part_that_an_older_house_left_ending_for_ever_ends(house: House, tenant: UUID):
    """It held nothing that another restriction did not hold too, and so nobody had anything left to do."""
    whose, person, (left, stays) = await two_restrictions(house, tenant)
    await house.rows("UPDATE rights.request SET state = 'lifting' WHERE id = $1", left)
    await house.until_state(person, left, "closed")
    assert (await person.request(stays)).state == "answered"
    assert (whose, "recordings") in house.operator.frozen


async def test_one_recording_does_not_go_once_the_organisation_decides_beside_a_restriction_that_was_asked_for_meanwhile(
    house: House, tenant: UUID
):
    await house.contact(tenant).name_controller(BANK, key=key())
    anna, contact = house.operator.person(("recordings", Row("recording", "4711"))), house.contact(tenant)
    person = house.person(anna, tenant)
    asked = await person.open(OpenRequest(kind=Kind.deletion, scope=Scope(recording="4711")), key=key())
    await house.until_state(person, asked.request, "deciding")
    [task] = (await contact.tasks(state="open")).items
    restriction = await person.open(OpenRequest(kind=Kind.restriction, ground="legal_claims"), key=key())
    await house.until_state(person, restriction.request, "answered")
    await contact.propose(task.task, Propose(verdict=Verdict.granted, text=WORDS), key=key())
    await house.until_state(person, asked.request, "answered", "closed")
    assert house.operator.held(anna, "recordings")
    assert (await person.answer(asked.request)).refusal.reason == "restricted"


async def test_who_asked_by_mail_hears_by_mail_what_the_organisation_decided(house: House, tenant: UUID):
    await house.contact(tenant).name_controller(BANK, key=key())
    address, desk, contact = f"{uuid4().hex}@epost.example", house.helpdesk(tenant), house.contact(tenant)
    house.operator.person(("recordings", Row("recording", "r-1")), email=address)
    named = [Identifier(type=IdentifierType.email, value=address)]
    seen = Evidence(method="known_contact")
    wish = OpenRequest(kind=Kind.access, channel=Channel.email, identifiers=named, evidence=seen)
    await desk.open(wish, key=key())
    [task] = (await house.seen(lambda: contact.tasks(state="open"), lambda seen: bool(seen.items))).items
    no = Propose(verdict=Verdict.refused, reason="excessive", text=WORDS)
    await contact.propose(task.task, no, key=key())

    async def told() -> list[str]:
        return house.mailbox.texts(address)

    await house.seen(told, lambda texts: any(WORDS.sv in text for text in texts))
