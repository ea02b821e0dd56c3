"""A changed book is proposed, its consequences are counted, and somebody else than its author puts it in force from a day.

Whoever puts a book in force does it in a registry of the test's own (`fresh`); the others share one, where none ever is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.registry import verify
from tests.days import today
from tests.registry.conftest import BOOK, NOWHERE, Registry, Site, new_site
from tests.registry.dataplane import CHANGE

LAWYER, OFFICER = "lawyer", "officer"
SCOPES = "policy.read policy.propose policy.approve"
MORE = (
    ("valid_from: 2024-01-01\nzone", "valid_from: TODAY\nzone"),
    (
        "    keep: 30 days\n    then: delete\n    promised:\n      max: 30",
        "    keep: 31 days\n    then: delete\n    promised:\n      max: 31",
    ),
)


@pytest.fixture(scope="module")
async def shared(server: Any) -> AsyncIterator[Site]:
    async with new_site(server) as site:
        yield site


@pytest.fixture(scope="module")
async def registry(shared: Site) -> AsyncIterator[Registry]:
    async with shared.registry() as registry:
        yield registry


@pytest.fixture
async def fresh(site: Site) -> AsyncIterator[Registry]:
    async with site.registry() as registry:
        yield registry


def book(version: str, *replaced: tuple[str, str]) -> str:
    text = BOOK.read_text()
    for old, new in (('version: "2026.1"', f'version: "{version}"'), *replaced):
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the book"
        text = text.replace(old, new)
    return text.replace("valid_from: TODAY", f"valid_from: {today()}")


async def propose(registry: Registry, file: str, who: str = OFFICER, scopes: str = SCOPES, **more: Any) -> Any:
    wish = {"file": file, "reason": "Quality asks for one day more."} | more
    return await registry.send("POST", "/v1/policy/proposals", wish, who, scopes)


async def approve(registry: Registry, told: dict[str, Any], who: str = LAWYER, **other: Any) -> Any:
    seen = {"sha256": told["sha256"], "seen": told["simulated_at"] or "2026-01-01T00:00:00Z"} | other
    return await registry.send("POST", f"/v1/policy/proposals/{told['proposal']}/approval", seen, who, SCOPES)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_changed_book_is_in_force_after_another_person_approved_what_was_counted(
    fresh: Registry,
) -> None:
    made = await propose(fresh, book("2026.2", *MORE))
    assert made.status_code == 201, made.text
    told = await fresh.checked(made.json()["proposal"])
    words = {row["where"]: row["words"] for row in told["differences"] if row["field"] == "keep"}
    assert words["retention/helpdesk_recordings"] == {
        "en": "Retention “Helpdesk call recordings”, kept: was 30 days; becomes 31 days.",
        "sv": "Lagring ”Kundtjänstens samtalsinspelningar”, sparas: var 30 dagar; blir 31 dagar.",
    }
    assert (told["state"], told["base"], told["consequences"]) == ("proposed", "2026.1", [CHANGE])
    assert (await fresh.get("/v1/policy/current")).json()["version"] == "2026.1"

    assert code(await approve(fresh, told, who=OFFICER)) == (403, "registry.own_proposal")
    assert code(await approve(fresh, told, sha256="0" * 64)) == (409, "registry.not_what_was_shown")
    assert code(await approve(fresh, told, seen="2026-01-01T00:00:00Z")) == (409, "registry.not_what_was_shown")
    approved = await approve(fresh, told)
    assert (approved.status_code, approved.json()["decided_by"]) == (200, LAWYER)
    assert code(await approve(fresh, told)) == (409, "registry.proposal_decided")
    assert (await fresh.get("/v1/policy/current")).json()["version"] == "2026.2"
    page = (await fresh.get("/privacy", scopes=None, lang="en")).text
    assert "31 days after" in page and "Version 2026.2" in page

    facts = (await fresh.get("/events", types="policy.in_force", wait=5)).json()["items"]
    first, second = (fact["data"] for fact in facts)
    assert (first["version"], first["how"], first["author"]) == ("2026.1", "bootstrap", None)
    assert (second["how"], second["author"], second["approver"]) == ("approved", OFFICER, LAWYER)
    bundle = await fresh.get("/v1/exports", profile="art30-controller", format="csv")
    assert verify.check(bundle.content, (await fresh.get("/keys", scopes=None)).json()) == []


async def test_all_faults_of_a_book_and_of_the_stores_are_told_at_once(registry: Registry, shared: Site) -> None:
    shared.plane.fields.add("shoe_size")
    refused = await propose(
        registry,
        book(
            "2026.9",
            ("    law: {min: 10 months, max: 10 months}", "    law: {min: 11 months, max: 11 months}"),
            ("  - key: on_entry\n", "  - key: at_night\n    valid_to: 2025-01-01\n"),
            ("    condition: {sv: Med ditt samtycke, en: With your consent}\n", ""),
        ),
    )
    shared.plane.fields.discard("shoe_size")
    assert code(refused) == (422, "registry.book_faulty")
    paths = {error["path"] for error in refused.json()["errors"]}
    assert {"retention/retained_internet_access", "recipients/others", "data map"} <= paths


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text + "\nversion: 3\n", "stands twice"),
        (lambda text: text.replace("keep: 90 days", "keep: some days"), "a period is written like"),
        (lambda text: text.replace("zone: Europe/Stockholm", "zone: Europe/Nowhere"), "no such time zone"),
        (lambda _: "a: &a [x]\nb: *a\n", "aliases are not read"),
        (lambda _: "[" * 3000, "at most 40 levels"),
        (lambda _: "a: [", "not YAML"),
        (lambda _: "just words", "should be an object"),
        (
            lambda text: (
                text + "\ntenant_periods: [{tenant: 0198d8a0-0000-7000-8000-000000000001, rule: service_objects, "
                "keep: 1 month, source: x}]\n"
            ),
            "No book states",
        ),
    ],
    ids=["a key twice", "no period", "no zone", "an alias", "too deep", "half a list", "no book", "a tenant's own"],
)
async def test_what_is_no_book_is_refused_with_its_place(
    registry: Registry, change: Callable[[str], str], said: str
) -> None:
    refused = await propose(registry, change(BOOK.read_text()))
    assert code(refused) == (422, "registry.book_faulty")
    assert said in str(refused.json()["errors"])


async def test_a_book_that_begins_in_the_past_says_that_it_corrects(fresh: Registry) -> None:
    current = await fresh.checked((await propose(fresh, book("2026.2", *MORE))).json()["proposal"])
    assert (await approve(fresh, current)).status_code == 200
    yesterday = ("valid_from: 2024-01-01\nzone", f"valid_from: {today(-1)}\nzone")
    assert code(await propose(fresh, book("2026.3", yesterday))) == (409, "registry.back_dated")
    then = {"as_of": f"{today(-1)}T20:00:00Z", "known_at": datetime.now(UTC).isoformat()}
    exported = (await fresh.get("/v1/exports", profile="art30-controller", format="csv", **then)).content
    corrected = (
        ("    keep: 10 months", "    keep: 11 months"),
        (
            "    law: {min: 10 months, max: 10 months}",
            "    law: {min: 11 months, max: 11 months}",
        ),
    )
    made = await propose(fresh, book("2026.3", yesterday, *corrected), correction=True)
    told = await fresh.checked(made.json()["proposal"])
    assert (await approve(fresh, told)).status_code == 200
    again = await fresh.get("/v1/exports", profile="art30-controller", format="csv", **then)
    assert (again.status_code, again.content) == (200, exported), "it is exported as it was known then"
    now_known = await fresh.get("/v1/ropa", as_of=then["as_of"])
    assert now_known.json()["policy_version"] == "2026.3"
    assert (await fresh.get("/v1/policy/current")).json()["version"] == "2026.2", "today's book is another one"


async def test_a_second_proposal_on_the_same_book_is_outdated_by_the_first(fresh: Registry) -> None:
    day = ("valid_from: 2024-01-01\nzone", f"valid_from: {today(1)}\nzone")
    proposals = [(await propose(fresh, book(version, day))).json() for version in ("2027.1", "2027.2")]
    told = [await fresh.checked(one["proposal"]) for one in proposals]
    assert (await approve(fresh, told[0])).status_code == 200
    assert code(await approve(fresh, told[1])) == (409, "registry.proposal_outdated")
    assert (await fresh.get("/v1/policy/current")).json()["version"] != "2027.1", "it begins tomorrow"
    gone = {"reason": "Outdated by the other one."}
    path = f"/v1/policy/proposals/{told[1]['proposal']}/rejection"
    assert (await fresh.send("POST", path, gone, OFFICER, SCOPES)).json()["state"] == "rejected"
    assert code(await fresh.send("POST", path, gone, OFFICER, SCOPES)) == (409, "registry.proposal_decided")


async def test_two_approvals_at_once_make_one_version(fresh: Registry) -> None:
    day = ("valid_from: 2024-01-01\nzone", f"valid_from: {today(2)}\nzone")
    told = await fresh.checked((await propose(fresh, book("2027.3", day))).json()["proposal"])
    answers = await asyncio.gather(*(approve(fresh, told, who=f"lawyer{number}") for number in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    versions = [one["version"] for one in (await fresh.get("/v1/policy/versions")).json()["items"]]
    assert versions.count("2027.3") == 1


async def test_a_used_version_and_a_book_that_says_the_same_are_refused(registry: Registry) -> None:
    assert code(await propose(registry, BOOK.read_text())) == (409, "registry.same_book")
    other = ("valid_from: 2024-01-01\nzone", f"valid_from: {today(1)}\nzone")
    assert code(await propose(registry, book("2026.1", other))) == (409, "registry.version_taken")


async def test_nothing_is_proposed_while_the_stores_cannot_be_asked(site: Site) -> None:
    async with site.registry(peers=dict.fromkeys(site.plane.peers, NOWHERE)) as alone:
        assert (await propose(alone, book("2028.1", *MORE))).status_code == 503


async def test_only_its_scope_opens_each_step(registry: Registry) -> None:
    assert (await propose(registry, book("2028.2", *MORE), scopes="policy.read policy.approve")).status_code == 403
    nowhere = "/v1/policy/proposals/0198d8a0-0000-7000-8000-000000000001"
    wish = {"sha256": "0" * 64, "seen": "2026-01-01T00:00:00Z"}
    assert (
        await registry.send("POST", f"{nowhere}/approval", wish, OFFICER, "policy.read policy.propose")
    ).status_code == 403
    assert code(await registry.send("POST", f"{nowhere}/approval", wish, OFFICER, SCOPES)) == (
        404,
        "registry.proposal_unknown",
    )
    assert code(await registry.send("GET", nowhere, None, OFFICER, SCOPES)) == (404, "registry.proposal_unknown")
    for version in ("2028.3", "2028.4"):
        assert (await propose(registry, book(version, *MORE))).status_code == 201
    listed = (await registry.send("GET", "/v1/policy/proposals?limit=1", None, OFFICER, SCOPES)).json()
    assert len(listed["items"]) == 1 and listed["next"]


async def test_a_customer_s_staff_has_no_business_in_the_operator_s_book(registry: Registry) -> None:
    for method, path in (("GET", "/v1/policy/proposals"), ("POST", "/v1/policy/proposals")):
        wish = {"file": book("2029.1", *MORE), "reason": "ours now"}
        theirs = await registry.send(method, path, wish, "stranger", SCOPES, tenant=uuid4())
        assert code(theirs) == (404, "request.not_found")


async def test_a_restart_with_another_file_changes_nothing(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "book.yaml"
    file.write_text(book("2099.1", *MORE))
    async with site.registry():
        pass
    async with site.registry(file) as registry:
        versions = [one["version"] for one in (await registry.get("/v1/policy/versions")).json()["items"]]
    assert versions == ["2026.1"]
