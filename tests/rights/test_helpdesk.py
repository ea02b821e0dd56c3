"""The helpdesk's system in Zendesk's dialect: its ticket becomes a request, and the request's progress returns to the ticket."""

import asyncio
import random
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from pydantic import ValidationError

from services.anonymizer.contract import Identifier, IdentifierType
from services.registry.contract import Text
from services.requests.rights.contract import (
    Ask,
    Evidence,
    Extend,
    Kind,
    NameController,
    PostTicket,
    Propose,
    ProveIdentity,
    State,
    TagMissing,
    TicketAsksOther,
    TicketNamesOther,
    Verdict,
    ZendeskPost,
)
from services.requests.rights.helpdesk import Helpdesk
from services.requests.rights.rules import helpdesk
from tests.patience import PATIENCE
from tests.rights.conftest import House
from tests.rights.operator import Row
from tests.serving import stranger

WORDS = Text(sv="Så här är det", en="So it is")


def key() -> str:
    return str(uuid4())


def a_post(*tags: str, **more: Any) -> dict[str, Any]:
    requester = {"email": f"{uuid4().hex}@epost.example", "name": "Anna Testlind"}
    ticket = {
        "id": random.randrange(1, 10**12),
        "subject": "Mina uppgifter",
        "description": "Jag vill veta vad ni har om mig",
        "created_at": "2026-11-20T09:00:00Z",
        "tags": list(tags),
        "requester": requester,
    }
    return {"ticket": ticket | more}


async def posted(house: House, tenant: UUID, post: dict[str, Any]) -> dict[str, Any]:
    system = house.ticket_system(tenant)
    return await system.call(
        "POST", "/v1/zendesk/tickets", body=ZendeskPost.model_validate(post, strict=False), idempotency_key=key()
    )


async def told(house: House, ticket: int) -> list[dict[str, Any]]:
    return [said for number, said in house.operator.tickets if number == str(ticket)]


async def test_a_ticket_becomes_a_request_and_hears_how_it_goes(house: House, tenant: UUID):
    post = a_post("vip", "gdpr_access")
    ticket, address = post["ticket"]["id"], post["ticket"]["requester"]["email"]
    house.operator.person(("billing", Row("customer", "1")), email=address)
    taken = await posted(house, tenant, post)
    assert (await posted(house, tenant, post))["request"] == taken["request"], "the same ticket is the same request"
    request, desk = UUID(taken["request"]), house.helpdesk(tenant)
    assert (await desk.request(request)).received_at.isoformat() == "2026-11-20T09:00:00+00:00"
    await house.seen(lambda: told(house, ticket), bool)
    proof = ProveIdentity(
        identifiers=[Identifier(type=IdentifierType.email, value=address)], evidence=Evidence(method="call_back")
    )
    await desk.prove_identity(request, proof, key=key())
    notes = await house.seen(lambda: told(house, ticket), lambda seen: seen and seen[-1]["status"] == "pending")
    assert all(note["comment"]["public"] is False and address not in note["comment"]["body"] for note in notes)
    await desk.withdraw(request, key=key())
    notes = await house.seen(lambda: told(house, ticket), lambda seen: seen[-1]["status"] == "solved")
    assert "återtagen" in notes[-1]["comment"]["body"]


async def test_a_helpdesk_that_is_away_is_told_later_and_delays_nothing(house: House, tenant: UUID):
    post = a_post("gdpr_complaint", "lang_en")
    house.operator.zendesk_down = True
    try:
        taken = await posted(house, tenant, post)
    finally:
        house.operator.zendesk_down = False
    [note, *_] = await house.seen(lambda: told(house, post["ticket"]["id"]), bool)
    assert taken["request"] in note["comment"]["body"] and "Answer due" in note["comment"]["body"]


async def test_of_two_states_that_are_told_at_once_the_newer_one_stays(house: House, tenant: UUID):
    post = a_post("gdpr_complaint")
    ticket = house.operator.slow_ticket = str(post["ticket"]["id"])
    taken = await posted(house, tenant, post)
    await house.seen(lambda: told(house, ticket), lambda _: house.operator.slow_ticket is None)
    await house.helpdesk(tenant).withdraw(UUID(taken["request"]), key=key())
    notes = await house.seen(
        lambda: told(house, ticket), lambda seen: len(seen) >= 2 and seen[-1]["status"] == "solved"
    )
    assert any(note["status"] == "open" for note in notes)


