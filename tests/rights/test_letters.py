"""Our letters by mail: to an address that is on file for whoever asks, once, and to nobody else."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from services.anonymizer.contract import Identifier, IdentifierType
from services.registry.contract import Text
from services.requests.rights.client import RightsClient
from services.requests.rights.contract import Ask, Kind, Letter, PostTicket
from tests.rights.conftest import House
from tests.rights.operator import Row

QUESTION = Text(sv="Vilket nummer gäller det?", en="Which number is it about?")


@pytest.fixture
def anna(house: House) -> str:
    address = f"anna.{uuid4().hex}@post.example"
    house.operator.person(("billing", Row("customer", "1")), email=address)
    return address


async def asked(house: House, tenant: UUID, address: str, **more: Any) -> tuple[RightsClient, UUID]:
    """A ticket of which nobody knows yet whether it is hers, and a question that we ask about it."""
    named = [Identifier(type=IdentifierType.email, value=address)]
    wish = PostTicket(**{"ticket": uuid4().hex, "kind": Kind.complaint, "text": "Fel", "identifiers": named} | more)
    request = (await house.ticket_system(tenant).post_ticket(wish, key=str(uuid4()))).request
    helpdesk = house.helpdesk(tenant)
    await helpdesk.question(request, Ask(about="identity", text=QUESTION), key=str(uuid4()))
    return helpdesk, request


async def letter_of(helpdesk: RightsClient, request: UUID) -> Letter:
    [found] = (await helpdesk.letters(request)).items
    return found


async def test_whoever_asked_by_the_helpdesk_is_written_to_at_her_own_address_once(
    house: House, tenant: UUID, anna: str
):
    helpdesk, request = await asked(house, tenant, anna)
    sent = await house.seen(lambda: letter_of(helpdesk, request), lambda letter: letter.state == "sent")
    [text] = house.mailbox.texts(anna)
    assert QUESTION.sv in text and text.split() == sent.body.split() and sent.sent_at
    [envelope] = [each for each in house.mailbox.taken if anna in each.rcpt_tos]
    assert f"<{sent.letter}@".encode() in envelope.content


async def test_an_address_that_is_on_nobody_s_file_gets_no_letter(house: House, tenant: UUID):
    address = f"somebody.{uuid4().hex}@post.example"
    helpdesk, request = await asked(house, tenant, address)
    await house.seen(lambda: letter_of(helpdesk, request), lambda letter: letter.state == "kept")
    assert house.mailbox.texts(address) == []


async def test_an_address_that_was_hers_once_and_is_somebody_else_s_now_gets_no_letter(
    house: House, tenant: UUID, anna: str
):
    """By the time in which it was hers her former address is her own, and who has it now would read the letter."""
    house.operator.formerly["email", anna] = house.operator.person()
    until = {"type": "email", "value": anna, "to": "2026-01-01T00:00:00Z"}
    helpdesk, request = await asked(house, tenant, anna, identifiers=[Identifier.model_validate(until, strict=False)])
    await house.seen(lambda: letter_of(helpdesk, request), lambda letter: letter.state == "kept")
    assert house.mailbox.texts(anna) == []


async def test_a_mail_server_that_is_away_is_seen_in_the_letter_and_gets_it_later(
    house: House, tenant: UUID, anna: str
):
    house.mailbox.answer = "450 Later"
    try:
        helpdesk, request = await asked(house, tenant, anna)
        waits = await house.seen(lambda: letter_of(helpdesk, request), lambda letter: letter.problem is not None)
        assert (waits.state, waits.problem) == ("queued", "mail.away")
    finally:
        house.mailbox.answer = "250 OK"
    await house.seen(lambda: letter_of(helpdesk, request), lambda letter: letter.state == "sent")
    assert len(house.mailbox.texts(anna)) == 1


async def test_a_letter_that_waits_ends_with_its_request(house: House, tenant: UUID, anna: str):
    house.mailbox.answer = "450 Later"
    try:
        helpdesk, request = await asked(house, tenant, anna)
        await house.seen(lambda: letter_of(helpdesk, request), lambda letter: letter.problem is not None)
        await house.ticket_system(tenant).withdraw(request, key=str(uuid4()))
    finally:
        house.mailbox.answer = "250 OK"
    [row] = await house.rows("SELECT subject, body, recipient FROM rights.letter WHERE request = $1", request)
    assert set(row.values()) == {None}
    await house.seen(lambda: jobs_of(house, "rights.letter"), lambda left: left == 0)
    assert house.mailbox.texts(anna) == []


async def jobs_of(house: House, name: str) -> int:
    query = "SELECT count(*) FROM rights.pgqueuer WHERE entrypoint = $1"
    return (await house.rows(query, name))[0]["count"]
