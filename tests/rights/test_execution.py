"""What follows: work by hand, recipients told, what rested on a consent, and forgetting who somebody was."""

from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest

from services.anonymizer.contract import Correction
from services.registry.contract import Text
from services.requests.rights.contract import (
    Evidence,
    Kind,
    OpenRequest,
    Propose,
    ProtectPerson,
    RecordMandate,
    Request,
    Verdict,
)
from tests.rights.conftest import House
from tests.rights.operator import Row


def key() -> str:
    return str(uuid4())


@pytest.fixture
def greta(house: House) -> UUID:
    return house.operator.person(("billing", Row("customer", "1")), ("helpdesk", Row("ticket", "2")))


async def test_a_deletion_waits_for_the_mailbox_and_then_for_the_vendor(house: House, tenant: UUID, greta: UUID):
    person, where = house.person(greta, tenant), (greta, "mailbox")
    house.operator.by_hand.add(where)
    house.operator.has_mailbox = True
    asked = await house.confirmed(person)
    house.operator.has_mailbox = False
    house.later(hours=73)
    waiting = await house.until(person, asked.request, lambda seen: any(s.state == "waiting" for s in seen.steps))
    [step] = [step for step in waiting.steps if step.state == "waiting"]
    assert (step.store, step.waiting.owner) == ("mailbox", "kundtjanst@nordtel.example")
    assert waiting.state in ("executing", "checking"), "it can't close"
    house.operator.promised[where] = date(2027, 6, 1)
    await house.until(
        person, asked.request, lambda seen: any(s.waiting and s.waiting.pending_until for s in seen.steps)
    )
    house.operator.by_hand.discard(where)
    closed = await house.until_state(person, asked.request, "closed")
    assert not any(step.state == "waiting" for step in closed.steps)
    [hand] = (await person.answer(asked.request)).by_hand
    assert (hand.store, hand.attested.by) == ("mailbox", "hilda")


async def test_whoever_received_the_data_is_told_and_the_person_learns_who(house: House, tenant: UUID, greta: UUID):
    person = house.person(greta, tenant)
    asked = await house.confirmed(person)
    house.later(hours=73)
    await house.until_state(person, asked.request, "closed")
    named = {each.label.en for each in (await person.answer(asked.request)).recipients}
    assert "Microsoft Corporation (Office 365)" in named and "Zendesk" not in named, "only of what was erased"
    said = await house.told(asked.request)
    assert {each["done"] for each in said} == {"erased"} and len(said) == len(named)
    assert all(each["categories"] == ["customer_invoice"] for each in said)


CORRECTED = {
    "aws": ("corrected", ["traffic"]),
    "idm": ("corrected", ["traffic"]),
    "twilio": ("corrected", ["traffic"]),
    "microsoft": ("corrected", ["customer_invoice"]),
}


async def test_recipients_are_told_of_a_correction_of_what_they_have_and_of_none_that_was_refused(
    house: House, tenant: UUID, greta: UUID
):
    person = house.person(greta, tenant)
    changes = [Correction(element=element, old="Greta", new="Greta Postlund") for element in ("participants", "name")]
    officer, words = house.officer(tenant), Text(sv="Sett på.", en="Looked at.")
    for verdict, told in ((Verdict.refused, {}), (Verdict.granted, CORRECTED)):
        asked = await person.open(OpenRequest(kind=Kind.correction, changes=changes), key=key())
        await house.until_state(person, asked.request, "deciding")
        [task] = [task for task in (await officer.tasks()).items if task.request == asked.request]
        reason = "data_are_correct" if verdict == Verdict.refused else None
        await officer.propose(task.task, Propose(verdict=verdict, reason=reason, text=words), key=key())
        await house.until_state(person, asked.request, "answered")
        said = await house.told(asked.request)
        assert {each["recipient"]: (each["done"], each["categories"]) for each in said} == told