async def test_the_ticket_hears_of_a_question_and_of_another_day(house: House, tenant: UUID):
    post = a_post("gdpr_access", "lang_en", created_at=house.now().isoformat())
    ticket, desk = post["ticket"]["id"], house.helpdesk(tenant)
    request = UUID((await posted(house, tenant, post))["request"])
    due = (await desk.request(request)).due_on
    await house.seen(lambda: told(house, ticket), lambda seen: seen and f"due {due}" in seen[-1]["comment"]["body"])
    await desk.question(request, Ask(about="identity", text=WORDS), key=key())
    [note] = (await house.seen(lambda: told(house, ticket), lambda seen: seen[-1]["status"] == "pending"))[-1:]
    assert "was asked" in note["comment"]["body"], note
    assert "due" not in note["comment"]["body"], "while the clock stands still no day is the last"
    extended = await desk.extend(request, Extend(reason="complexity", text=WORDS), key=key())
    proof = ProveIdentity(
        identifiers=[Identifier(type=IdentifierType.email, value=post["ticket"]["requester"]["email"])],
        evidence=Evidence(method="call_back"),
    )
    await desk.prove_identity(request, proof, key=key())
    assert extended.due_on > due
    await house.seen(lambda: told(house, ticket), lambda seen: f"due {extended.due_on}" in seen[-1]["comment"]["body"])


async def test_what_reached_the_helpdesk_late_does_not_stay_there(
    house: House, tenant: UUID, monkeypatch: pytest.MonkeyPatch
):
    """Nobody waited for its answer any more, and it was taken all the same, after what was told meanwhile."""
    monkeypatch.setattr("services.requests.rights.helpdesk._PATIENCE", 0.6)
    post = a_post("gdpr_complaint")
    ticket = house.operator.slow_ticket = str(post["ticket"]["id"])
    taken = await posted(house, tenant, post)
    await house.seen(lambda: told(house, ticket), lambda _: house.operator.slow_ticket is None)
    await house.helpdesk(tenant).withdraw(UUID(taken["request"]), key=key())
    await house.seen(
        lambda: told(house, ticket), lambda seen: [each["status"] for each in seen][-2:] == ["open", "solved"]
    )


@pytest.mark.parametrize("tags", [(), ("vip",), ("gdpr_access", "gdpr_deletion"), ("gdpr_objection",)])
def test_a_ticket_that_does_not_say_which_right_is_refused(tags: tuple[str, ...]):
    with pytest.raises(TagMissing):
        helpdesk.read(ZendeskPost.model_validate(a_post(*tags), strict=False))


@pytest.mark.parametrize(
    ("phone", "names_her"), [("+46 70 174 06 05", True), ("070-174 06 05", True), (" ", False), ("ring inte", False)]
)
def test_what_stands_for_a_number_and_is_none_does_not_hide_who_wrote(phone: str, names_her: bool):
    requester = {"email": "anna@epost.example", "phone": phone}
    ticket = helpdesk.read(ZendeskPost.model_validate(a_post("gdpr_access", requester=requester), strict=False))
    assert [one.type for one in ticket.identifiers] == ["email", "msisdn"][: 1 + names_her]


@pytest.mark.parametrize("phone", ["+46 70 174 06 05", "ring inte"])
@pytest.mark.parametrize("email", [None, ""])
async def test_who_has_no_address_in_the_helpdesk_s_system_is_heard_too(
    house: House, tenant: UUID, email: str | None, phone: str
):
    taken = await posted(house, tenant, a_post("gdpr_access", requester={"email": email, "phone": phone}))
    assert (await house.helpdesk(tenant).request(UUID(taken["request"]))).state == "received"


