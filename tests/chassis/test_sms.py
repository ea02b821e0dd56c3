"""Whoever carries our text messages is a stranger's system: it may be slow, and say anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx2
import pytest

from chassis.sms import Sms, SmsAway, SmsRefused
from tests.patience import PATIENCE
from tests.serving import stranger


@asynccontextmanager
async def provider(says: bytes, then: bytes = b"") -> AsyncIterator[Sms]:
    """One that answers so, and goes on saying something."""
    async with stranger(says, then) as url, httpx2.AsyncClient(trust_env=False) as http:
        yield Sms(SimpleNamespace(sms_url=url, sms_from="Nordtel", secret=lambda _: b"token"), http)


async def sent(sms: Sms) -> None:
    await asyncio.wait_for(sms.send("46701740605", "4711", "once"), PATIENCE)


@pytest.mark.parametrize("piece", [b" ", b"x" * 65_536])
async def test_one_that_drips_or_floods_its_answer_keeps_nobody(piece: bytes):
    async with provider(b"HTTP/1.1 202 Accepted\r\n\r\n", piece) as sms:
        await sent(sms)


@pytest.mark.parametrize(
    ("status", "refusal"),
    [(b"503 Later", SmsAway), (b"429 Slower", SmsAway), (b"400 No", SmsRefused), (b"302 There", SmsRefused)],
)
async def test_what_it_will_not_take_is_told_from_what_it_cannot_take_now(status: bytes, refusal: type[Exception]):
    async with provider(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status) as sms:
        with pytest.raises(refusal):
            await sent(sms)


async def test_one_that_says_nothing_is_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("chassis.sms._PATIENCE", 0.2)
    async with provider(b"") as sms:
        with pytest.raises(SmsAway):
            await sent(sms)