async def test_what_rested_on_a_withdrawn_consent_goes_without_anybody_asking(house: House, tenant: UUID):
    cilla = house.operator.person(
        ("recordings", Row("recorded_call", "r-1")),
        ("recordings", Row("quality", "q-1")),
        ("helpdesk", Row("helpdesk_ticket", "t-1")),
        ("billing", Row("c", "1")),
    )
    person = house.person(cilla, tenant)
    house.operator.consent_withdrawn(cilla, tenant, [])
    withdrawn = house.operator.consent_withdrawn(cilla, tenant, ["recorded_call", "helpdesk_ticket"])

    async def asked() -> list:
        return (await person.requests()).items

    [request] = await house.seen(asked, lambda seen: bool(seen) and seen[0].state == "closed")
    await _told_again(house, withdrawn, ("billing", Row("customer", "1")))
    assert len(await asked()) == 1
    assert (request.channel, request.ground) == ("consent", "consent_withdrawn")
    assert (request.received_at.date(), request.due_on) == (date(2026, 11, 20), date(2026, 12, 21)), (
        "since she withdrew"
    )
    assert [(one.clock, one.due_on) for one in request.clocks] == [("answer", request.due_on)]
    assert [row.id for row in house.operator.held(cilla, "recordings")] == ["q-1"]
    assert house.operator.held(cilla, "helpdesk") == []
    assert house.operator.held(cilla, "billing")
    assert cilla not in house.operator.forgotten


async def _told_again(house: House, withdrawn: dict, other: tuple) -> None:
    """A consent service that came back from a backup tells it by another event. What comes behind it says that it was heard."""
    house.operator.tell(withdrawn | {"id": str(uuid4())})
    tenant, behind = UUID(withdrawn["tenant"]), house.operator.person(other)
    house.operator.consent_withdrawn(behind, tenant, ["customer"])

    async def asked() -> list:
        return (await house.person(behind, tenant).requests()).items

    await house.seen(asked, bool)


async def test_what_rested_on_it_goes_from_every_store_that_has_something_of_it_and_by_hand_where_only_people_can(
    house: House, tenant: UUID
):
    house.operator.has_mailbox = True
    vera = house.operator.person(("billing", Row("usage_statistics", "u-1")), ("billing", Row("invoice", "i-1")))
    person = house.person(vera, tenant)
    house.operator.consent_withdrawn(vera, tenant, ["usage_statistics"])

    async def asked() -> list:
        return (await person.requests()).items

    try:
        [request] = await house.seen(asked, lambda seen: bool(seen) and seen[0].state == "closed")
    finally:
        house.operator.has_mailbox = False
    assert [row.id for row in house.operator.held(vera, "billing")] == ["i-1"]
    seen = await person.request(request.request)
    assert {(step.store, step.verb) for step in seen.steps} == {
        (store, verb) for store in ("billing", "mailbox") for verb in ("erase", "verify")
    }


async def categories_told(house: House, request: UUID, step: str | None = None) -> set[str]:
    """Of which categories somebody was told that they were erased; by the step that did it later."""
    said = [each for each in await house.told(request) if each["step"] == step]
    assert {each["done"] for each in said} == {"erased"}
    return {category for each in said for category in each["categories"]}


async def test_a_person_is_forgotten_when_the_last_thing_of_hers_has_gone(house: House, tenant: UUID):
    until = house.now().date() + timedelta(days=30)
    anna = house.operator.person(
        ("billing", Row("customer", "1")),
        ("billing", Row("call", "2", keep="accounting_records", until=until, category="traffic")),
        ("helpdesk", Row("chat", "3", action="redact", category="service_specific")),
    )
    person, desk = house.person(anna, tenant), house.helpdesk(tenant)
    proof = Evidence(method="id_document", note="Pass nr 4711")
    for mandated in ({"principal": anna, "agent": uuid4()}, {"principal": uuid4(), "agent": anna}):
        last = await desk.record_mandate(RecordMandate(**mandated, kinds=[Kind.access], evidence=proof), key=key())
    await desk.revoke_mandate(last.mandate, key=key())
    await desk.protect(anna, ProtectPerson(protected=True), key=key())
    asked = await house.confirmed(person)
    house.later(hours=73)
    await house.until_state(person, asked.request, "closed")
    assert anna not in house.operator.forgotten, "a call is kept: it is still hers"
    assert await categories_told(house, asked.request) == {"customer_invoice", "service_specific"}
    house.operator.held(anna, "billing")[0].keep = None
    await house.until_day(until + timedelta(days=2))

    async def forgotten() -> bool:
        return anna in house.operator.forgotten

    await house.seen(forgotten, bool)
    assert house.operator.forgotten.count(anna) == 1
    [gone] = await house.told(asked.request, "request.deferred_erased")
    assert await categories_told(house, asked.request, gone["step"]) == {"traffic"}, (
        "who has what was kept is told when it goes"
    )
    query = "SELECT id, evidence, revoked_at, revoked_by FROM rights.mandate WHERE $1 IN (principal, agent) ORDER BY id"
    mandates = await house.seen(lambda: house.rows(query, anna), lambda seen: all(row["revoked_at"] for row in seen))
    assert [row["evidence"] for row in mandates] == [None, None], "whose mandate it was proves nothing to anybody now"
    sealed = "SELECT FROM rights.subject_key WHERE subject = ANY ($1)"
    assert not await house.rows(sealed, [row["id"] for row in mandates]), "nor does what a backup has of it"
    assert [row["revoked_by"] for row in mandates] == ["forgotten", "hilda"], "who ended one before stays who did"
    assert not await house.rows("SELECT 1 FROM rights.protected_person WHERE principal = $1", anna)


