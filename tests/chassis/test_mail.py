"""Mail against a real SMTP server on this machine."""

import socket
from pathlib import Path

import pytest

from chassis.mail import Mail, MailAway, MailNotSetUp, MailRefused, letter
from chassis.settings import Settings
from tests.mailbox import Mailbox, mailbox


@pytest.fixture
def box():
    with mailbox() as box:
        yield box


def mail(**smtp) -> Mail:
    return Mail(Settings(secrets_dir=Path("none"), issuer="i", jwks_url="j", **smtp))


def to(box: Mailbox) -> Mail:
    return mail(smtp_host="127.0.0.1", smtp_port=box.port, smtp_from="privacy@nordtel.example", smtp_starttls=False)


async def test_a_letter_arrives_with_its_text_and_the_operators_address(box):
    await to(box).send(letter("anna@example.com", "Ditt ärende", "Hej Anna, på återseende"))
    [envelope] = box.taken
    assert envelope.rcpt_tos == ["anna@example.com"] and envelope.mail_from == "privacy@nordtel.example"
    assert b"From: privacy@nordtel.example" in envelope.content


@pytest.mark.parametrize(("answer", "problem"), [("550 no such user", MailRefused), ("451 later", MailAway)])
async def test_a_final_refusal_is_told_from_one_that_passes(box, answer, problem):
    box.answer = answer
    with pytest.raises(problem):
        await to(box).send(letter("anna@example.com", "s", "t"))


async def test_a_server_that_is_away_is_tried_again_later():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(MailAway):
        await mail(smtp_host="127.0.0.1", smtp_port=port, smtp_from="a@b.example").send(letter("c@d.example", "s", "t"))


async def test_without_a_server_sending_is_refused_in_clear_words():
    with pytest.raises(MailNotSetUp) as refused:
        await mail().send(letter("anna@example.com", "s", "t"))
    assert "WARDLINE_SMTP_HOST" in refused.value.title


@pytest.mark.parametrize(
    "to",
    ["anna,erik@d.example", "anna;erik@d.example", "<anna@d.example", "(anna@d.example", "=?utf-8?q?erik?=@d.example"],
)
def test_a_letter_goes_to_the_address_it_was_written_to_or_to_nobody(to: str):
    """What stands on file for somebody may be anything with one @ in it; a part of it is somebody else's address."""
    with pytest.raises(MailRefused):
        letter(to, "s", "t")


@pytest.mark.parametrize("to", ["åsa@d.example", "a..b@d.example", "a+b@räksmörgås.example", "a@[192.0.2.1]"])
def test_an_unusual_address_is_one_too(to: str):
    assert letter(to, "s", "t")["To"] == to


def test_nobody_adds_headers_of_his_own():
    with pytest.raises(ValueError):
        letter("anna@example.com\nBcc: eve@example.com", "s", "t")
