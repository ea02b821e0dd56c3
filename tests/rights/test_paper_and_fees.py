"""What goes on paper to the registered address, with its proof; and what an excessive request costs."""

import asyncio
from datetime import date, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from chassis.errors import Invalid
from services.registry.contract import Text
from services.requests.rights.contract import (
    CannotCharge,
    CannotPost,
    Channel,
    Charge,
    Evidence,
    Identifier,
    IdentifierType,
    Kind,
    LetterUnknown,
    NotNow,
    NotYours,
    OpenRequest,
    Paid,
    Post,
    ProtectPerson,
    ReceivedInFuture,
    Refuse,
    Request,
    Review,
)
from tests.rights.conftest import House
from tests.rights.operator import Row
from tests.rights.test_deletion import certified

WORDS = Text(sv="Det är den tolfte begäran i år.", en="It is the twelfth request this year.")
HOME = "Provgatan 1"
FEE = Charge(reason="excessive", fee_ore=25_000, text=WORDS)


def key() -> str:
    return str(uuid4())


def today(house: House) -> date:
    """Where the operator is: in the evening that is another day than in UTC."""
    return house.now().astimezone(ZoneInfo("Europe/Stockholm")).date()


def proof(house: House, **bent: date) -> Post:
    return Post(**{"posted_on": today(house), "evidence_sha256": "ab" * 32, "evidence_at": "parm 7/12"} | bent)


async def by_letter(house: House, tenant: UUID) -> Request:
    """Somebody without a login wrote, and wants it on paper."""
    rows = [("billing", Row("customer", str(n), f"{HOME} nr {n}")) for n in range(300)]
    house.operator.person(*rows, customer=f"K{tenant.int % 10**7:07}")
    wish = OpenRequest(
        kind=Kind.access,
        channel=Channel.letter,
        by_post=True,
        identifiers=[Identifier(type=IdentifierType.customer, value=f"K{tenant.int % 10**7:07}")],
        evidence=Evidence(method="registered_letter"),
    )
    return await house.helpdesk(tenant).open(wish, key=key())


async def test_who_has_no_login_gets_everything_on_paper_and_its_posting_is_proven(house: House, tenant: UUID):
    asked = await by_letter(house, tenant)
    officer = house.officer(tenant)
    await house.until_state(officer, asked.request, "printing")
    folder = house.settings.packages / str(asked.request)
    assert not [path for path in folder.iterdir() if HOME.encode() in path.read_bytes()], "locked until it is printed"
    async with officer.printed(asked.request) as stream:
        page = b"".join([piece async for piece in stream]).decode()
    assert page.count(HOME) == 300, "every row, since nothing else comes with it"
    with pytest.raises(NotYours):
        await house.helpdesk(tenant).posted(asked.request, proof(house), key=key())
    with pytest.raises(ReceivedInFuture):
        await officer.posted(asked.request, proof(house, posted_on=house.now().date() + timedelta(days=2)), key=key())
    closed = await officer.posted(asked.request, proof(house), key=key())
    assert closed.state == "closed" and not folder.exists()
    assert (await officer.answer(asked.request)).posted.evidence_sha256 == "ab" * 32
    said = await certified(house, officer, asked.request)
    assert said["posted"]["by"] == "pontus"
    assert {"request.printing", "request.printed", "request.posted"} <= set(await house.events(asked.request))


async def test_nothing_was_posted_before_it_was_printed(house: House, tenant: UUID):
    """By a slip of one of the staff her package would be gone, and her answer say that it is on its way."""
    asked, officer = await by_letter(house, tenant), house.officer(tenant)
    await house.until_state(officer, asked.request, "printing")
    with pytest.raises(NotNow):
        await officer.posted(asked.request, proof(house), key=key())
    async with officer.printed(asked.request) as stream:
        assert [piece async for piece in stream]
    with pytest.raises(Invalid):
        await officer.posted(asked.request, proof(house, posted_on=today(house) - timedelta(days=1)), key=key())
    assert (await officer.posted(asked.request, proof(house), key=key())).state == "closed"


async def test_who_cannot_choose_a_passphrase_is_told_how_else_and_gets_it_on_paper(house: House, tenant: UUID):
    principal = house.operator.person(("billing", Row("customer", "1", HOME)))
    person, desk = house.person(principal, tenant), house.helpdesk(tenant)
    wish = OpenRequest(
        kind=Kind.access, channel=Channel.telephone, principal=principal, evidence=Evidence(method="call_back")
    )
    asked = await desk.open(wish, key=key())
    waiting = await house.until_state(desk, asked.request, "awaiting_passphrase")
    [letter] = (await person.letters(asked.request)).items
    last = house.now().astimezone(ZoneInfo("Europe/Stockholm")).date() + timedelta(days=14)
    assert letter.template == "passphrase_wanted" and last.isoformat() in letter.body and not waiting.by_post
    await desk.on_paper(asked.request, key=key())
    printing = await house.until_state(desk, asked.request, "printing")
    assert printing.by_post
    with pytest.raises(NotNow):
        await desk.on_paper(asked.request, key=key())


async def test_a_protected_identity_gets_nothing_on_paper_later_either(house: House, tenant: UUID):
    principal = house.operator.person()
    person = house.person(principal, tenant)
    asked = await person.open(OpenRequest(kind=Kind.access), key=key())
    await house.until_state(person, asked.request, "awaiting_passphrase")
    await house.officer(tenant).protect(principal, ProtectPerson(protected=True), key=key())
    with pytest.raises(CannotPost):
        await person.on_paper(asked.request, key=key())


