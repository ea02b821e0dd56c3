"""A changed book from the command line: a lawyer's file becomes a proposal in plain words with its counts, and another approves it."""

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from fastapi import FastAPI, Form

from services.registry.proposing import Desk, NotDone, arguments, log_in, run
from tests.registry.conftest import OPERATOR, Registry, Site, new_site
from tests.serving import serve

CHANGED = (('version: "2026.1"', 'version: "2026.2"'), ("number: 5, source: \"house: rights\"}\n  - {key: package_kept", "number: 4, source: \"house: rights\"}\n  - {key: package_kept"))  # fmt: skip


@pytest.fixture(scope="module")
async def registry(server: Any) -> AsyncIterator[Registry]:
    async with new_site(server) as site, Site.registry(site) as registry:
        yield registry


class Terminal:
    """What somebody typed, and what she read."""

    def __init__(self, registry: Registry, who: str, scopes: str) -> None:
        claims = {"sub": who, "kind": "staff", "client_id": "internal", "tenant": OPERATOR}
        self.token = registry.issuer.token("registry", scopes, **claims)
        self.registry, self.read = registry, []

    async def types(self, *words: str, answers: str = "") -> str:
        common = ["--edge", self.registry.url, "--issuer", "none", "--language", "en"]
        wish = arguments([words[0], *common, *words[1:]])
        with httpx2.Client(timeout=60) as http:
            desk = Desk(http, self.registry.url, self.token)
            before = len(self.read)
            await asyncio.to_thread(run, desk, wish, lambda _: answers, self.read.append)
        return "\n".join(self.read[before:])


async def test_a_file_is_proposed_read_approved_by_another_and_listed(
    registry: Registry, changed_book: Callable[..., Path]
) -> None:
    officer = Terminal(registry, "officer", "policy.propose policy.read")
    counsel = Terminal(registry, "counsel", "policy.approve policy.read")
    told = await officer.types("propose", str(changed_book(*CHANGED)), "--reason", "four are enough", "--correction")
    assert "waits for somebody else's approval" in told and "Why: four are enough" in told
    assert "“Downloads of a package”" in told and "was 5; becomes 4" in told
    assert "12 of recordings.recording, helpdesk_recording: delete (helpdesk_recordings) → keep" in told
    proposal = told.split()[1].rstrip(":")
    with pytest.raises(NotDone, match="policy.approve"):
        await officer.types("approve", proposal, answers="2026.2")
    with pytest.raises(NotDone, match="Nothing was approved"):
        await counsel.types("approve", proposal, answers="yes")
    assert "2026.2 is signed" in await counsel.types("approve", proposal, answers="2026.2")
    assert "Decided by counsel" in await counsel.types("show", proposal)
    assert f"{proposal}  2026.2" in await counsel.types("list")


async def test_every_fault_of_a_file_is_named_at_once(registry: Registry, changed_book: Callable[..., Path]) -> None:
    officer = Terminal(registry, "officer", "policy.propose policy.read")
    faulty = changed_book(("purpose: development, covers: website_visit,", "purpose: curiosity, covers: website_visit,"), ("    keep: 7 days\n    then: delete\n    promised:", "    keep: 9 days\n    then: delete\n    promised:"))  # fmt: skip
    with pytest.raises(NotDone) as refused:
        await officer.types("propose", str(faulty), "--reason", "a slip")
    assert "curiosity" in str(refused.value) and "at most 7 days" in str(refused.value)


async def test_a_login_counts_only_if_the_browser_came_back_from_it() -> None:
    issuer, shown = FastAPI(), {}

    @issuer.post("/token")
    async def token(code: str = Form(), code_verifier: str = Form()) -> dict[str, str]:
        digest = urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        assert (code, digest) == ("right", shown["code_challenge"])
        return {"access_token": "hers"}

    def browser(prompt: str, **bent: str) -> str:
        asked = parse_qs(urlsplit(prompt.split()[3]).query)
        shown.update({name: values[0] for name, values in asked.items()})
        return "http://127.0.0.1/callback?" + urlencode({"code": "right", "state": shown["state"]} | bent)

    async with serve(issuer) as url:
        with httpx2.Client() as http:
            there = (http, url, "staff", "http://127.0.0.1/callback")
            assert await asyncio.to_thread(log_in, *there, browser) == "hers"
            with pytest.raises(NotDone, match="not the end of this login"):
                await asyncio.to_thread(log_in, *there, lambda prompt: browser(prompt, state="another"))