async def test_whoever_was_forgotten_and_asks_again_is_answered_that_nothing_is_there(house: House, tenant: UUID):
    """Her login outlives what was known of her, and the data plane cannot say whose data it is to look for."""
    anna = house.operator.person(("billing", Row("customer", "1")))
    person = house.person(anna, tenant)
    asked = await house.confirmed(person)
    house.later(hours=73)
    await house.until(person, asked.request, lambda seen: [("forget", "done")] == told_of(seen, "forget"))
    house.operator.unknown.add(anna)
    try:
        access = await person.open(OpenRequest(kind=Kind.access, passphrase="fyra gröna hästar"), key=key())
        await house.until_state(person, access.request, "answered")
        found = (await person.answer(access.request)).found
        assert found and not any(each.counts for each in found)
        again = await house.confirmed(person)
        house.later(hours=73)
        await house.until_state(person, again.request, "closed")
    finally:
        house.operator.unknown.clear()


def told_of(request: Request, verb: str) -> list[tuple[str, str]]:
    return [(step.verb, step.state) for step in request.steps if step.verb == verb]


async def test_nobody_is_forgotten_while_she_still_asks_for_something(house: House, tenant: UUID, greta: UUID):
    person = house.person(greta, tenant)
    complaint = await person.open(OpenRequest(kind=Kind.complaint, text="Fel"), key=key())
    asked = await house.confirmed(person)
    house.later(hours=73)
    await house.until_state(person, asked.request, "closed")
    await house.until_state(person, complaint.request, "deciding")
    assert greta not in house.operator.forgotten


KEPT = "SELECT 1 FROM rights.spool WHERE request = $1"


async def test_a_package_that_nobody_locks_is_given_up_with_everything_collected_for_it(
    house: House, tenant: UUID, greta: UUID
):
    person = house.person(greta, tenant)
    asked = await person.open(OpenRequest(kind=Kind.access), key=key())
    await house.until_state(person, asked.request, "awaiting_passphrase")
    assert await house.rows(KEPT, asked.request)
    house.later(days=16)
    await house.until_state(person, asked.request, "withdrawn")
    assert await house.rows(KEPT, asked.request) == [] == list(house.settings.packages.glob(f"{asked.request}/*"))
    [left] = await house.rows("SELECT spool_key FROM rights.request WHERE id = $1", asked.request)
    assert left["spool_key"] is None


async def test_who_asked_for_something_else_meanwhile_is_forgotten_when_that_is_over(house: House, tenant: UUID):
    vera = house.operator.person(("billing", Row("customer", "1")))
    person = house.person(vera, tenant)
    waiting = await person.open(OpenRequest(kind=Kind.access), key=key())
    await house.until_state(person, waiting.request, "awaiting_passphrase")
    asked = await house.confirmed(person)
    house.later(hours=73)
    await house.until_state(person, asked.request, "closed")
    assert vera not in house.operator.forgotten, "her other request still needs to know who she is"
    await person.withdraw(waiting.request, key=key())

    async def forgotten() -> bool:
        return vera in house.operator.forgotten

    await house.seen(forgotten, bool)


async def test_which_stores_there_are_is_asked_once_for_each_request_and_never_before_it_came(
    house: House, tenant: UUID
):
    """While it is received; a store that came a moment ago is not left out."""
    client = house.person(house.operator.person(("billing", Row("customer", "1"))), tenant)
    for ground, has_mailbox in (("correctness_disputed", False), ("legal_claims", True)):
        house.operator.has_mailbox, before = has_mailbox, house.operator.asked_for_stores
        try:
            asked = await client.open(OpenRequest(kind=Kind.restriction, ground=ground), key=str(uuid4()))
            seen = await house.until(client, asked.request, lambda seen: seen.steps)
        finally:
            house.operator.has_mailbox = False
        assert ("mailbox" in {step.store for step in seen.steps}) is has_mailbox
        assert house.operator.asked_for_stores == before + 1