async def test_nothing_is_posted_to_a_protected_identity(house: House, tenant: UUID):
    principal = house.operator.person()
    await house.officer(tenant).protect(principal, ProtectPerson(protected=True), key=key())
    with pytest.raises(CannotPost):
        await house.person(principal, tenant).open(OpenRequest(kind=Kind.access, by_post=True), key=key())
    await house.officer(tenant).protect(principal, ProtectPerson(protected=False), key=key())
    person = house.person(principal, tenant)
    asked = await person.open(OpenRequest(kind=Kind.access, by_post=True), key=key())
    await house.until_state(person, asked.request, "printing")
    await house.officer(tenant).protect(principal, ProtectPerson(protected=True), key=key())
    with pytest.raises(CannotPost):
        await house.officer(tenant).posted(asked.request, proof(house), key=key())


async def charged(house: House, tenant: UUID) -> tuple[UUID, Request]:
    principal = house.operator.person()
    asked = await house.person(principal, tenant).open(OpenRequest(kind=Kind.access), key=key())
    await house.until_state(house.person(principal, tenant), asked.request, "awaiting_passphrase")
    first, second = house.officer(tenant), house.officer(tenant, "vera")
    waiting = await first.charge(asked.request, FEE, key=key())
    assert waiting.state == "deciding"
    [task] = [each for each in (await second.tasks(state="proposed")).items if each.request == asked.request]
    assert (task.verdict, task.fee_ore, task.eyes) == ("charged", 25_000, 2)
    await second.review(task.task, Review(proposal=task.digest, agreed=True), key=key())
    return principal, await first.request(asked.request)


async def test_an_excessive_request_goes_on_once_its_fee_is_paid(house: House, tenant: UUID):
    principal, asked = await charged(house, tenant)
    person = house.person(principal, tenant)
    assert (asked.state, asked.fee_ore, asked.clocks[0].running) == ("awaiting_fee", 25_000, False)
    letter = (await person.letters(asked.request)).items[-1]
    assert (
        letter.template == "fee" and "250,00 kr" in letter.body and "12(5)" in letter.body and "imy.se" in letter.body
    )
    on = await house.officer(tenant).paid(asked.request, Paid(reference="OCR 4711"), key=key())
    assert on.clocks[0].running
    await house.until_state(person, asked.request, "awaiting_passphrase")
    posted = await house.helpdesk(tenant).letter_posted(asked.request, letter.letter, proof(house), key=key())
    assert posted.state == "sent" and posted.posted.evidence_at == "parm 7/12"
    with pytest.raises(NotNow):
        await house.helpdesk(tenant).letter_posted(asked.request, letter.letter, proof(house), key=key())
    with pytest.raises(LetterUnknown):
        await house.helpdesk(tenant).letter_posted(asked.request, uuid4(), proof(house), key=key())


async def test_nobody_pays_twice(house: House, tenant: UUID):
    principal, asked = await charged(house, tenant)
    officer, paid = house.officer(tenant), Paid(reference="OCR 4711")
    paying = await asyncio.gather(
        *(officer.paid(asked.request, paid, key=key()) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(each, NotNow) for each in paying) == 2
    await house.until_state(house.person(principal, tenant), asked.request, "awaiting_passphrase")
    with pytest.raises(CannotCharge):
        await officer.charge(asked.request, FEE, key=key())
    assert (await officer.request(asked.request)).state == "awaiting_passphrase"


async def test_a_fee_that_is_not_paid_in_time_is_a_refusal_with_how_to_complain(house: House, tenant: UUID):
    principal, asked = await charged(house, tenant)
    house.later(days=31)
    person = house.person(principal, tenant)
    await house.until_state(person, asked.request, "answered")
    answer = await person.answer(asked.request)
    assert (answer.outcome, answer.refusal.reason) == ("refused", "fee_unpaid") and "imy.se" in answer.complaint.sv
    assert answer.due_on >= answer.answered_at.date(), "while the fee was awaited the clock stood still"
    reports = (await house.officer(tenant).report(f"{answer.answered_at:%Y-%m}")).kinds
    assert [each.answered_late for each in reports] == [0]


@pytest.mark.parametrize("bent", [{"reason": "data_are_correct"}, {"fee_ore": 50_001}])
async def test_only_an_excessive_request_costs_and_no_more_than_the_book_says(house: House, tenant: UUID, bent: dict):
    principal = house.operator.person()
    asked = await house.person(principal, tenant).open(OpenRequest(kind=Kind.access), key=key())
    with pytest.raises(CannotCharge) as refused:
        await house.officer(tenant).charge(asked.request, FEE.model_copy(update=bent), key=key())
    assert refused.value.body()["most"] == 50_000


async def test_of_two_who_decide_about_it_at_once_one_finds_it_decided(house: House, tenant: UUID):
    """One would refuse, the other take a fee."""
    principal = house.operator.person()
    asked = await house.person(principal, tenant).open(OpenRequest(kind=Kind.access), key=key())
    await house.until_state(house.person(principal, tenant), asked.request, "awaiting_passphrase")
    one, other = house.officer(tenant), house.officer(tenant, "vera")
    await asyncio.gather(
        one.charge(asked.request, FEE, key=key()),
        other.refuse(asked.request, Refuse(reason="excessive", text=WORDS), key=key()),
    )
    tasks = [each for each in (await one.tasks()).items if each.request == asked.request]
    assert sorted(each.state for each in tasks) == ["proposed", "void"], "the later one takes the earlier's place"
