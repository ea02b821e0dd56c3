"""Who asks: codes to contacts on file, logins that are sure and fresh enough, mandates, and nothing told to who probes."""

import asyncio
import json
import re
import time
from asyncio import gather
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest
from pydantic import ValidationError

from chassis.errors import Forbidden, NotFound, TooMany
from services.anonymizer.contract import Identifier, IdentifierType, Scope
from services.registry.contract import PolicyBook, Text
from services.requests.rights.commands import asking, proving
from services.requests.rights.contract import (
    AnotherConfirms,
    AnotherLooks,
    Ask,
    AskCode,
    Channel,
    CheckCode,
    Confirm,
    ConfirmMandate,
    Evidence,
    Kind,
    MandateRefused,
    MandateUnknown,
    OpenRequest,
    PostTicket,
    ProtectPerson,
    ProveIdentity,
    RecordMandate,
    RequestUnknown,
    SetPassphrase,
    StepUpNeeded,
)
from services.requests.rights.office import Office
from services.requests.rights.rules import proof
from tests.rights.conftest import House
from tests.rights.operator import Row
from tests.rights.test_clock import BOOK

NUMBER = "46701740605"


def key() -> str:
    return str(uuid4())


def mail(value: str) -> Identifier:
    return Identifier(type=IdentifierType.email, value=value)


def phone(value: str = NUMBER) -> Identifier:
    return Identifier(type=IdentifierType.msisdn, value=value)


async def a_ticket(house: House, tenant: UUID, *who: Identifier) -> UUID:
    ticket = PostTicket(ticket=uuid4().hex, kind=Kind.access, identifiers=list(who))
    return (await house.ticket_system(tenant).post_ticket(ticket, key=key())).request


@pytest.fixture
def anna(house: House) -> tuple[UUID, str]:
    """A person and her address."""
    address = f"{uuid4().hex}@epost.example"
    return house.operator.person(("billing", Row("customer", "1")), email=address), address


async def a_code_to(house: House, address: str) -> str:
    [text] = await house.seen(lambda: texts(house, address), bool)
    return re.search(r"\b\d{6}\b", text)[0]


async def texts(house: House, address: str) -> list[str]:
    return house.mailbox.texts(address)


async def test_a_code_to_an_address_on_file_proves_who_asks(house: House, tenant: UUID, anna: tuple[UUID, str]):
    principal, address = anna
    system, request = house.ticket_system(tenant), await a_ticket(house, tenant, mail(address))
    await system.code(request, AskCode(contact=mail(address)), key=key())
    checked = await system.check_code(request, CheckCode(code=await a_code_to(house, address)), key=key())
    assert checked.proven
    seen = await house.until_state(system, request, "awaiting_passphrase")
    assert seen.principal == principal


async def test_a_code_comes_by_text_message_too(house: House, tenant: UUID):
    house.operator.person(("billing", Row("customer", "1")), msisdn=NUMBER)
    system, request = house.ticket_system(tenant), await a_ticket(house, tenant, phone())
    await system.code(request, AskCode(contact=phone()), key=key())

    async def sent() -> list[dict[str, str]]:
        return house.operator.texts

    [message] = await house.seen(sent, bool)
    assert message["to"] == f"+{NUMBER}"
    code = re.search(r"\d{6}", message["text"])[0]
    assert (await system.check_code(request, CheckCode(code=code), key=key())).proven


async def test_what_is_written_to_is_the_address_that_was_found_on_file_however_it_was_spelled(
    house: House, tenant: UUID
):
    """A sign that looks like a K and is one when spellings are compared, and a number as people write it from abroad."""
    name, number = uuid4().hex, "46701740688"
    house.operator.person(email=f"k{name}@epost.example", msisdn=number)
    spelled = [mail(f"\u212a{name}@Epost.Example"), phone("0046 70-174 06 88")]
    for contact in spelled:
        request = await a_ticket(house, tenant, contact)
        await house.ticket_system(tenant).code(request, AskCode(contact=contact), key=key())
    await a_code_to(house, f"k{name}@epost.example")

    async def sent() -> list[str]:
        return [message["to"] for message in house.operator.texts]

    assert f"+{number}" in await house.seen(sent, lambda seen: any(number[-4:] in to.replace(" ", "") for to in seen))


