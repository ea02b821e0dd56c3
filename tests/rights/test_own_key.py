"""A package that is locked for a key of the person's own: whoever has its private half opens it, and nobody else."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from joserfc.jwk import ECKey
from playwright.async_api import Browser, async_playwright
from pydantic import ValidationError

from chassis.errors import Forbidden
from services.requests.rights.contract import (
    Channel,
    Evidence,
    Kind,
    NotNow,
    OpenRequest,
    OwnKey,
    SetKey,
    SetPassphrase,
)
from services.requests.rights.package.unlock import DoesNotOpen, unlock
from tests.rights.conftest import House
from tests.rights.test_access import fetched, somebody
from tests.rights.test_page import CHROMIUM

PASSPHRASE = "en hemlig mening om blåbär"


def key() -> str:
    return str(uuid4())


def drawn() -> ECKey:
    return ECKey.generate_key("P-256", private=True)


def public(own: ECKey) -> OwnKey:
    """As WebCrypto exports it, with what that says besides."""
    return OwnKey.model_validate(own.as_dict(private=False) | {"ext": True, "key_ops": []})


async def locked(house: House, tenant: UUID, own: ECKey, into: Path) -> Path:
    person = house.person(somebody(house), tenant)
    asked = await person.open(OpenRequest(kind=Kind.access, key=public(own)), key=key())
    await house.until_state(person, asked.request, "answered")
    return await fetched(house, person, asked.request, into)


async def test_it_opens_with_the_private_half_and_with_nothing_else(house: House, tenant: UUID, tmp_path: Path):
    own = drawn()
    package = await locked(house, tenant, own, tmp_path)
    assert unlock(package, own).archive
    for wrong in (drawn(), PASSPHRASE, ECKey.import_key(own.as_dict(private=False))):
        with pytest.raises(DoesNotOpen):
            unlock(package, wrong)
    text = package.read_text()
    for said, other in (("sealed", "Sealed"), ("for-a-key/1", "for-a-key/2"), ('"package"', '"Package"')):
        package.write_text(text.replace(said, other, 1))
        with pytest.raises(DoesNotOpen):
            unlock(package, own)


async def test_who_has_no_words_yet_may_give_a_key_and_it_is_gone_once_the_package_is_built(
    house: House, tenant: UUID, tmp_path: Path
):
    own, person = drawn(), house.person(somebody(house), tenant)
    asked = await person.open(OpenRequest(kind=Kind.portability), key=key())
    await house.until_state(person, asked.request, "awaiting_passphrase")
    for stranger in (house.helpdesk(tenant), house.ticket_system(tenant), house.person(somebody(house), tenant)):
        with pytest.raises(Exception) as refused:
            await stranger.set_key(asked.request, SetKey(key=public(drawn())), key=key())
        assert refused.value.status in (403, 404)
    await person.set_key(asked.request, SetKey(key=public(own)), key=key())
    await house.until_state(person, asked.request, "answered")
    assert unlock(await fetched(house, person, asked.request, tmp_path), own).archive
    kept = "SELECT 1 FROM rights.request WHERE id = $1 AND passphrase IS NOT NULL"
    assert await house.rows(kept, asked.request) == []
    with pytest.raises(NotNow):
        await person.set_passphrase(asked.request, SetPassphrase(passphrase=PASSPHRASE), key=key())


@pytest.mark.parametrize(
    "wrong",
    [
        {"d": "A" * 43},
        {"y": "A" * 43},
        {"x": "A" * 42},
        {"crv": "P-384"},
        {"kty": "RSA"},
    ],
    ids=["private", "beside the curve", "too short", "another curve", "another kind"],
)
def test_what_is_no_public_key_on_its_curve_is_refused(wrong: dict[str, Any]):
    with pytest.raises(ValidationError) as refused:
        OwnKey.model_validate(drawn().as_dict(private=False) | wrong)
    assert "private" in str(refused.value) or "d" not in wrong


@pytest.mark.parametrize(
    "more",
    [{"passphrase": PASSPHRASE}, {"by_post": True}, {"kind": Kind.deletion}],
    ids=["words too", "on paper", "no package"],
)
def test_a_key_locks_a_package_and_locks_it_alone(more: dict[str, Any]):
    with pytest.raises(ValidationError):
        OpenRequest(**{"kind": Kind.access, "key": public(drawn())} | more)


async def test_the_terminal_opens_it_and_says_which_file_is_wanted(house: House, tenant: UUID, tmp_path: Path):
    own, other = drawn(), tmp_path / "other.json"
    package, file = await locked(house, tenant, own, tmp_path), tmp_path / "own.json"
    file.write_text(json.dumps(own.as_dict(private=True)))
    other.write_text("[1, 2")

    async def said(*more: object) -> tuple[int | None, str]:
        program = [sys.executable, "-m", "services.requests.rights.open_package", package, *more]
        run = await asyncio.create_subprocess_exec(
            *map(str, program), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        out, _ = await run.communicate()
        return run.returncode, out.decode()

    assert (await said())[0] == 1 and "--key" in (await said())[1]
    code, out = await said("--key", file)
    assert code == 0 and "json/billing/customer.json" in out
    code, out = await said("--key", other)
    assert code == 1 and "Traceback" not in out and "no private key" in out


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which .ci/run installs")
async def test_a_browser_opens_it_with_the_key_s_file_offline(house: House, tenant: UUID, tmp_path: Path):
    own, file, other = drawn(), tmp_path / "own.json", tmp_path / "other.json"
    package = await locked(house, tenant, own, tmp_path)
    file.write_text(json.dumps(own.as_dict(private=True) | {"key_ops": ["deriveBits"], "ext": True}))
    other.write_text(json.dumps(drawn().as_dict(private=True)))
    async with async_playwright() as playwright:
        browser: Browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(package.as_uri())
        for chosen, told in ((other, "Det är inte nyckeln"), (tmp_path / "bytes", "Det är inte nyckeln")):
            chosen.exists() or chosen.write_bytes(b"\x00\xff")
            await page.get_by_label("Din egen nyckel").set_input_files(chosen)
            await page.get_by_role("button", name="Öppna").click()
            await page.get_by_text(told).wait_for()
        await page.get_by_label("Din egen nyckel").set_input_files(file)
        await page.get_by_role("button", name="Öppna").click()
        await page.frame_locator("#report").get_by_role("heading", name="Dina uppgifter hos").wait_for()
        await browser.close()


async def test_staff_who_type_a_letter_in_may_pass_her_key_on_but_nobody_changes_it_for_her(house: House, tenant: UUID):
    desk, wish = house.helpdesk(tenant), {"kind": Kind.access, "channel": Channel.letter, "principal": somebody(house)}
    asked = await desk.open(OpenRequest(**wish, evidence=Evidence(method="call_back"), key=public(drawn())), key=key())
    with pytest.raises(Forbidden):
        await desk.set_key(asked.request, SetKey(key=public(drawn())), key=key())