@pytest.mark.parametrize("nobody", ["", " ", "\t\u00a0"])
@pytest.mark.parametrize("named", [("email",), ("phone",), ("email", "phone")])
def test_a_ticket_of_nobody_is_refused(named: tuple[str, ...], nobody: str):
    with pytest.raises(ValidationError, match="who asks has"):
        ZendeskPost.model_validate(a_post("gdpr_access", requester=dict.fromkeys(named, nobody)), strict=False)


async def test_a_ticket_whose_clock_is_ahead_of_ours_came_now(house: House, tenant: UUID):
    ahead = (house.now() + timedelta(seconds=90)).isoformat()
    taken = await posted(house, tenant, a_post("gdpr_access", created_at=ahead))
    assert (await house.helpdesk(tenant).request(UUID(taken["request"]))).received_at <= house.now()


@pytest.mark.parametrize(
    ("ticket", "its_own"),
    [
        ("zendesk-4711", True),
        ("zendesk-update_many", False),
        ("zendesk-..", False),
        ("zendesk-", False),
        ("4711", False),
    ],
)
def test_only_a_number_leads_to_a_ticket(ticket: str, its_own: bool):
    assert helpdesk.is_its_own(ticket) is its_own


@pytest.mark.parametrize("piece", [b" ", b"x" * 65_536])
async def test_a_helpdesk_s_system_that_drips_or_floods_keeps_nobody(piece: bytes):
    async with stranger(b"HTTP/1.1 200 OK\r\n\r\n", piece) as url, httpx2.AsyncClient(trust_env=False) as http:
        settings = SimpleNamespace(zendesk_url=url, zendesk_user="wardline", secret=lambda _: b"token")
        await asyncio.wait_for(Helpdesk(settings, http).tell("4711", {}), PATIENCE)


async def test_a_ticket_that_may_not_be_solved_yet_hears_the_end_all_the_same(house: House, tenant: UUID):
    """The helpdesk wants fields of a solved ticket that only people there know."""
    post = a_post("gdpr_complaint", "lang_en")
    house.operator.unsolvable.add(str(post["ticket"]["id"]))
    taken = await posted(house, tenant, post)
    await house.helpdesk(tenant).withdraw(UUID(taken["request"]), key=key())
    notes = await house.seen(
        lambda: told(house, post["ticket"]["id"]),
        lambda seen: bool(seen) and "withdrawn" in seen[-1]["comment"]["body"],
    )
    assert "status" not in notes[-1]


async def test_a_ticket_is_not_solved_before_the_organisation_has_answered_its_part_too(house: House, tenant: UUID):
    contact, address, ticket = house.contact(tenant), f"{uuid4().hex}@epost.example", random.randrange(1, 10**12)
    await contact.name_controller(NameController(name="Kustbanken AB", contact="d@kustbanken.example"), key=key())
    house.operator.person(("billing", Row("customer", "1")), email=address)
    wish = PostTicket(
        ticket=f"zendesk-{ticket}",
        kind=Kind.restriction,
        ground="unlawful",
        identifiers=[Identifier(type=IdentifierType.email, value=address)],
        evidence=Evidence(method="call_back"),
    )
    asked = await house.ticket_system(tenant).post_ticket(wish, key=key())
    await house.until_state(house.helpdesk(tenant), asked.request, "answered")
    [task] = (await house.seen(lambda: contact.tasks(state="open"), lambda seen: bool(seen.items))).items
    await house.seen(
        lambda: told(house, ticket), lambda seen: seen and "avgörs av en människa" in seen[-1]["comment"]["body"]
    )
    assert {note["status"] for note in await told(house, ticket)} == {"open"}
    no = Propose(verdict=Verdict.refused, reason="excessive", text=WORDS)
    await contact.propose(task.task, no, key=key())
    await house.seen(lambda: told(house, ticket), lambda seen: seen[-1]["status"] == "solved")


async def test_a_ticket_that_asks_for_another_right_than_before_is_refused(house: House, tenant: UUID):
    """It would be answered with the first request, and the other never be seen by anybody."""
    post = a_post("gdpr_access")
    taken = await posted(house, tenant, post)
    other = {"ticket": post["ticket"] | {"tags": ["gdpr_deletion"]}}
    with pytest.raises(TicketAsksOther) as refused:
        await posted(house, tenant, other)
    assert refused.value.extra == {"request": taken["request"], "kind": "access"}
    assert (await posted(house, tenant, {"ticket": post["ticket"] | {"subject": "Annat ämne"}})) == taken


