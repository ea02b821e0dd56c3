"""How requests come in: by login, by the helpdesk with evidence, by letter, by ticket; and what nobody gets to see."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis import clock
from chassis.errors import Forbidden, Invalid, KeyMissing, KeyReused, NotFound, problem_from
from services.anonymizer.contract import Identifier, IdentifierType
from services.registry.contract import Text
from services.requests.rights import contract
from services.requests.rights.client import RightsClient
from services.requests.rights.contract import (
    Channel,
    Charge,
    Confirm,
    Evidence,
    Kind,
    NotNow,
    OpenRequest,
    Paid,
    PersonNotNamed,
    PostTicket,
    ProveIdentity,
    ReceivedInFuture,
    RecordMandate,
    Refuse,
    Request,
    RequestUnknown,
    Review,
    TooManyOpen,
)
from tests.rights.conftest import House
from tests.rights.operator import Row
from tests.rights.test_clock import BOOK

WORDS = Text(sv="Det är den tolfte i år.", en="It is the twelfth this year.")
EVIDENCE = Evidence(method="call_back", note="Ringde upp på numret i avtalet")


def email(value: str) -> Identifier:
    return Identifier(type=IdentifierType.email, value=value)


def ticket(number: str, address: str, evidence: Evidence | None = None, kind: Kind = Kind.deletion) -> PostTicket:
    return PostTicket(ticket=number, kind=kind, identifiers=[email(address)], text="Radera mig", evidence=evidence)


async def test_a_letter_typed_in_later_is_due_counted_from_its_receipt(house: House, tenant: UUID):
    lars = house.operator.person(("billing", Row("customer", "1")), email=f"{uuid4().hex}@epost.example")
    helpdesk = house.helpdesk(tenant)
    house.later(seconds=max(0.0, (datetime(2027, 2, 5, tzinfo=UTC) - clock.now()).total_seconds()))
    asked = await helpdesk.open(
        OpenRequest(
            kind=Kind.access,
            channel=Channel.letter,
            received_at=datetime.fromisoformat("2027-01-30T12:00:00+01:00"),
            principal=lars,
            evidence=EVIDENCE,
        ),
        key=str(uuid4()),
    )
    assert asked.due_on.isoformat() == "2027-03-01"
    assert asked.recorded_at - asked.received_at > timedelta(days=5)


async def test_a_letter_typed_in_after_she_asked_again_elsewhere_is_answered_in_its_own_time(
    house: House, tenant: UUID
):
    lars = house.operator.person(("billing", Row("customer", "1")))
    person, desk = house.person(lars, tenant), house.helpdesk(tenant)
    asked = await person.open(OpenRequest(kind=Kind.access), key=str(uuid4()))
    letter = OpenRequest(
        kind=Kind.access,
        channel=Channel.letter,
        received_at=asked.received_at - timedelta(days=6),
        principal=lars,
        evidence=EVIDENCE,
    )
    typed = await desk.open(letter, key=str(uuid4()))
    assert (await house.until_state(desk, typed.request, "duplicate")).duplicate_of == asked.request
    kept = await desk.request(asked.request)
    assert (kept.received_at, kept.due_on) == (typed.received_at, typed.due_on)
    assert [(clock.received_on, clock.due_on) for clock in kept.clocks] == [(typed.clocks[0].received_on, typed.due_on)]


async def test_who_the_helpdesk_made_sure_of_is_found_by_identifiers(house: House, tenant: UUID):
    address = f"{uuid4().hex}@epost.example"
    cilla = house.operator.person(("billing", Row("customer", "1")), email=address)
    helpdesk = house.helpdesk(tenant)
    wish = OpenRequest(kind=Kind.deletion, channel=Channel.telephone, identifiers=[email(address)], evidence=EVIDENCE)
    asked = await helpdesk.open(wish, key=str(uuid4()))
    seen = await house.until_state(helpdesk, asked.request, "previewed")
    assert seen.principal == cilla
    assert (await house.person(cilla, tenant).request(asked.request)).state == "previewed"


async def test_nothing_happens_to_a_ticket_until_somebody_knows_who_asks(house: House, tenant: UUID):
    address = f"{uuid4().hex}@epost.example"
    house.operator.person(("billing", Row("customer", "1")), email=address)
    system, helpdesk = house.ticket_system(tenant), house.helpdesk(tenant)
    taken = await system.post_ticket(ticket("T-1", address), key=str(uuid4()))
    await asyncio.sleep(1)
    waiting = await system.request(taken.request)
    assert (waiting.state, waiting.steps, waiting.ticket) == ("received", [], "T-1")
    proof = ProveIdentity(identifiers=[email(address)], evidence=EVIDENCE)
    with pytest.raises(Forbidden):
        await system.prove_identity(taken.request, proof, key=str(uuid4()))
    await helpdesk.prove_identity(taken.request, proof, key=str(uuid4()))
    await house.until_state(helpdesk, taken.request, "previewed")


@pytest.mark.parametrize("kind", [Kind.deletion, Kind.access])
async def test_who_asked_by_a_ticket_and_meanwhile_by_login_is_dealt_with_once(house: House, tenant: UUID, kind: Kind):
    """The ticket is the older one, and is known to be hers only when the other is under way, or is still being collected."""
    address = f"{uuid4().hex}@epost.example"
    cilla = house.operator.person(("billing", Row("customer", "1")), email=address)
    person, desk = house.person(cilla, tenant), house.helpdesk(tenant)
    taken = await house.ticket_system(tenant).post_ticket(ticket(uuid4().hex, address, kind=kind), key=str(uuid4()))
    if kind is Kind.access:
        house.operator.down.add("billing")
    asked = await person.open(OpenRequest(kind=kind), key=str(uuid4()))
    await house.seen(lambda: person.request(asked.request), lambda seen: bool(seen.steps))
    await desk.prove_identity(
        taken.request, ProveIdentity(identifiers=[email(address)], evidence=EVIDENCE), key=str(uuid4())
    )
    seen = await house.until_state(desk, taken.request, "duplicate")
    assert seen.duplicate_of == asked.request
    house.operator.down.clear()


@pytest.mark.parametrize("how", ["refusal that is not agreed to", "fee that is paid"])
async def test_what_staff_decide_about_a_ticket_proves_nobody(house: House, tenant: UUID, how: str):
    address = f"{uuid4().hex}@epost.example"
    house.operator.person(("billing", Row("customer", "1")), email=address)
    taken = await house.ticket_system(tenant).post_ticket(ticket(uuid4().hex, address), key=str(uuid4()))
    one, other = house.officer(tenant), house.officer(tenant, "petronella")
    if how.startswith("fee"):
        await one.charge(taken.request, Charge(reason="excessive", fee_ore=100, text=WORDS), key=str(uuid4()))
    else:
        await one.refuse(taken.request, Refuse(reason="excessive", text=WORDS), key=str(uuid4()))
    [task] = (await one.tasks(state="proposed")).items
    agreed = how.startswith("fee")
    await other.review(task.task, Review(proposal=task.digest, agreed=agreed), key=str(uuid4()))
    if how.startswith("fee"):
        await one.paid(taken.request, Paid(reference="OCR 1"), key=str(uuid4()))
    await asyncio.sleep(1)
    seen = await one.request(taken.request)
    assert (seen.state, seen.principal, seen.steps) == ("received", None, [])


async def test_of_two_who_say_at_once_who_asks_one_is_told_that_it_is_known(house: House, tenant: UUID):
    who = [f"{uuid4().hex}@epost.example" for _ in range(4)]
    for address in who:
        house.operator.person(("billing", Row("customer", "1")), email=address)
    taken = await house.ticket_system(tenant).post_ticket(ticket(uuid4().hex, who[0]), key=str(uuid4()))
    desk = house.helpdesk(tenant)
    proofs = (ProveIdentity(identifiers=[email(address)], evidence=EVIDENCE) for address in who)
    said = await asyncio.gather(
        *(desk.prove_identity(taken.request, proof, key=str(uuid4())) for proof in proofs), return_exceptions=True
    )
    assert sum(isinstance(each, NotNow) for each in said) == 3


async def test_the_same_ticket_posted_many_times_at_once_is_one_request(house: House, tenant: UUID):
    system = house.ticket_system(tenant)
    posts = (system.post_ticket(ticket("T-2", "x@epost.example"), key=str(uuid4())) for _ in range(12))
    assert len({taken.request for taken in await asyncio.gather(*posts)}) == 1


async def test_of_many_that_come_at_once_each_has_its_own_answer(house: House, tenant: UUID):
    """What a rule refuses leaves nothing and its neighbours stand; the same key is the same request."""
    helpdesk, tomorrow = house.helpdesk(tenant), house.now() + timedelta(days=1)
    people = [house.operator.person() for _ in range(12)]
    # A token that was seen before takes the short road, on which they meet.
    await helpdesk.open(_telephoned(house.operator.person()), key="before")
    keys = [str(n) for n in range(12)]
    asked = [helpdesk.open(_telephoned(who), key=key) for who, key in zip(people, keys, strict=True)]
    asked += [helpdesk.open(_telephoned(people[0]), key=keys[0])]
    asked += [helpdesk.open(_telephoned(people[0], tomorrow), key="tomorrow")]
    *opened, again, refused = await asyncio.gather(*asked, return_exceptions=True)
    assert [one.principal for one in opened if isinstance(one, Request)] == people
    assert again == opened[0]
    assert isinstance(refused, ReceivedInFuture)
    told = "SELECT count(*), count(DISTINCT xid) FROM rights.event WHERE tenant = $1 AND type = 'request.received'"
    [(count, transactions)] = await house.rows(told, tenant)
    assert count == 13 > transactions, "they share transactions"


def _telephoned(who: UUID, received_at: datetime | None = None) -> OpenRequest:
    return OpenRequest(
        kind=Kind.complaint,
        text="Fel",
        channel=Channel.telephone,
        principal=who,
        evidence=EVIDENCE,
        received_at=received_at,
    )


@pytest.mark.parametrize("beside", ["other@epost.example", "ring inte"])
async def test_identifiers_of_different_people_and_what_is_none_need_clarification(
    house: House, tenant: UUID, beside: str
):
    one, other = f"{uuid4().hex}@epost.example", f"{uuid4().hex}{beside}"
    house.operator.person(email=one)
    house.operator.person(email=other)
    helpdesk = house.helpdesk(tenant)
    wrong = email(other) if "@" in beside else Identifier(type=IdentifierType.msisdn, value=beside)
    wish = OpenRequest(kind=Kind.access, channel=Channel.email, identifiers=[email(one), wrong], evidence=EVIDENCE)
    asked = await helpdesk.open(wish, key=str(uuid4()))
    await house.until_state(helpdesk, asked.request, "clarification")
    proof = ProveIdentity(identifiers=[email(one)], evidence=EVIDENCE)
    await helpdesk.prove_identity(asked.request, proof, key=str(uuid4()))
    await house.until_state(helpdesk, asked.request, "awaiting_passphrase")


async def test_another_persons_and_another_tenants_request_do_not_exist(house: House, tenant: UUID):
    anna, erik = (house.operator.person(("billing", Row("customer", "1"))) for _ in range(2))
    asked = await house.person(anna, tenant).open(OpenRequest(kind=Kind.deletion), key=str(uuid4()))
    strangers = [
        house.person(erik, tenant),
        house.person(anna, uuid4()),
        house.helpdesk(uuid4()),
        house.ticket_system(tenant),
    ]
    for stranger in strangers:
        for ask in (stranger.request, stranger.preview, stranger.answer, stranger.certificate):
            with pytest.raises(RequestUnknown):
                await ask(asked.request)
        with pytest.raises(RequestUnknown):
            await stranger.withdraw(asked.request, key=str(uuid4()))
        with pytest.raises(RequestUnknown):
            await stranger.confirm(asked.request, Confirm(preview="x"), key=str(uuid4()))
        with pytest.raises(RequestUnknown):
            async with stranger.package(asked.request):
                pass
        assert asked.request not in {item.request for item in (await stranger.requests()).items}


async def test_a_person_asks_for_herself_only(house: House, tenant: UUID):
    anna, erik = uuid4(), uuid4()
    client = house.person(anna, tenant)
    with pytest.raises(NotFound):
        await client.open(OpenRequest(kind=Kind.access, principal=erik), key=str(uuid4()))
    for pretended in (
        {"channel": Channel.letter},
        {"received_at": clock.now() - timedelta(days=30)},
        {"identifiers": [email("erik@epost.example")]},
        {"evidence": EVIDENCE},
    ):
        with pytest.raises(Forbidden):
            await client.open(OpenRequest(kind=Kind.access, **pretended), key=str(uuid4()))
    with pytest.raises(NotFound):
        await client.requests(principal=erik)


async def test_the_helpdesk_says_who_asks_and_how_it_knows(house: House, tenant: UUID):
    helpdesk = house.helpdesk(tenant)
    for unproven in ({}, {"principal": uuid4()}, {"evidence": EVIDENCE}):
        with pytest.raises(PersonNotNamed):
            await helpdesk.open(OpenRequest(kind=Kind.access, channel=Channel.email, **unproven), key=str(uuid4()))
    late = OpenRequest(
        kind=Kind.access,
        channel=Channel.email,
        principal=uuid4(),
        evidence=EVIDENCE,
        received_at=clock.now() + timedelta(days=1),
    )
    with pytest.raises(ReceivedInFuture):
        await helpdesk.open(late, key=str(uuid4()))


async def test_own_requests_are_listed_newest_first_page_by_page(house: House, tenant: UUID):
    client = house.person(uuid4(), tenant)
    opened = [(await client.open(OpenRequest(kind=Kind.access), key=str(uuid4()))).request for _ in range(3)]
    first = await client.requests(limit=2)
    second = await client.requests(limit=2, after=first.next)
    assert [item.request for item in first.items + second.items] == opened[::-1]
    assert second.next is None


async def test_however_many_one_person_asks_at_once_the_books_number_is_open_and_one_that_is_withdrawn_makes_room(
    house: House, tenant: UUID
):
    anna, most = house.operator.person(), BOOK.number("open_requests")
    person = house.person(anna, tenant)

    async def complained(number: int) -> contract.Request:
        return await person.open(OpenRequest(kind=Kind.complaint, text=f"Fel nummer {number}"), key=str(uuid4()))

    outcomes = await asyncio.gather(*(complained(number) for number in range(most + 5)), return_exceptions=True)
    opened = {each.request for each in outcomes if isinstance(each, contract.Request)}
    refused = [each for each in outcomes if isinstance(each, TooManyOpen)]
    assert (len(opened), len(refused)) == (most, 5)
    assert all(set(each.extra["open"]) <= {str(id) for id in opened} for each in refused)
    assert {row["id"] for row in await house.rows("SELECT id FROM rights.request WHERE principal = $1", anna)} == opened
    with pytest.raises(TooManyOpen) as full:
        await complained(100)
    assert set(full.value.extra["open"]) == {str(id) for id in opened} and full.value.extra["most"] == most
    await person.withdraw(opened.pop(), key=str(uuid4()))
    await complained(101)
    with pytest.raises(TooManyOpen):
        await complained(102)


async def test_who_has_as_much_open_as_she_may_is_heard_by_the_helpdesk_and_through_who_acts_for_her_and_they_use_up_nothing(
    house: House, tenant: UUID
):
    anna, erik, most = house.operator.person(), house.operator.person(), BOOK.number("open_requests")
    desk, agent, person = house.helpdesk(tenant), house.person(erik, tenant), house.person(anna, tenant)
    mandate = RecordMandate(principal=anna, agent=erik, kinds=[Kind.complaint], evidence=EVIDENCE)
    await house.mandate(tenant, mandate)

    async def complained(client: RightsClient, words: str, **more: Any) -> contract.Request:
        wish = OpenRequest(kind=Kind.complaint, text=words, **more)
        return await client.open(wish, key=str(uuid4()))

    typed_in = {"principal": anna, "evidence": EVIDENCE}
    await asyncio.gather(
        *(complained(desk, f"brev {n}", **typed_in) for n in range(3)),
        *(complained(agent, f"ombud {n}", principal=anna) for n in range(most)),
        *(complained(person, f"själv {n}") for n in range(most)),
    )
    for who, more in ((agent, {"principal": anna}), (person, {})):
        with pytest.raises(TooManyOpen):
            await complained(who, "en till", **more)
    assert (await complained(desk, "ett brev till", **typed_in)).principal == anna
    assert (await complained(agent, "för egen del")).principal == erik


BAD = {
    "a kind there is no right for": ({"kind": "everything"}, Invalid),
    "a passphrase too short to protect anything": ({"kind": "access", "passphrase": "kort"}, Invalid),
    "a passphrase for a deletion": ({"kind": "deletion", "passphrase": "fyra gröna hästar"}, Invalid),
    "an access limited to one recording": ({"kind": "access", "scope": {"recording": "4711"}}, Invalid),
    "a recording that is a path": ({"kind": "deletion", "scope": {"recording": "../4711"}}, Invalid),
    "an unknown field": ({"kind": "access", "state": "answered"}, Invalid),
    "a field only the house may set": ({"kind": "access", "tenant": str(uuid4())}, Invalid),
    "a number where a text is expected": ({"kind": "access", "language": 1}, Invalid),
    "an instant without its offset": ({"kind": "access", "received_at": "2027-01-30T12:00:00"}, Invalid),
}


@pytest.mark.parametrize("what", BAD)
async def test_bad_input_is_a_clear_problem(house: House, tenant: UUID, what: str):
    body, problem = BAD[what]
    answer = await post(house, tenant, body)
    assert isinstance(problem_from(answer.json(), answer.status_code), problem)
    assert "hästar" not in answer.text and "4711" not in answer.text


async def test_a_write_without_a_key_and_a_key_used_for_something_else_are_refused(house: House, tenant: UUID):
    answer = await post(house, tenant, {"kind": "access"}, key=None)
    assert answer.json()["code"] == KeyMissing.code
    me, key = uuid4(), str(uuid4())
    first, again = [await post(house, tenant, {"kind": "access"}, key=key, me=me) for _ in range(2)]
    assert first.json()["request"] == again.json()["request"]
    assert again.headers["idempotent-replayed"] == "true"
    other = await post(house, tenant, {"kind": "deletion"}, key=key, me=me)
    assert other.json()["code"] == KeyReused.code


async def post(house: House, tenant: UUID, body: dict, key: str | None = "", me: UUID | None = None):
    token = await house.person(me or uuid4(), tenant).tokens.token("rights")
    headers = {"authorization": f"Bearer {token}"}
    if key is not None:
        headers["idempotency-key"] = key or str(uuid4())
    return await house.http.post(f"{house.url}/v1/requests", json=body, headers=headers)
