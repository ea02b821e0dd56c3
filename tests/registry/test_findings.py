"""Where promise, law, book and stores differ stands as a finding with an owner and a day, and is exported with the rest."""

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.registry import app as registry_app
from services.registry.books import BookRefused, read_book
from services.registry.contract import PolicyBook
from services.registry.rules.findings import Field, observed
from tests.days import today
from tests.patience import PATIENCE
from tests.registry.conftest import BOOK, Registry, Site, new_site

SCOPES = "registry.read policy.propose"


@pytest.fixture(scope="module")
async def site(server: Any) -> AsyncIterator[Site]:
    async with new_site(server) as site:
        yield site


@pytest.fixture(scope="module")
async def registry(site: Site) -> AsyncIterator[Registry]:
    usual = registry_app._COUNT_AGAIN, registry_app._LOOK_INTO_STORES
    registry_app._COUNT_AGAIN = registry_app._LOOK_INTO_STORES = 0.1
    async with site.registry() as registry:
        yield registry
    registry_app._COUNT_AGAIN, registry_app._LOOK_INTO_STORES = usual


async def listed(registry: Registry) -> dict[str, dict[str, Any]]:
    answer = await registry.send("GET", "/v1/findings", None, "officer", SCOPES)
    return {one["key"]: one for one in answer.json()["items"]}


async def until(registry: Registry, fact: Callable[[dict[str, Any]], bool]) -> dict[str, dict[str, Any]]:
    async with asyncio.timeout(PATIENCE):
        while not fact(found := await listed(registry)):
            await asyncio.sleep(0.1)
    return found


def test_the_reviewed_book_contradicts_itself_nowhere_that_no_lawyer_named(book: PolicyBook) -> None:
    every = [Field("any", "any", element.key, element.key) for row in book.categories for element in row.elements]
    assert observed(book, every) == []


def test_a_promise_that_the_law_contradicts_is_found_unless_a_lawyer_named_it(book: PolicyBook) -> None:
    silent = book.model_copy(update={"findings": ()})
    found = {one.about for one in observed(silent, []) if one.kind == "promise_and_law"}
    assert found == {
        "retained_mobile_telephony",
        "retained_location",
        "retained_internet_access",
        "retained_fixed_telephony",
    }


async def test_what_the_map_says_and_the_book_does_not_and_the_reverse_is_found(registry: Registry, site: Site) -> None:
    found = await until(registry, lambda found: "not_in_stores/cctv_image" in found)
    one = found["not_in_stores/cctv_image"]
    assert one["owner"] == "dpo@nordtel.example" and one["rows"] == ["cctv_image"]
    assert date.fromisoformat(one["due_on"]) - today() == timedelta(days=90)
    site.plane.fields.add("shoe_size")
    found = await until(registry, lambda found: "not_in_book/crm.person.shoe_size" in found)
    assert "shoe_size" in found["not_in_book/crm.person.shoe_size"]["statement"]["en"]
    site.plane.fields.discard("shoe_size")
    await until(registry, lambda found: "not_in_book/crm.person.shoe_size" not in found)
    told: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while len(told) < 2:  # the sequencer needs a moment
            facts = (await registry.get("/events", types="finding.opened,finding.closed", limit=500)).json()["items"]
            told = [fact["type"] for fact in facts if fact["data"]["key"] == "not_in_book/crm.person.shoe_size"]
            await asyncio.sleep(0.05)
    assert told == ["finding.opened", "finding.closed"]


async def test_what_a_store_holds_and_the_map_does_not_say_and_the_reverse_is_found(
    registry: Registry, site: Site
) -> None:
    there = {"store": "crm", "table": "person"}
    grown = there | {"column": "kontonummer", "kind": "undeclared", "looks_like": "iban", "alike": 180, "sampled": 200}
    gone = there | {"column": "fax", "kind": "missing"}
    site.plane.drift = {"items": [grown, gone], "unread": []}
    found = await until(registry, lambda found: "missing_in_store/crm.person.fax" in found)
    one = found["not_in_map/crm.person.kontonummer"]
    assert "looks like iban (180/200)" in one["statement"]["en"]
    assert one["owner"] == "dpo@nordtel.example" and one["due_on"] > str(today())
    site.plane.drift = {"items": [], "unread": ["crm"]}
    await asyncio.sleep(0.5)
    assert "not_in_map/crm.person.kontonummer" in await listed(registry), "nobody looked"
    site.plane.drift = {"items": [grown], "unread": []}
    found = await until(registry, lambda found: "missing_in_store/crm.person.fax" not in found)
    assert "not_in_map/crm.person.kontonummer" in found
    site.plane.drift = {"items": [], "unread": []}
    await until(registry, lambda found: "not_in_map/crm.person.kontonummer" not in found)


async def test_every_finding_has_an_owner_and_a_day_and_another_may_be_given(registry: Registry) -> None:
    found = await until(registry, lambda found: "not_in_stores/cctv_image" in found)
    assert all(one["owner"] and one["due_on"] for one in found.values())
    assert {one["kind"] for one in found.values()} == {"book", "not_in_stores"}
    wish = {"owner": "Security", "due_on": "2027-01-15"}
    answer = await registry.send("PUT", "/v1/findings/not_in_stores/cctv_image", wish, "officer", SCOPES)
    assert answer.status_code == 200
    assert (await listed(registry))["not_in_stores/cctv_image"]["owner"] == "Security"
    nowhere = await registry.send("PUT", "/v1/findings/not_in_stores/nothing", wish, "officer", SCOPES)
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "registry.finding_unknown")
    in_the_book = await registry.send("PUT", "/v1/findings/book/two_bases", wish, "officer", SCOPES)
    assert in_the_book.status_code == 404


async def test_findings_are_exported_as_they_were_known(registry: Registry) -> None:
    await until(registry, lambda found: "not_in_stores/cctv_image" in found)
    then = {"as_of": "2099-01-01T00:00:00Z", "known_at": datetime.now(UTC).isoformat()}
    before = await exported(registry, then)
    assert {"not_in_stores/cctv_image", "traffic_periods"} <= before.keys()
    wish = {"owner": "Facilities", "due_on": "2027-02-01"}
    await registry.send("PUT", "/v1/findings/not_in_stores/cctv_image", wish, "officer", SCOPES)
    assert await exported(registry, then) == before
    now = await exported(registry, {"as_of": then["as_of"]})
    assert now["not_in_stores/cctv_image"]["owner"] == "Facilities"


async def exported(registry: Registry, when: dict[str, str]) -> dict[str, Any]:
    answer = await registry.get("/v1/exports", profile="art30-controller", format="json", **when)
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        rows = json.loads(archive.read("findings.json"))
    return {row["key"]: row for row in (rows["items"] if isinstance(rows, dict) else rows)}


def test_a_finding_without_owner_or_day_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "book.yaml"
    file.write_text(BOOK.read_text().replace("    owner: counsel\n", "", 1))
    with pytest.raises(BookRefused, match="Nobody settles it"):
        read_book(file)