def renamed(post: dict[str, Any], address: str) -> dict[str, Any]:
    return {"ticket": post["ticket"] | {"requester": post["ticket"]["requester"] | {"email": address}}}


async def test_once_it_is_known_who_asks_no_ticket_makes_it_somebody_else_s(house: House, tenant: UUID):
    hers, his = (f"{uuid4().hex}@epost.example" for _ in range(2))
    anna, _ = (house.operator.person(("billing", Row("customer", each)), email=each) for each in (hers, his))
    desk, post = house.helpdesk(tenant), renamed(a_post("gdpr_deletion"), f"{uuid4().hex}@epost.example")
    request = UUID((await posted(house, tenant, post))["request"])
    found = [Identifier(type=IdentifierType.email, value=hers)]
    await desk.prove_identity(
        request, ProveIdentity(identifiers=found, evidence=Evidence(method="call_back")), key=key()
    )
    with pytest.raises(TicketNamesOther):
        await posted(house, tenant, renamed(post, his))
    assert (await posted(house, tenant, post))["request"] == str(request), "the ticket itself has not changed"
    seen = await house.until_state(desk, request, "previewed")
    assert seen.principal == anna
    await desk.withdraw(request, key=key())
    assert (await posted(house, tenant, renamed(post, his)))["request"] == str(request), "whose it was nobody knows"


async def test_evidence_that_comes_later_to_a_ticket_counts_and_is_no_word_of_the_staff(house: House, tenant: UUID):
    address = f"{uuid4().hex}@epost.example"
    house.operator.person(("billing", Row("customer", "1")), email=address)
    system, desk = house.ticket_system(tenant), house.helpdesk(tenant)
    ticket = PostTicket(
        ticket=key(), kind=Kind.deletion, identifiers=[Identifier(type=IdentifierType.email, value=address)]
    )
    taken = await system.post_ticket(ticket, key=key())
    for _ in range(2):
        seen = ticket.model_copy(update={"evidence": Evidence(method="id_document")})
        assert await system.post_ticket(seen, key=key()) == taken
    await house.until_state(desk, taken.request, "previewed")
    [row] = await house.rows("SELECT evidence_method, vouched_by FROM rights.request WHERE id = $1", taken.request)
    assert tuple(row) == ("id_document", None), (
        "two of the staff still stand behind a deletion that people say she asked for"
    )
    assert (await house.events(taken.request)).count("request.vouched") == 1


async def test_who_was_made_sure_of_and_is_nobody_in_particular_is_named_anew_with_new_evidence(
    house: House, tenant: UUID
):
    hers, his = (f"{uuid4().hex}@epost.example" for _ in range(2))
    for each in (hers, his):
        house.operator.person(("billing", Row("customer", each)), email=each)
    system, desk = house.ticket_system(tenant), house.helpdesk(tenant)
    both = [Identifier(type=IdentifierType.email, value=each) for each in (hers, his)]
    how = {"ticket": key(), "kind": Kind.deletion, "evidence": Evidence(method="call_back")}
    mixed = PostTicket(**how, identifiers=both)
    taken = await system.post_ticket(mixed, key=key())
    await house.until_state(desk, taken.request, "clarification")
    assert await system.post_ticket(mixed, key=key()) == taken, "the same again changes nothing"
    corrected = mixed.model_copy(update={"identifiers": both[:1]})
    with pytest.raises(TicketNamesOther):
        await system.post_ticket(corrected.model_copy(update={"evidence": None}), key=key())
    assert await system.post_ticket(corrected, key=key()) == taken
    await house.until_state(desk, taken.request, "previewed")
    assert (await house.events(taken.request)).count("request.vouched") == 1, "the same again was nothing new"


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("language", ["sv", "en"])
def test_every_state_has_words(state: State, language: str):
    said = helpdesk.update("r", helpdesk.Stands(state, date(2027, 1, 1), False), language)["ticket"]
    assert said["comment"]["body"] and said["status"] in ("open", "pending", "solved")
