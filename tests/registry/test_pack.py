"""A tenant's privacy contact sets and dates its own times, takes its pack home, and says what becomes of its data at the end."""

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from joserfc.jwk import KeySet

from chassis import clock
from services.registry import app as registry_app
from services.registry import verify
from services.registry.contract import TenantPeriods
from services.registry.contract.pack import EndingCertificate
from services.registry.contract.signed import ENDING, PACK, TENANT_PERIODS, opened
from services.registry.export import bundle
from tests.days import day_of, today
from tests.patience import PATIENCE
from tests.registry.conftest import Registry, Site, new_site
from tests.registry.dataplane import CHANGE

RULE = "service_objects"
OPERATIONS = "operations"


@pytest.fixture(scope="module")
async def site(server: Any) -> AsyncIterator[Site]:
    async with new_site(server) as site:
        yield site


@pytest.fixture(scope="module")
async def registry(site: Site) -> AsyncIterator[Registry]:
    usual, registry_app._COUNT_AGAIN = registry_app._COUNT_AGAIN, 0.1
    async with site.registry() as registry:
        yield registry
    registry_app._COUNT_AGAIN = usual


class Contact:
    """The privacy contact of a tenant of the test's own."""

    def __init__(self, registry: Registry) -> None:
        self.registry, self.tenant = registry, uuid4()

    async def send(self, method: str, path: str, body: Any = None, scopes: str = "pack.manage") -> Any:
        return await self.registry.send(method, path, body, "contact", scopes, tenant=self.tenant)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.send(method, path, body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def until(self, state: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while (told := await self.ask("GET", "/v1/pack/ending"))["state"] != state:
                await asyncio.sleep(0.1)
        return told


@pytest.fixture
def contact(registry: Registry) -> Contact:
    return Contact(registry)


def tomorrow() -> str:
    return str(today(1))


def period(keep: str, **more: str) -> dict[str, Any]:
    return {"periods": [{"rule": RULE, "keep": keep, "valid_from": tomorrow()} | more]}


async def keys(registry: Registry) -> KeySet:
    return KeySet.import_key_set((await registry.get("/keys", scopes=None)).json())


async def documents(registry: Registry, tenant: UUID) -> list[TenantPeriods]:
    items = (await registry.get("/v1/policy/tenant-periods")).json()["items"]
    jwks = await keys(registry)
    told = [TenantPeriods.model_validate_json(opened(item["jws"], jwks, TENANT_PERIODS)) for item in items]
    return [document for document in told if document.tenant == tenant]


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_tenant_sees_between_what_it_may_choose_and_what_counts_until_it_does(contact: Contact) -> None:
    told = {row["rule"]: row for row in (await contact.ask("GET", "/v1/pack/periods"))["items"]}
    assert told.keys() == {"service_objects", "authentication_logs_service"}
    assert (told[RULE]["min"], told[RULE]["max"], told[RULE]["today"], told[RULE]["own"]) == (
        "1 day",
        "24 months",
        "12 months",
        [],
    )


async def test_a_preview_counts_in_the_stores_and_changes_nothing(contact: Contact, site: Site) -> None:
    told = await contact.ask("POST", "/v1/pack/periods/preview", period("3 months"))
    assert told["consequences"] == [CHANGE]
    asked = site.plane.asked[-1]
    mine = [row for row in asked["proposed"]["tenant_periods"] if row["tenant"] == str(contact.tenant)]
    assert [(row["rule"], row["keep"], row["valid_from"]) for row in mine] == [(RULE, "3 months", tomorrow())]
    assert day_of(datetime.fromisoformat(asked["as_of"])) == today(1)
    assert await documents(contact.registry, contact.tenant) == []


async def test_what_a_tenant_sets_is_signed_dated_and_seen_by_nobody_else(contact: Contact) -> None:
    await contact.ask("PUT", "/v1/pack/periods", period("3 months"))
    later = {"periods": [*period("3 months", valid_to=tomorrow())["periods"]]}
    await contact.ask("PUT", "/v1/pack/periods", later)
    first, second = await documents(contact.registry, contact.tenant)
    assert (str(first.periods[0].keep), first.periods[0].valid_to) == ("3 months", None)
    assert str(second.periods[0].valid_to) == tomorrow() and second.known_from > first.known_from
    told = {row["rule"]: row for row in (await contact.ask("GET", "/v1/pack/periods"))["items"]}
    assert told[RULE]["today"] == "12 months", "it begins tomorrow"
    assert len(told[RULE]["own"]) == 1
    neighbour = await Contact(contact.registry).ask("GET", "/v1/pack/periods")
    assert all(row["own"] == [] for row in neighbour["items"])


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (period("25 months"), "at most 24 months"),
        (period("at once"), "nothing at all"),
        (period("12 hours"), "at least 1 day"),
        (period("3 months", rule="helpdesk_recordings"), "No customer defines"),
        (period("3 months", rule="shoe_size"), "No customer defines"),
        (period("3 months", valid_from="2026-01-01"), "data may have gone"),
        ({"periods": [*period("3 months")["periods"], *period("4 months")["periods"]]}, "same days"),
    ],
)
async def test_what_the_book_does_not_allow_is_refused_with_its_reason(
    contact: Contact, wish: dict[str, Any], said: str
) -> None:
    for method, path in (("PUT", "/v1/pack/periods"), ("POST", "/v1/pack/periods/preview")):
        refused = await contact.send(method, path, wish)
        assert code(refused) == (409, "registry.period_refused")
        assert said in str(refused.json()["errors"])


