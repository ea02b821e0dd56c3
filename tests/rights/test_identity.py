"""Who asks: codes to contacts on file, logins that are sure and fresh enough, mandates, and nothing told to who probes."""

import re
import time
from asyncio import gather
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from pydantic import ValidationError

from chassis.errors import Forbidden, NotFound, TooMany
from services.anonymizer.contract import Identifier, IdentifierType, Scope
from services.requests.rights.commands import asking
from services.requests.rights.contract import (
    AskCode,
    CheckCode,
    Evidence,
    Kind,
    MandateRefused,
    OpenRequest,
    PostTicket,
    ProtectPerson,
    RecordMandate,
    RequestUnknown,
    SetPassphrase,
    StepUpNeeded,
)
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
    return (await house.helpdesk(tenant).record_mandate(wish, key=key())).mandate


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
        house, tenant, anna[0], erik, valid_from=today - timedelta(days=400), valid_to=today - timedelta(days=35)
    )
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
        (acting("guardian", born=date(2013, 1, 15), valid_from=date(2028, 1, 15)), {}),
    ],
    ids=[
        "no paper",
        "one of two",
        "not in this right",
        "15 today and not asked",
        "18 today",
        "born tomorrow",
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
    mandate = await house.helpdesk(tenant).record_mandate(acting("guardian", **child), key=key())
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
    agreed = await house.helpdesk(tenant).record_mandate(acting("guardian", **child, agreed=True), key=key())
    assert agreed.valid_to.year == born.year + 18
    assert (await house.person(erik, tenant).request(asked.request)).agent == erik


async def test_a_guardian_whom_consent_knows_acts_here_too_until_consent_knows_another_or_none(
    house: House, tenant: UUID, anna: tuple[UUID, str]
):
    erik, eva = house.operator.person(), house.operator.person()

    async def may(who: UUID) -> bool:
        try:
            await house.person(who, tenant).open(OpenRequest(kind=Kind.access, principal=anna[0]), key=key())
        except NotFound:
            return False
        return True

    for guardian in (erik, erik, eva):
        house.operator.consent_told("guardian.set", anna[0], tenant, {"guardian": str(guardian)})
        await house.seen(lambda guardian=guardian: may(guardian), bool)
    assert not await may(erik)
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