async def test_unknown_people_and_other_people_s_addresses_get_the_same_answer_and_no_code(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    _, address = anna
    strangers = f"{uuid4().hex}@epost.example"
    house.operator.person(email=strangers)
    cases = {
        "known": (mail(address), mail(address)),
        "nobody": (mail("nobody@epost.example"), mail("nobody@epost.example")),
        "somebody else's address": (mail(address), mail(strangers)),
    }
    said = {}
    for name, (claimed, contact) in cases.items():
        request = await a_ticket(house, tenant, claimed)
        asked = await house.ticket_system(tenant).code(request, AskCode(contact=contact), key=key())
        wrong = await house.ticket_system(tenant).check_code(request, CheckCode(code="000000"), key=key())
        said[name] = (asked.expires_at - house.now() > timedelta(minutes=9), asked.model_dump().keys(), wrong.proven)
    assert said["known"] == said["nobody"] == said["somebody else's address"]
    await a_code_to(house, address)
    assert not house.mailbox.texts(strangers) and not house.mailbox.texts("nobody@epost.example")


async def test_a_code_has_three_tries_ten_minutes_and_one_use(house: House, tenant: UUID, anna: tuple[UUID, str]):
    _, address = anna
    system, request = house.ticket_system(tenant), await a_ticket(house, tenant, mail(address))
    await system.code(request, AskCode(contact=mail(address)), key=key())
    right = await a_code_to(house, address)
    wrong = f"{(int(right) + 1) % 1_000_000:06}"
    for _ in range(3):
        assert not (await system.check_code(request, CheckCode(code=wrong), key=key())).proven
    assert not (await system.check_code(request, CheckCode(code=right), key=key())).proven, "the tries are used up"
    await system.code(request, AskCode(contact=mail(address)), key=key())
    await house.seen(lambda: texts(house, address), lambda seen: len(seen) == 2)
    newest = re.search(r"\b\d{6}\b", house.mailbox.texts(address)[-1])[0]
    house.later(minutes=11)
    assert not (await system.check_code(request, CheckCode(code=newest), key=key())).proven, "its time is over"


async def test_a_code_that_came_before_somebody_else_was_named_proves_nothing_about_her(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    """Or one of the staff alone could confirm a deletion: a code of his own for his own ticket, then her name in it."""
    his = f"{uuid4().hex}@epost.example"
    house.operator.person(email=his)
    ticket = PostTicket(ticket=uuid4().hex, kind=Kind.deletion, identifiers=[mail(his)])
    request, desk = (await house.ticket_system(tenant).post_ticket(ticket, key=key())).request, house.helpdesk(tenant)
    await desk.code(request, AskCode(contact=mail(his)), key=key())
    code = await a_code_to(house, his)
    house.operator.away = True
    try:
        named = ProveIdentity(identifiers=[mail(anna[1])], evidence=Evidence(method="id_document"))
        await desk.prove_identity(request, named, key=key())
        assert not (await desk.check_code(request, CheckCode(code=code), key=key())).proven
    finally:
        house.operator.away = False
    await house.until_state(desk, request, "previewed")
    read = Confirm(preview=(await desk.preview(request)).digest)
    with pytest.raises(AnotherConfirms):
        await desk.confirm(request, read, key=key())


async def test_a_requester_who_is_corrected_in_the_helpdesk_is_sent_the_code_and_what_came_before_proves_nothing(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    slip = f"{uuid4().hex}@epost.example"
    house.operator.person(("billing", Row("customer", "2")), email=slip)
    system, ticket = house.ticket_system(tenant), PostTicket(ticket=key(), kind=Kind.access, identifiers=[mail(slip)])
    request = (await system.post_ticket(ticket, key=key())).request
    await system.code(request, AskCode(contact=mail(slip)), key=key())
    code = await a_code_to(house, slip)
    corrected = ticket.model_copy(update={"identifiers": [mail(anna[1])]})
    assert (await system.post_ticket(corrected, key=key())).request == request
    assert not (await system.check_code(request, CheckCode(code=code), key=key())).proven
    await system.code(request, AskCode(contact=mail(anna[1])), key=key())
    checked = await system.check_code(request, CheckCode(code=await a_code_to(house, anna[1])), key=key())
    assert checked.proven
    assert (await house.until_state(system, request, "awaiting_passphrase")).principal == anna[0]
    assert "request.named_anew" in await house.events(request)


async def test_of_many_who_try_a_code_at_once_three_are_heard(house: House, tenant: UUID, anna: tuple[UUID, str]):
    _, address = anna
    system, request = house.ticket_system(tenant), await a_ticket(house, tenant, mail(address))
    await system.code(request, AskCode(contact=mail(address)), key=key())
    await a_code_to(house, address)
    tries = [system.check_code(request, CheckCode(code=f"{n:06}"), key=key()) for n in range(20)]
    await gather(*tries)
    [code] = await house.rows("SELECT tries_left FROM rights.one_time_code WHERE request = $1", request)
    assert code["tries_left"] == 0


async def test_only_so_many_codes_a_day_go_to_one_contact_whatever_request_they_are_for(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    _, address = anna
    system = house.ticket_system(tenant)
    for spelled in (address, address.upper(), address, address, address):
        request = await a_ticket(house, tenant, mail(address))
        await system.code(request, AskCode(contact=mail(spelled)), key=key())
    request = await a_ticket(house, tenant, mail(address))
    with pytest.raises(TooMany):
        await system.code(request, AskCode(contact=mail(address)), key=key())


async def test_with_tickets_in_her_name_strangers_use_up_no_code_that_staff_send_to_whom_they_speak_with(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    system, desk, wish = house.ticket_system(tenant), house.helpdesk(tenant), AskCode(contact=mail(anna[1]))
    for _ in range(5):
        await system.code(await a_ticket(house, tenant, mail(anna[1])), wish, key=key())
    request = await a_ticket(house, tenant, mail(anna[1]))
    with pytest.raises(TooMany):
        await system.code(request, wish, key=key())
    for _ in range(5):
        await desk.code(request, wish, key=key())
    with pytest.raises(TooMany):
        await desk.code(await a_ticket(house, tenant, mail(anna[1])), wish, key=key())


async def test_nobody_who_is_logged_in_uses_up_the_codes_of_somebody_else_s_address(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    """Her own request waits for a reply, as a request waits for which codes may be asked."""
    erik = house.person(house.operator.person(), tenant)
    asked = await erik.open(OpenRequest(kind=Kind.deletion), key=key())
    await house.until_state(erik, asked.request, "previewed")
    question = Ask(about="clarification", text=Text(sv="Vilket ärende?", en="Which case?"))
    await house.helpdesk(tenant).question(asked.request, question, key=key())
    with pytest.raises(Forbidden):
        await erik.code(asked.request, AskCode(contact=mail(anna[1])), key=key())
    assert not await house.rows("SELECT 1 FROM rights.one_time_code WHERE request = $1", asked.request)


async def test_of_many_who_ask_for_codes_to_one_contact_at_once_as_many_are_heard_as_in_a_row(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    requests = [await a_ticket(house, tenant, mail(anna[1])) for _ in range(10)]
    system = house.ticket_system(tenant)
    asked = (system.code(request, AskCode(contact=mail(anna[1])), key=key()) for request in requests)
    heard = await gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, TooMany) for each in heard) == 5


async def test_a_number_given_on_to_somebody_else_proves_nothing_about_its_former_user(house: House, tenant: UUID):
    number = "46701740690"
    house.operator.person(customer="K1000016", msisdn=number)
    house.operator.person(customer="K1000017", msisdn=number)
    before = len(house.operator.texts)
    petra = Identifier(type=IdentifierType.customer, value="K1000016")
    request = await a_ticket(house, tenant, petra)
    await house.ticket_system(tenant).code(request, AskCode(contact=phone(number)), key=key())
    other = await a_ticket(house, tenant, phone(number))
    await house.ticket_system(tenant).code(other, AskCode(contact=phone(number)), key=key())

    async def sent() -> int:
        return len(house.operator.texts) - before

    assert await house.seen(sent, bool) == 1, "only to whom the number belongs now"


def test_a_code_is_sent_to_whom_a_contact_belongs_now_and_not_to_whom_it_once_did():
    """By the time in which it was hers its former owner would be found, and who has the number now would read the code."""
    once = {"type": "msisdn", "value": NUMBER, "from": "2025-03-01T00:00:00Z"}
    for contact in (once, {**once, "from": None, "to": "2025-09-01T00:00:00Z"}):
        with pytest.raises(ValidationError, match="belongs now"):
            AskCode.model_validate_json(json.dumps({"contact": contact}))


async def test_what_was_named_beside_a_proven_contact_is_not_on_file_for_who_proved_it(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    """It may be anybody's; she would be given what is kept of them, and they would prove that they are she."""
    principal, address = anna
    other = f"{uuid4().hex}@epost.example"
    system, request = house.ticket_system(tenant), await a_ticket(house, tenant, mail(other), mail(address))
    await system.code(request, AskCode(contact=mail(address)), key=key())
    code = await a_code_to(house, address)
    assert (await system.check_code(request, CheckCode(code=code), key=key())).proven
    seen = await house.until_state(system, request, "awaiting_passphrase")
    assert seen.principal == principal and ("email", other) not in house.operator.people
    letters = await house.seen(
        lambda: house.rows("SELECT state FROM rights.letter WHERE request = $1", request),
        lambda seen: seen and seen[0]["state"] != "queued",
    )
    assert [each["state"] for each in letters] == ["kept"] and not house.mailbox.texts(other)


async def test_who_was_forgotten_while_a_code_was_on_its_way_is_asked_again(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    system, request = house.ticket_system(tenant), await a_ticket(house, tenant, mail(anna[1]))
    await system.code(request, AskCode(contact=mail(anna[1])), key=key())
    code = await a_code_to(house, anna[1])
    del house.operator.people[("email", anna[1])]
    assert (await system.check_code(request, CheckCode(code=code), key=key())).proven
    await house.until_state(system, request, "clarification")


async def test_a_code_reaches_who_asked_for_it_once_the_mail_server_is_back(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    system, request = house.ticket_system(tenant), await a_ticket(house, tenant, mail(anna[1]))
    refusals = house.mailbox.refused
    house.mailbox.answer = "450 Later"
    try:
        await system.code(request, AskCode(contact=mail(anna[1])), key=key())
        await house.seen(lambda: count(house), lambda seen: seen > refusals)
    finally:
        house.mailbox.answer = "250 OK"
    code = await a_code_to(house, anna[1])
    assert (await system.check_code(request, CheckCode(code=code), key=key())).proven


async def count(house: House) -> int:
    return house.mailbox.refused


async def test_codes_stand_nowhere_in_the_clear(house: House, tenant: UUID, anna: tuple[UUID, str]):
    _, address = anna
    request = await a_ticket(house, tenant, mail(address))
    await house.ticket_system(tenant).code(request, AskCode(contact=mail(address)), key=key())
    code = await a_code_to(house, address)
    [row] = await house.rows("SELECT * FROM rights.one_time_code WHERE request = $1", request)
    stored = b"".join(bytes(value) for value in row.values() if isinstance(value, bytes))
    assert code.encode() not in stored and address.encode() not in stored


async def test_of_a_code_nothing_is_left_the_day_after_it_was_asked_for(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    request = await a_ticket(house, tenant, mail(anna[1]))
    await house.ticket_system(tenant).code(request, AskCode(contact=mail(anna[1])), key=key())
    held = "SELECT FROM rights.one_time_code WHERE request = $1"
    assert await house.rows(held, request)
    house.later(days=1, minutes=1)
    await house.seen(lambda: house.rows(held, request), lambda codes: codes == [])


# --- logins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acr", "enough"),
    [("password", False), (None, False), ("made-up", False), ("http://id.elegnamnden.se/loa/1.0/loa3", True)],
)
def test_a_right_that_asks_for_an_electronic_identity_gets_one(acr: str | None, enough: bool):
    rights = [right.model_copy(update={"assurance": 3}) if right.key == "access" else right for right in BOOK.rights]
    strict = BOOK.model_copy(update={"rights": tuple(rights)})
    if enough:
        proof.must_be_assured(strict, "access", acr)
    else:
        with pytest.raises(StepUpNeeded):
            proof.must_be_assured(strict, "access", acr)


@pytest.mark.parametrize("bent", [{"auth_time": int(time.time()) - 4_000}, {"auth_time": None}])
async def test_a_login_of_hours_ago_opens_no_package(
    house: House, tenant: UUID, anna: tuple[UUID, str], bent: dict[str, Any]
):
    person, stale = house.person(anna[0], tenant), house.person(anna[0], tenant, **bent)
    asked = await stale.open(OpenRequest(kind=Kind.access), key=key())
    await house.until_state(person, asked.request, "awaiting_passphrase")
    with pytest.raises(StepUpNeeded) as refused:
        await stale.set_passphrase(asked.request, SetPassphrase(passphrase="en hemlig mening"), key=key())
    assert refused.value.extra["max_age"] == 3600
    await person.set_passphrase(asked.request, SetPassphrase(passphrase="en hemlig mening"), key=key())


@pytest.mark.parametrize(("acr", "enough"), [("password", False), ("http://eidas.europa.eu/LoA/high", True)])
def test_a_login_that_is_too_weak_to_ask_locks_and_opens_nothing_that_was_asked_for_otherwise(acr: str, enough: bool):
    rights = [right.model_copy(update={"assurance": 3}) if right.key == "access" else right for right in BOOK.rights]
    office = SimpleNamespace(book=BOOK.model_copy(update={"rights": tuple(rights)}))
    caller = SimpleNamespace(principal=uuid4(), acr=acr, auth_time=time.time())
    row = SimpleNamespace(kind="access")
    if enough:
        asking.must_be_sure(office, caller, row)
    else:
        with pytest.raises(StepUpNeeded):
            asking.must_be_sure(office, caller, row)


async def test_a_login_of_hours_ago_erases_nothing_at_once(house: House, tenant: UUID):
    anna = house.operator.person(("recordings", Row("recording", "r-1")))
    wish = OpenRequest(kind=Kind.deletion, scope=Scope(recording="r-1"))
    with pytest.raises(StepUpNeeded):
        await house.person(anna, tenant, auth_time=int(time.time()) - 4_000).open(wish, key=key())
    assert house.operator.held(anna, "recordings")


async def test_a_refused_login_says_how_to_go_on_in_its_header(house: House, tenant: UUID, anna: tuple[UUID, str]):
    stale = house.person(anna[0], tenant, auth_time=0)
    asked = await stale.open(OpenRequest(kind=Kind.access, passphrase="en hemlig mening"), key=key())
    await house.until_state(house.person(anna[0], tenant), asked.request, "answered")
    token = await stale.tokens.token("rights")
    answer: httpx2.Response = await house.http.get(
        f"{house.url}/v1/requests/{asked.request}/package", headers={"authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401
    assert "insufficient_user_authentication" in answer.headers["www-authenticate"]


# --- acting for somebody ----------------------------------------------------------------------------------------------


async def mandated(house: House, tenant: UUID, principal: UUID, agent: UUID, **more: Any) -> UUID:
    wish = RecordMandate(
        principal=principal, agent=agent, kinds=[Kind.access], evidence=Evidence(method="id_document"), **more
    )
    return (await house.mandate(tenant, wish)).mandate


async def test_an_agent_with_a_mandate_asks_and_reads_until_it_ends(house: House, tenant: UUID, anna: tuple[UUID, str]):
    erik, wish = house.operator.person(), OpenRequest(kind=Kind.access, principal=anna[0])
    agent = house.person(erik, tenant)
    with pytest.raises(NotFound):
        await agent.open(wish, key=key())
    mandate = await mandated(house, tenant, anna[0], erik)
    asked = await agent.open(wish, key=key())
    assert (asked.principal, asked.agent) == (anna[0], erik)
    assert asked.request in {each.request for each in (await agent.requests()).items}
    with pytest.raises(NotFound):
        await agent.open(OpenRequest(kind=Kind.deletion, principal=anna[0]), key=key())
    await house.helpdesk(tenant).revoke_mandate(mandate, key=key())
    with pytest.raises(RequestUnknown):
        await agent.request(asked.request)
    assert not (await agent.requests()).items, "nor does her list tell more"
    assert (await house.person(anna[0], tenant).request(asked.request)).agent == erik, "the person sees who asked"


async def test_nobody_acts_for_another_before_a_second_of_the_staff_has_looked_at_the_papers(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    erik, wish = house.operator.person(), OpenRequest(kind=Kind.deletion, principal=anna[0])
    hilda, hugo, agent = house.helpdesk(tenant), house.helpdesk(tenant, "hugo"), house.person(erik, tenant)
    mandate = acting("estate", principal=anna[0], agent=erik, kinds=[Kind.deletion])
    recorded, seen = await hilda.record_mandate(mandate, key=key()), ConfirmMandate(papers=mandate.papers)
    assert recorded.waiting and [recorded.mandate] == [one.mandate for one in (await hugo.waiting_mandates()).items]
    with pytest.raises(AnotherLooks):
        await hilda.confirm_mandate(recorded.mandate, seen, key=key())
    with pytest.raises(MandateRefused) as refused:
        await hugo.confirm_mandate(recorded.mandate, ConfirmMandate(papers=["death_certificate"]), key=key())
    assert refused.value.body()["papers"] == ["estate_inventory"]
    with pytest.raises(NotFound):
        await agent.open(wish, key=key())
    with pytest.raises(MandateUnknown):
        await house.helpdesk(uuid4(), "hugo").confirm_mandate(recorded.mandate, seen, key=key())
    for one in (hugo, hugo, hilda):
        confirmed = await one.confirm_mandate(recorded.mandate, seen, key=key())
        assert (confirmed.waiting, confirmed.vouched_by, confirmed.confirmed_by) == (False, "hilda", "hugo")
    assert (await agent.open(wish, key=key())).agent == erik
    assert (await hugo.waiting_mandates()).items == []
    assert await told_of_mandates(house, anna[0]) == [("recorded", "hilda", True), ("confirmed", "hugo", False)]


async def test_a_mandate_that_ended_before_a_second_looked_at_it_never_counts(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    hilda, hugo, today = house.helpdesk(tenant), house.helpdesk(tenant, "hugo"), house.now().date()
    long_over = acting("authorised", principal=anna[0], valid_from=today - timedelta(9), valid_to=today - timedelta(3))
    for wish in (acting("authorised", principal=anna[0]), long_over):
        recorded = await hilda.record_mandate(wish, key=key())
        if wish is not long_over:
            await hilda.revoke_mandate(recorded.mandate, key=key())
        with pytest.raises(MandateRefused):
            await hugo.confirm_mandate(recorded.mandate, ConfirmMandate(), key=key())
    assert (await hugo.waiting_mandates()).items == [], "and nobody is asked to"


async def test_a_house_with_a_helpdesk_of_one_lets_a_mandate_count_at_once(
    house: House, tenant: UUID, anna: tuple[UUID, str], monkeypatch: pytest.MonkeyPatch
):
    by_one = tuple(row.model_copy(update={"confirmed_by": "person"}) for row in BOOK.representations)
    book, erik = BOOK.model_copy(update={"representations": by_one}), house.operator.person()
    monkeypatch.setattr(Office, "book", property(lambda _: book))
    wish = acting("authorised", principal=anna[0], agent=erik)
    assert not (await house.helpdesk(tenant).record_mandate(wish, key=key())).waiting
    assert (await house.person(erik, tenant).open(OpenRequest(kind=Kind.access, principal=anna[0]), key=key())).agent


async def told_of_mandates(house: House, principal: UUID) -> list[tuple[str, str, bool]]:
    """What the ledger says of mandates for somebody: what was done, by whom, and whether they wait."""
    query = "SELECT type, body FROM rights.event WHERE type LIKE 'mandate.%' AND subject = $1 ORDER BY seq"
    said = [(row["type"], orjson.loads(row["body"])["data"]) for row in await house.rows(query, principal)]
    return [(type.removeprefix("mandate."), data["by"], data["waiting"]) for type, data in said]


async def test_who_acts_for_somebody_does_not_learn_that_her_identity_is_protected(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    erik = house.operator.person()
    await mandated(house, tenant, anna[0], erik)
    agent, said = house.person(erik, tenant), []
    for protected in (False, True):
        await house.helpdesk(tenant).protect(anna[0], ProtectPerson(protected=protected), key=key())
        wish = OpenRequest(kind=Kind.access, principal=anna[0])
        asked = await agent.open(wish, key=key())
        seen = await house.until_state(agent, asked.request, "awaiting_passphrase")
        with pytest.raises(Forbidden) as opened:
            await agent.open(wish.model_copy(update={"by_post": True}), key=key())
        with pytest.raises(Forbidden) as instead:
            await agent.on_paper(asked.request, key=key())
        said.append((opened.value.body(), instead.value.body(), seen.by_post, seen.model_dump().keys()))
        await agent.withdraw(asked.request, key=key())
    assert said[0] == said[1]


async def test_whose_package_opens_by_others_words_gets_one_of_her_own(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    """Whoever acts for her locks it with words of his: hers would be answered by a file that she cannot open, and an estate's by one that
    only the deceased could."""
    erik = house.operator.person()
    await mandated(house, tenant, anna[0], erik)
    his, hers = house.person(erik, tenant), house.person(anna[0], tenant)
    for first, second in ((his, hers), (hers, his)):
        asked = []
        for one in (first, second, second):
            asked.append(await one.open(OpenRequest(kind=Kind.access, principal=anna[0]), key=key()))
            await house.until_state(one, asked[-1].request, "awaiting_passphrase", "duplicate")
        states = [(await hers.request(each.request)).state for each in asked]
        assert states == ["awaiting_passphrase", "awaiting_passphrase", "duplicate"]
        for one, each in ((first, asked[0]), (second, asked[1])):
            await one.withdraw(each.request, key=key())


async def test_a_mandate_begins_with_the_day_where_the_operator_is(house: House, tenant: UUID, anna: tuple[UUID, str]):
    """Half past eleven in the evening in UTC is the next day there."""
    half_past = house.now().replace(hour=23, minute=30)
    house.later(seconds=(half_past - house.now()).total_seconds() % 86_400)
    erik = house.operator.person()
    await mandated(house, tenant, anna[0], erik)
    agent = house.person(erik, tenant)
    asked = await agent.open(OpenRequest(kind=Kind.access, principal=anna[0]), key=key())
    assert (await agent.request(asked.request)).agent == erik


async def test_a_mandate_of_last_year_counts_no_more(house: House, tenant: UUID, anna: tuple[UUID, str]):
    erik, today = house.operator.person(), house.now().date()
    await mandated(
        house, tenant, anna[0], erik, valid_from=today - timedelta(days=365), valid_to=today + timedelta(days=1)
    )
    house.later(days=35)
    with pytest.raises(NotFound):
        await house.person(erik, tenant).open(OpenRequest(kind=Kind.access, principal=anna[0]), key=key())


SEEN = {"guardian": ["population_register"], "estate": ["death_certificate", "estate_inventory"], "authorised": []}


def acting(basis: str, **more: Any) -> RecordMandate:
    said = {"principal": uuid4(), "agent": uuid4(), "kinds": [Kind.access], "papers": SEEN[basis]} | more
    return RecordMandate(basis=basis, evidence=Evidence(method="id_document"), **said)


@pytest.mark.parametrize(
    ("wish", "last"),
    [
        (acting("authorised"), None),
        (acting("estate"), None),
        (acting("estate", valid_to=date(2027, 6, 1)), date(2027, 6, 1)),
        (acting("guardian", born=date(2014, 3, 5)), date(2029, 3, 4)),
        (acting("guardian", born=date(2014, 3, 5), agreed=True), date(2032, 3, 4)),
        (acting("guardian", born=date(2014, 3, 5), valid_to=date(2027, 6, 1)), date(2027, 6, 1)),
        (acting("guardian", born=date(2014, 3, 5), valid_to=date(2040, 1, 1)), date(2029, 3, 4)),
        (acting("guardian", born=date(2012, 1, 16)), date(2027, 1, 15)),
        (acting("guardian", born=date(2012, 2, 29)), date(2027, 2, 27)),
        (acting("guardian", born=date(2010, 1, 1), agreed=True), date(2027, 12, 31)),
    ],
)
def test_the_book_says_until_when_somebody_acts_for_another(wish: RecordMandate, last: date | None):
    assert proof.last_day_of(BOOK, wish, date(2027, 1, 15)) == last


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (acting("guardian", born=date(2014, 3, 5), papers=[]), {"papers": ["population_register"]}),
        (acting("estate", papers=["death_certificate"]), {"papers": ["estate_inventory"]}),
        (
            acting("estate", kinds=[Kind.access, Kind.objection]),
            {"rights": ["access", "complaint", "correction", "damages", "deletion"]},
        ),
        (acting("guardian", born=date(2012, 1, 15)), {}),
        (acting("guardian", born=date(2009, 1, 15), agreed=True), {}),
        (acting("guardian", born=date(2027, 1, 16)), {}),
        (acting("guardian", born=date(9999, 12, 31)), {}),
        (acting("guardian", born=date(9990, 1, 1), valid_from=date(9999, 1, 1)), {}),
        (acting("guardian", born=date(2013, 1, 15), valid_from=date(2028, 1, 15)), {}),
    ],
    ids=[
        "no paper",
        "one of two",
        "not in this right",
        "15 today and not asked",
        "18 today",
        "born tomorrow",
        "born on the last day there is",
        "born in eight thousand years, and a child then",
        "15 then",
    ],
)
def test_whom_the_book_does_not_let_act_is_refused_and_told_why(wish: RecordMandate, told: dict[str, Any]):
    with pytest.raises(MandateRefused) as refused:
        proof.last_day_of(BOOK, wish, date(2027, 1, 15))
    assert refused.value.extra == told and refused.value.detail
    with pytest.raises(MandateRefused):
        proof.last_day_of(BOOK.model_copy(update={"representations": ()}), wish, date(2027, 1, 15))


@pytest.mark.parametrize(
    "bent",
    [
        {"basis": "guardian"},
        {"born": date(2014, 1, 1)},
        {"agreed": True},
        {"basis": "uncle"},
        {"valid_from": date(2027, 2, 2), "valid_to": date(2027, 2, 1)},
    ],
)
def test_a_child_has_a_day_of_birth_and_nobody_else_is_asked_for_one(bent: dict[str, Any]):
    said = {"principal": uuid4(), "agent": uuid4(), "kinds": [Kind.access]}
    with pytest.raises(ValidationError):
        RecordMandate(**said | bent, evidence=Evidence(method="id_document"))


async def test_a_guardian_asks_until_the_child_is_to_be_asked_itself(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    erik, today = house.operator.person(), house.now().date()
    born = today.replace(year=today.year - 15, day=1) + timedelta(days=62)
    child = {"principal": anna[0], "agent": erik, "born": born}
    with pytest.raises(MandateRefused) as refused:
        await house.helpdesk(tenant).record_mandate(acting("guardian", papers=[], **child), key=key())
    assert refused.value.body()["papers"] == ["population_register"]
    mandate = await house.mandate(tenant, acting("guardian", **child))
    assert (mandate.basis, mandate.valid_to) == ("guardian", born.replace(year=born.year + 15) - timedelta(days=1))
    wish = OpenRequest(kind=Kind.access, principal=anna[0])
    asked = await house.person(erik, tenant).open(wish, key=key())
    assert asked.agent == erik
    held = str([dict(row) for row in await house.rows("SELECT * FROM rights.mandate WHERE id = $1", mandate.mandate)])
    assert str(born) not in held, "the day of birth is not kept"
    house.later(days=70)
    with pytest.raises(NotFound):
        await house.person(erik, tenant).open(wish, key=key())
    with pytest.raises(RequestUnknown):
        await house.person(erik, tenant).request(asked.request)
    with pytest.raises(MandateRefused):
        await house.helpdesk(tenant).record_mandate(acting("guardian", **child), key=key())
    agreed = await house.mandate(tenant, acting("guardian", **child, agreed=True))
    assert agreed.valid_to.year == born.year + 18
    assert (await house.person(erik, tenant).request(asked.request)).agent == erik


@pytest.mark.parametrize("first", ["acts", "is a child"])
async def test_who_has_a_guardian_acts_for_nobody(house: House, tenant: UUID, anna: tuple[UUID, str], first: str):
    lisa, wish = house.operator.person(), OpenRequest(kind=Kind.access, principal=anna[0])
    recorded = [acting("authorised", principal=anna[0], agent=lisa), guardian_of(lisa, house.operator.person())]
    for each in recorded if first == "acts" else reversed(recorded):
        mandate = await house.mandate(tenant, each)
        if mandate.basis == "guardian":
            guardian = mandate.mandate
    with pytest.raises(NotFound):
        await house.person(lisa, tenant).open(wish, key=key())
    await house.helpdesk(tenant).revoke_mandate(guardian, key=key())
    assert (await house.person(lisa, tenant).open(wish, key=key())).agent == lisa


def guardian_of(child: UUID, agent: UUID, **more: Any) -> RecordMandate:
    born = date.today() - timedelta(days=9 * 365)
    return acting("guardian", principal=child, agent=agent, kinds=[Kind.access, Kind.withdrawal], born=born, **more)


async def test_consent_is_told_of_a_guardian_proven_here_and_of_the_end(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    erik, today = house.operator.person(), house.now().date()
    helpdesk, known = house.helpdesk(tenant), lambda: house.operator.guardians.get(anna[0], {})

    async def knows(*who: UUID) -> None:
        await house.seen(lambda: asyncio.sleep(0, set(known())), lambda found: found == {str(each) for each in who})

    house.operator.consent_down = True
    wish = guardian_of(anna[0], erik, valid_to=today + timedelta(days=100))
    first = await house.mandate(tenant, wish)
    await asyncio.sleep(0.5)
    assert known() == {}
    house.operator.consent_down = False
    await knows(erik)
    said = known()[str(erik)]
    assert (said["born"], said["until"]) == (str(wish.born), str(wish.valid_to))
    assert said["evidence_ref"] == f"mandate/{first.mandate}"
    stored = "SELECT born FROM rights.mandate WHERE id = $1"
    await house.seen(lambda: house.rows(stored, first.mandate), lambda rows: rows[0]["born"] is None)
    # Proven again: the older one's end is none of hers.
    second = await house.mandate(tenant, guardian_of(anna[0], erik))
    await house.seen(lambda: house.rows(stored, second.mandate), lambda rows: rows[0]["born"] is None)
    await helpdesk.revoke_mandate(first.mandate, key=key())
    await asyncio.sleep(1)
    assert set(known()) == {str(erik)}
    await helpdesk.revoke_mandate(second.mandate, key=key())
    await knows()


async def test_consent_hears_of_a_guardian_once_a_second_of_the_staff_has_looked_at_the_papers(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    child, lars = house.operator.person(), house.operator.person()
    helpdesk, wish = house.helpdesk(tenant), guardian_of(anna[0], house.operator.person())
    waiting = await helpdesk.record_mandate(wish, key=key())
    revoked = await helpdesk.record_mandate(guardian_of(child, lars), key=key())
    by_another_proof = {str(lars): {"guardian": str(lars)}}
    house.operator.guardians[child] = dict(by_another_proof)
    await helpdesk.revoke_mandate(revoked.mandate, key=key())
    another = (await house.mandate(tenant, guardian_of(house.operator.person(), lars))).principal
    await house.seen(lambda: asyncio.sleep(0, house.operator.guardians.get(another)), bool)
    assert anna[0] not in house.operator.guardians
    assert house.operator.guardians[child] == by_another_proof, "of whom it heard nothing from here, nothing has ended"
    query = "SELECT agent, born IS NULL AS forgotten FROM rights.mandate WHERE principal = ANY ($1)"
    held = {row["agent"]: row["forgotten"] for row in await house.rows(query, [anna[0], child])}
    assert held == {wish.agent: False, lars: True}
    seen = ConfirmMandate(papers=wish.papers)
    await house.helpdesk(tenant, "hugo").confirm_mandate(waiting.mandate, seen, key=key())
    await house.seen(lambda: asyncio.sleep(0, house.operator.guardians.get(anna[0])), bool)
    assert house.operator.guardians[anna[0]][str(wish.agent)]["born"] == str(wish.born)


async def test_consent_is_told_only_of_whom_the_book_lets_speak_and_only_from_the_day_on(
    house: House, tenant: UUID, anna: tuple[UUID, str], monkeypatch: pytest.MonkeyPatch
):
    in_two_days = house.now().date() + timedelta(days=2)
    only_access = guardian_of(anna[0], house.operator.person()).model_copy(update={"kinds": [Kind.access]})
    later = guardian_of(anna[0], house.operator.person(), valid_from=in_two_days)
    # A timer goes by the clock on the wall, and comes before the day does.
    monkeypatch.setattr(proving, "_until_day", lambda day, office: timedelta(seconds=0.2))
    by_another_proof = {str(later.agent): {"guardian": str(later.agent)}}
    house.operator.guardians[anna[0]] = dict(by_another_proof)
    written = BOOK.model_dump(mode="json")
    written["representations"] = [row | {"known_to_consent": False} for row in written["representations"]]
    # First, so that no timer of the others comes while that book is in force.
    with monkeypatch.context() as apart:
        book = PolicyBook.model_validate(written, strict=False)
        apart.setattr(Office, "book", property(lambda _: book))
        await house.mandate(tenant, guardian_of(anna[0], house.operator.person()))
    for wish in (only_access, later):
        await house.mandate(tenant, wish)
    await asyncio.sleep(1)
    assert house.operator.guardians[anna[0]] == by_another_proof
    house.later(days=3)
    await house.seen(
        lambda: asyncio.sleep(0, house.operator.guardians[anna[0]]), lambda known: "born" in known[str(later.agent)]
    )


async def test_a_consent_service_that_came_back_from_a_backup_is_told_again_of_every_guardian_and_of_every_end(
    house: House, tenant: UUID
):
    helpdesk, wards = house.helpdesk(tenant), [house.operator.person() for _ in range(6)]
    of_two, of_staff, of_one_who_ended, of_nobody, of_age, not_yet = wards
    erik, eva, lars, ines = (house.operator.person() for _ in range(4))

    async def told(about: dict[UUID, set[UUID]]) -> None:
        await house.seen(
            lambda: asyncio.sleep(0, {child: set(house.operator.guardians.get(child, {})) for child in about}),
            lambda found: found == {child: {str(each) for each in who} for child, who in about.items()},
        )

    stored = "SELECT born FROM rights.mandate WHERE id = $1"
    ended = await house.mandate(tenant, guardian_of(of_one_who_ended, lars))
    ended_long_ago = await house.mandate(tenant, guardian_of(of_nobody, lars))
    for child, who in ((of_two, erik), (of_two, eva), (of_age, ines)):
        mandate = await house.mandate(tenant, guardian_of(child, who))
        await house.seen(lambda one=mandate: house.rows(stored, one.mandate), lambda rows: rows[0]["born"] is None)
    for one in (ended, ended_long_ago):
        await helpdesk.revoke_mandate(one.mandate, key=key())
    house.operator.consent_told("guardian.set", of_staff, tenant, {"guardian": str(lars)})
    house.operator.consent_told("guardian.set", not_yet, tenant, {"guardian": str(lars), "by": "hilda"})
    for who in (erik, eva):
        await helpdesk.record_mandate(guardian_of(not_yet, who), key=key())
    over = {"guardian": str(ines), "why": "of_age"}
    house.operator.consent_told("guardian.ended", of_age, tenant, over, house.now())
    by_consent = "SELECT id FROM rights.mandate WHERE principal = $1 AND revoked_at IS NULL"
    [here] = await house.seen(lambda: house.rows(by_consent, of_staff), bool)
    for name in ("hilda", "hugo"):
        seen = ConfirmMandate(papers=["population_register"])
        await house.helpdesk(tenant, name).confirm_mandate(here["id"], seen, key=key())
    marked = "SELECT FROM rights.mandate WHERE principal = $1 AND of_age"
    await house.seen(lambda: house.rows(marked, of_age), bool)
    await told({of_two: {erik, eva}, of_one_who_ended: set(), of_nobody: set()})
    # As a backup has it: of two nobody knows one, and of two who ended one speaks, and the other is known no more.
    house.operator.guardians = {of_two: {str(eva): {"born": "2020-01-01"}}, of_one_who_ended: {str(lars): {}}}
    house.operator.guardians[not_yet] = {str(eva): {}}
    house.operator.restored = True
    await told({of_two: {erik, eva}, of_staff: {lars}, of_one_who_ended: set(), of_age: set()})
    await asyncio.sleep(1)
    assert not house.operator.guardians.get(of_age), "who consents for herself is no child again"
    assert house.operator.guardians[of_two][str(erik)]["born"] is None, "which is not kept here"
    left = "SELECT FROM rights.pgqueuer WHERE entrypoint LIKE 'rights.guardian%' AND headers->>'tenant' = $1"
    await house.seen(lambda: house.rows(left, str(tenant)), lambda jobs: jobs == [])
    assert house.operator.guardians[not_yet] == {str(eva): {}}, "what waits here for another of the staff is not told"


async def test_what_was_recorded_here_is_not_widened_by_consent_nor_opened_after_its_end(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    """What consent says of a guardian comes back by its feed, late, and again when the feed is heard anew."""
    erik, helpdesk = house.operator.person(), house.helpdesk(tenant)
    mandate = await house.mandate(tenant, guardian_of(anna[0], erik))
    said = {"guardian": str(erik)}

    async def mandates(count: int) -> list[dict[str, Any]]:
        """Once what was told is heard."""
        eva = house.operator.person()
        house.operator.consent_told("guardian.set", anna[0], tenant, {"guardian": str(eva)}, house.now())
        asked = {"query": {"principal": str(anna[0])}, "tenant": tenant}
        items = (
            await house.seen(
                lambda: helpdesk.call("GET", "/v1/mandates", **asked),
                lambda found: any(one["agent"] == str(eva) for one in found["items"]),
            )
        )["items"]
        assert sum(one["agent"] == str(erik) for one in items) == count
        return [one for one in items if one["agent"] == str(erik)]

    told_at = house.now()
    house.operator.consent_told("guardian.set", anna[0], tenant, said, told_at)
    [one] = await mandates(1)
    assert one["kinds"] == ["access", "withdrawal"]
    long_ago = told_at - timedelta(days=100)
    house.operator.consent_told("guardian.ended", anna[0], tenant, said | {"why": "revoked"}, long_ago)
    [one] = await mandates(1)
    assert one["revoked_at"] is None, "an end from before it was proven, heard once more"
    house.operator.consent_told("guardian.ended", anna[0], tenant, said | {"why": "of_age"}, house.now())
    [one] = await mandates(1)
    assert one["revoked_at"] is None, "of age for consent is not of age for what was proven here"
    await helpdesk.revoke_mandate(mandate.mandate, key=key())
    house.operator.consent_told("guardian.set", anna[0], tenant, said, told_at)
    [one] = await mandates(1)
    assert one["revoked_at"]
    house.operator.consent_told("guardian.set", anna[0], tenant, said, house.now() + timedelta(seconds=1))
    assert {bool(each["revoked_at"]) for each in await mandates(2)} == {True, False}, "proven anew, there"


async def test_a_guardian_whom_consent_knows_acts_here_too_until_consent_knows_them_no_more(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    erik, eva = house.operator.person(), house.operator.person()

    async def may(who: UUID) -> bool:
        try:
            await house.person(who, tenant).open(OpenRequest(kind=Kind.access, principal=anna[0]), key=key())
        except NotFound:
            return False
        return True

    hugo, seen = house.helpdesk(tenant, "hugo"), ConfirmMandate(papers=["population_register"])
    for guardian in (erik, eva):
        for said in (erik, guardian):
            told = {"guardian": str(said), "by": "pontus"}
            house.operator.consent_told("guardian.set", anna[0], tenant, told)
        [one] = (await house.seen(hugo.waiting_mandates, lambda found: found.items)).items
        with pytest.raises(AnotherLooks):
            await house.officer(tenant).confirm_mandate(one.mandate, seen, key=key())
        assert not await may(guardian)
        await hugo.confirm_mandate(one.mandate, seen, key=key())
        assert await may(guardian)
    house.operator.consent_told("guardian.ended", anna[0], tenant, {"guardian": str(erik)})
    await house.seen(lambda: may(erik), lambda may: not may)
    assert await may(eva), "the other parent goes on"
    mandates = await house.helpdesk(tenant).call(
        "GET", "/v1/mandates", query={"principal": str(anna[0])}, tenant=tenant
    )
    assert {(one["agent"], one["basis"], one["recorded_by"], bool(one["revoked_at"])) for one in mandates["items"]} == {
        (str(erik), "guardian", "consent", True),
        (str(eva), "guardian", "consent", False),
    }
    assert len(mandates["items"]) == 2, "told again, it is the same"
    house.operator.consent_told("guardian.ended", anna[0], tenant, {"guardian": str(eva)})
    await house.seen(lambda: may(eva), lambda may: not may)


async def test_of_a_guardian_at_consent_whom_nobody_vouches_for_by_name_two_of_the_staff_see_the_papers(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    erik, hilda, seen = house.operator.person(), house.helpdesk(tenant), ConfirmMandate(papers=["population_register"])
    house.operator.consent_told("guardian.set", anna[0], tenant, {"guardian": str(erik)})
    [one] = (await house.seen(hilda.waiting_mandates, lambda found: found.items)).items
    assert (await hilda.confirm_mandate(one.mandate, seen, key=key())).waiting
    with pytest.raises(AnotherLooks):
        await hilda.confirm_mandate(one.mandate, seen, key=key())
    assert not (await house.helpdesk(tenant, "hugo").confirm_mandate(one.mandate, seen, key=key())).waiting
    said = await told_of_mandates(house, anna[0])
    assert said == [("recorded", "consent", True), ("vouched", "hilda", True), ("confirmed", "hugo", False)]
    known = await house.seen(lambda: asyncio.sleep(0, house.operator.guardians.get(anna[0])), bool)
    assert known[str(erik)]["born"] is None, "who waited there as well, with the day that consent has"


async def test_who_is_refused_here_ends_at_consent_as_well(house: House, tenant: UUID, anna: tuple[UUID, str]):
    erik, hugo = str(house.operator.person()), house.helpdesk(tenant, "hugo")
    house.operator.guardians[anna[0]] = {erik: {"guardian": erik}}
    house.operator.consent_told("guardian.set", anna[0], tenant, {"guardian": erik, "by": "pontus"})
    [one] = (await house.seen(hugo.waiting_mandates, lambda found: found.items)).items
    await hugo.revoke_mandate(one.mandate, key=key())
    await house.seen(lambda: asyncio.sleep(0, house.operator.guardians[anna[0]]), lambda known: not known)


@pytest.mark.parametrize("kind", [Kind.access, Kind.deletion])
async def test_whom_staff_name_and_nobody_knows_is_asked_about_again(
    house: House, tenant: UUID, anna: tuple[UUID, str], kind: Kind
):
    """Its steps would try for ever."""
    house.operator.unknown.add(stranger := uuid4())
    desk, evidence = house.helpdesk(tenant), Evidence(method="call_back")
    wish = OpenRequest(kind=kind, channel=Channel.telephone, principal=stranger, evidence=evidence)
    asked = await desk.open(wish, key=key())
    seen = await house.until_state(desk, asked.request, "clarification")
    assert seen.principal is None and {step.problem for step in seen.steps} <= {None, "anonymizer.principal_unknown"}
    assert "request.clarification_needed" in await house.events(asked.request)
    proven = ProveIdentity(identifiers=[mail(anna[1])], evidence=evidence)
    await desk.prove_identity(asked.request, proven, key=key())
    seen = await house.until_state(desk, asked.request, "awaiting_passphrase", "previewed")
    assert seen.principal == anna[0] and {step.state for step in seen.steps} <= {"done", "deferred"}
    assert house.operator.held(anna[0], "billing")


async def test_whom_staff_name_and_we_forgot_is_answered_that_nothing_is_there(house: House, tenant: UUID):
    anna = house.operator.person(("billing", Row("customer", "1")))
    person = house.person(anna, tenant)
    asked = await house.confirmed(person)
    house.later(hours=73)
    await house.until(person, asked.request, lambda seen: any(step.verb == "forget" for step in seen.steps))
    await house.until(person, asked.request, lambda seen: all(step.state == "done" for step in seen.steps))
    house.operator.unknown.add(anna)
    desk, evidence = house.helpdesk(tenant), Evidence(method="call_back")
    wish = OpenRequest(kind=Kind.access, channel=Channel.telephone, principal=anna, evidence=evidence)
    again = await desk.open(wish, key=key())
    seen = await house.until_state(desk, again.request, "awaiting_passphrase")
    assert seen.principal == anna


async def test_identity_proven_for_another_person_stops_the_request(house: House, tenant: UUID, anna: tuple[UUID, str]):
    other = f"{uuid4().hex}@epost.example"
    house.operator.person(email=other)
    both = PostTicket(
        ticket=uuid4().hex,
        kind=Kind.access,
        identifiers=[mail(anna[1]), mail(other)],
        evidence=Evidence(method="call_back"),
    )
    request = (await house.ticket_system(tenant).post_ticket(both, key=key())).request
    seen = await house.until_state(house.helpdesk(tenant), request, "clarification")
    assert not seen.steps and seen.principal is None


async def test_a_protected_identity_is_recorded_and_told_to_nobody_else(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    desk = house.helpdesk(tenant)
    assert (await desk.protect(anna[0], ProtectPerson(protected=True), key=key())).protected
    [row] = await house.rows("SELECT count(*) AS n FROM rights.protected_person WHERE principal = $1", anna[0])
    assert row["n"] == 1
    await desk.protect(anna[0], ProtectPerson(protected=False), key=key())
    [row] = await house.rows("SELECT count(*) AS n FROM rights.protected_person WHERE principal = $1", anna[0])
    assert row["n"] == 0


async def test_the_system_that_passed_a_ticket_on_can_neither_lock_nor_fetch_the_person_s_package(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    _, address = anna
    system, request = house.ticket_system(tenant), await a_ticket(house, tenant, mail(address))
    await system.code(request, AskCode(contact=mail(address)), key=key())
    await system.check_code(request, CheckCode(code=await a_code_to(house, address)), key=key())
    await house.until_state(system, request, "awaiting_passphrase")
    with pytest.raises(Forbidden):
        await system.set_passphrase(request, SetPassphrase(passphrase="en hemlig mening"), key=key())
    with pytest.raises(Forbidden):
        async with system.package(request):
            pass