async def test_the_pack_is_signed_and_says_what_was_deleted_for_the_tenant_s_people(
    contact: Contact, site: Site
) -> None:
    await contact.ask("PUT", "/v1/pack/periods", period("3 months"))
    outcomes = [
        {"rule": "deletion", "action": "erase", "count": 3},
        {"rule": "accounting_records", "action": "keep", "count": 9},
    ]
    site.plane.events.append(erased(contact.tenant, len(site.plane.events) + 1, outcomes))
    async with asyncio.timeout(PATIENCE):
        while not (deleted := (files := await pack_of(contact))["deletions.json"]):
            await asyncio.sleep(0.1)
    assert [(row["store"], row["rule"], row["count"]) for row in deleted] == [("helpdesk", "deletion", 3)]
    assert len(files["sub-processors.json"]["items"]) == 7 and files["measures.json"]
    neighbour = await pack_of(Contact(contact.registry))
    assert neighbour["deletions.json"] == []
    assert str(contact.tenant) not in str(neighbour)


async def test_a_pack_is_verified_by_the_published_verifier_and_whatever_was_changed_of_it_is_named(
    contact: Contact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = (await contact.send("GET", "/v1/pack")).content
    jwks = (await contact.registry.get("/keys", scopes=None)).json()
    (tmp_path / "pack.zip").write_bytes(raw)
    (tmp_path / "keys.json").write_text(json.dumps(jwks))
    assert verify.main([str(tmp_path / "pack.zip"), "--keys", str(tmp_path / "keys.json")]) == 0
    assert str(contact.tenant) in capsys.readouterr().out, "whose pack it is"
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    neighbour = (await Contact(contact.registry).send("GET", "/v1/pack")).content
    with zipfile.ZipFile(io.BytesIO(neighbour)) as archive:
        theirs = archive.read("manifest.jws")
    assert verify.check(zipped(files | {"audits.json": b"[1]"}), jwks) == [
        "audits.json is not the file that was signed"
    ]
    assert "not what was signed" in verify.check(zipped(files | {"manifest.jws": theirs}), jwks)[0]
    assert "changed at byte" in verify.check(raw + b"x", jwks)[0]
    for place in range(0, len(raw), len(raw) // 60):
        flipped = bytearray(raw)
        flipped[place] ^= 0x01
        assert verify.check(bytes(flipped), jwks), f"byte {place} may be changed unseen"


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    bundle.pack({name: partial(io.BytesIO, content) for name, content in files.items()}, written)
    return written.getvalue()


async def pack_of(contact: Contact) -> dict[str, Any]:
    answer = await contact.send("GET", "/v1/pack")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    signed = files.pop("manifest.jws").decode()
    assert opened(signed, await keys(contact.registry), PACK) == files["manifest.json"]
    return {name: json.loads(content) for name, content in files.items()}


def erased(tenant: UUID, position: int, outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "position": position,
        "type": "erasure.done",
        "source": "/wardline/anonymizer",
        "time": datetime.now(UTC).isoformat(),
        "tenant": str(tenant),
        "dataschema": "erasure.done/v1",
        "data": {"step": str(uuid4()), "store": "helpdesk", "outcomes": outcomes},
    }


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five days on."""
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=5))


async def test_after_the_contract_nothing_keeps_the_data_and_what_is_gone_is_certified(
    contact: Contact, site: Site, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    await contact.ask("PUT", "/v1/pack/periods", period("3 months"))
    chosen = await contact.ask("POST", "/v1/pack/ending", {"wish": "delete", "ends_on": tomorrow()})
    assert (chosen["state"], chosen["deadline"]) == ("chosen", str(today(31)))
    again = await contact.send("POST", "/v1/pack/ending", {"wish": "return", "ends_on": tomorrow()})
    assert code(again) == (409, "registry.ending_fixed")
    assert code(await contact.send("PUT", "/v1/pack/periods", period("9 months"))) == (409, "registry.ending_fixed")
    document = (await documents(contact.registry, contact.tenant))[-1]
    first, second = today(1), today(2)
    mine = [(row.rule, str(row.keep), row.valid_from, row.valid_to) for row in document.periods]
    assert mine == [(RULE, "3 months", first, first)]
    assert (document.ending.tenant, document.ending.valid_from) == (contact.tenant, second)

    monkeypatch.setattr(site.plane, "held", {"helpdesk": 2, "recordings": 1})
    request.getfixturevalue("later")
    async with asyncio.timeout(PATIENCE):
        while (told := await contact.ask("GET", "/v1/pack/ending"))["remaining"] is None:
            await asyncio.sleep(0.1)
    assert (told["state"], told["remaining"]) == ("chosen", 3), "the sweep has not been there yet"
    monkeypatch.setattr(site.plane, "held", {"helpdesk": 0, "recordings": 0})
    done = await contact.until("done")
    said = opened(done["certificate"], await keys(contact.registry), ENDING)
    certificate = EndingCertificate.model_validate_json(said)
    assert (certificate.tenant, certificate.remaining, certificate.ended_on) == (contact.tenant, 0, first)
    assert (certificate.stores, certificate.by_hand) == (["helpdesk", "recordings"], ["cellar"])
    await _verified_with_its_end(contact, done["certificate"])


async def _verified_with_its_end(contact: Contact, certificate: str) -> None:
    jwks = (await contact.registry.get("/keys", scopes=None)).json()
    raw = (await contact.send("GET", "/v1/pack")).content
    assert certificate.encode() in raw and verify.check(raw, jwks) == []


LINES = b'{"table":"ticket","columns":[],"file":null}\n["T1","Hej"]\n{"end":true,"counts":{"ticket":1}}\n'


async def test_data_that_are_returned_go_only_once_both_sides_say_the_same_digests(
    contact: Contact, site: Site, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(site.plane, "held", {"helpdesk": 1, "recordings": 0})
    monkeypatch.setattr(site.plane, "lines", {"helpdesk": LINES, "recordings": LINES[:40]})
    await contact.ask("POST", "/v1/pack/ending", {"wish": "return", "ends_on": str(today())})
    early = await contact.send("GET", "/v1/pack/return/helpdesk")
    assert code(early) == (409, "registry.contract_runs"), "records still come"
    request.getfixturevalue("later")
    assert [(row["store"], row["records"], row["given"]) for row in (await returnable(contact)).values()] == [
        ("helpdesk", 1, None),
        ("recordings", 0, None),
        ("cellar", None, None),
    ]
    assert await refused_receipt(contact, {}) == {"helpdesk": "not fetched", "cellar": "People hand"}
    taken = await contact.send("GET", "/v1/pack/return/helpdesk")
    assert (taken.status_code, taken.content) == (200, LINES)
    digest = hashlib.sha256(LINES).hexdigest()
    async with asyncio.timeout(PATIENCE):
        while (given := (await returnable(contact))["helpdesk"]["given"]) is None:
            await asyncio.sleep(0.1)
    assert (given["sha256"], given["length"], given["records"]) == (digest, len(LINES), 1)
    assert await refused_receipt(contact, {"helpdesk": "0" * 64}) == {
        "helpdesk": "another digest",
        "cellar": "People hand",
    }
    assert await documents(contact.registry, contact.tenant) == [], "nothing may go yet"
    neighbour = Contact(contact.registry)
    assert code(await neighbour.send("GET", "/v1/pack/return/helpdesk")) == (404, "registry.ending_unknown")


async def test_an_ending_past_its_deadline_is_told_once(
    contact: Contact, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    monkeypatch.setattr(site.plane, "held", {"helpdesk": 1})
    chosen = await contact.ask("POST", "/v1/pack/ending", {"wish": "return", "ends_on": str(today())})
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=29))
    assert (await contact.ask("GET", "/v1/pack/ending"))["overdue_at"] is None
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=32))
    async with asyncio.timeout(PATIENCE):
        while (await contact.ask("GET", "/v1/pack/ending"))["overdue_at"] is None:
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)  # five more looks
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE):
        while not told:  # the sequencer needs a moment
            events = (await contact.registry.get("/events", types="contract.overdue", limit=500)).json()["items"]
            told = [one for one in events if one["tenant"] == str(contact.tenant)]
            await asyncio.sleep(0.05)
    assert [one["data"] for one in told] == [{"deadline": chosen["deadline"], "state": "chosen", "remaining": None}]


async def test_a_store_that_stopped_in_the_middle_does_not_count_as_returned(
    contact: Contact, site: Site, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(site.plane, "lines", {"recordings": LINES[:40]})
    await contact.ask("POST", "/v1/pack/ending", {"wish": "return", "ends_on": str(today())})
    request.getfixturevalue("later")
    with pytest.raises(httpx2.RemoteProtocolError):
        await contact.send("GET", "/v1/pack/return/recordings")
    assert (await returnable(contact))["recordings"]["given"] is None


async def returnable(contact: Contact) -> dict[str, Any]:
    return {row["store"]: row for row in (await contact.ask("GET", "/v1/pack/return"))["items"]}


async def refused_receipt(contact: Contact, stores: dict[str, str]) -> dict[str, str]:
    """What speaks against it, by store: some words of each."""
    answer = await contact.send("POST", "/v1/pack/return/receipt", {"stores": stores})
    assert code(answer) == (409, "registry.not_returned")
    words = ("not fetched", "another digest", "People hand")
    return {
        row["path"]: next(said for said in words if said in row["problem"]) for row in reversed(answer.json()["errors"])
    }


async def test_what_no_program_can_send_is_handed_over_by_operations(contact: Contact) -> None:
    await contact.ask("POST", "/v1/pack/ending", {"wish": "return", "ends_on": str(today())})
    path = f"/v1/pack/endings/{contact.tenant}/handover"
    proof = {"sha256": "0" * 64, "receipt": "receipt 17/2027"}
    assert code(await contact.send("POST", path, proof, "pack.return")) == (404, "request.not_found")
    assert (await contact.registry.send("POST", path, proof, "contact", "pack.manage")).status_code == 403
    handed = await contact.registry.send("POST", path, proof, OPERATIONS, "pack.return")
    assert (handed.status_code, handed.json()["state"]) == (200, "handed_over")
    [document] = await documents(contact.registry, contact.tenant)
    assert document.ending is not None
    assert code(await contact.registry.send("POST", path, proof, OPERATIONS, "pack.return")) == (
        409,
        "registry.nothing_to_return",
    )


async def test_a_contract_does_not_end_in_the_past(contact: Contact) -> None:
    refused = await contact.send("POST", "/v1/pack/ending", {"wish": "delete", "ends_on": "2026-01-01"})
    assert code(refused) == (409, "registry.period_refused")
    assert code(await contact.send("GET", "/v1/pack/ending")) == (404, "registry.ending_unknown")
