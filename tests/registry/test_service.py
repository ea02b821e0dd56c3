"""The registry over HTTP: who may read what, signed versions, bundles that verify, and rows that change everything."""

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from joserfc.jwk import KeySet

from services.registry import verify
from services.registry.app import create_app
from services.registry.books import BookRefused
from services.registry.contract import PolicyBook
from services.registry.contract.signed import BUNDLE, POLICY, NotSigned, opened
from services.registry.export import bundle
from tests.patience import PATIENCE
from tests.registry.conftest import BOOK, SCOPES, Registry, Site

EXPORT = {"profile": "art30-controller"}

RECORDINGS = "    keep: 30 days\n    then: delete\n    promised:\n      max: "
ROUTES = {
    "/v1/policy/current": "policy.read",
    "/v1/policy/versions": "policy.read",
    "/v1/ropa": "registry.read",
    "/v1/subprocessors": "registry.read",
    "/v1/exports?profile=art30-controller": "registry.export",
}


@pytest.mark.parametrize(("path", "scope"), ROUTES.items())
async def test_a_route_opens_for_its_scope_only(registry: Registry, path: str, scope: str) -> None:
    assert (await registry.get(path, scopes=None)).status_code == 401
    others = " ".join(word for word in SCOPES.split() if word != scope)
    assert (await registry.get(path, scopes=others)).status_code == 403


def then() -> dict[str, str]:
    """Rules of the future, as they are known now."""
    return {"as_of": "2099-01-01T00:00:00Z", "known_at": datetime.now(UTC).isoformat()}


async def bundle_of(registry: Registry, **query: Any) -> bytes:
    """In one format: what a bundle is does not depend on how many (`test_register.py` has them all, and drawing a PDF takes seconds)."""
    answer = await registry.get("/v1/exports", **(EXPORT | {"format": "csv"} | query))
    assert answer.status_code == 200, answer.text
    return answer.content


async def keys_of(registry: Registry) -> dict[str, Any]:
    return (await registry.get("/keys", scopes=None)).json()


async def test_the_book_in_force_is_signed(registry: Registry, book: PolicyBook) -> None:
    told = (await registry.get("/v1/policy/current")).json()
    keys = KeySet.import_key_set(await keys_of(registry))
    assert told["version"] == book.version
    assert PolicyBook.model_validate_json(opened(told["jws"], keys, POLICY)) == book
    with pytest.raises(NotSigned):
        opened(told["jws"], keys, BUNDLE)
    with pytest.raises(NotSigned):
        opened(told["jws"][:-8] + "AAAAAAAA", keys, POLICY)


async def test_a_restart_with_the_same_book_changes_nothing(site: Site) -> None:
    for _ in range(2):
        async with site.registry() as registry:
            versions = (await registry.get("/v1/policy/versions")).json()["items"]
            events = (await registry.get("/events", types="policy.in_force", wait=5)).json()["items"]
    assert [version["version"] for version in versions] == ["2026.1"]
    assert [(event["data"]["version"], event["data"]["sha256"]) for event in events] == [
        ("2026.1", versions[0]["sha256"])
    ]


async def test_followers_are_told_only_what_they_do_not_know(registry: Registry) -> None:
    version = (await registry.get("/v1/policy/versions")).json()["items"][0]
    news = await registry.get("/v1/policy/versions", known_after=version["known_from"])
    assert news.json() == {"items": [], "before": 1}


def test_a_book_with_faults_stops_the_start(site: Site, changed_book: Callable[..., Path]) -> None:
    longer_than_promised = changed_book((f"{RECORDINGS}30 days", f"{RECORDINGS.replace('30', '31')}30 days"))
    with pytest.raises(BookRefused, match="helpdesk_recordings"):
        create_app(site.settings(policy_book=longer_than_promised))


async def test_the_records_of_processing_answer_article_30(registry: Registry, book: PolicyBook) -> None:
    records = (await registry.get("/v1/ropa")).json()
    assert records["controller"]["data_protection_officer"] == book.controller.data_protection_officer
    assert [activity["purpose"] for activity in records["activities"]] == [purpose.key for purpose in book.purposes]
    for activity in records["activities"]:
        assert activity["subjects"] and activity["data"] and activity["recipients"]
        assert all(data["erasure"] for data in activity["data"])
    assert records["measures"] and records["findings"] and records["missing"]


async def test_the_csv_has_a_line_for_each_basis(registry: Registry, book: PolicyBook) -> None:
    written = files_of(await bundle_of(registry))["processing-data.csv"].decode()
    lines = list(csv.DictReader(io.StringIO(written)))
    assert {
        (line["purpose"], line["element"] or line["category"], line["context"], line["legal_basis"]) for line in lines
    } == {(row.purpose, row.covers, row.context, row.basis) for row in book.bases}


async def test_a_customer_s_sub_processors_depend_on_its_services(registry: Registry) -> None:
    everything = (await registry.get("/v1/subprocessors")).json()["items"]
    sms = (await registry.get("/v1/subprocessors", service="sms_notification")).json()["items"]
    assert len(everything) == 7
    assert {row["key"] for row in sms} == {"idm", "twilio", "microsoft"}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/exports", {}),
        ("/v1/exports", {"profile": "everything"}),
        ("/v1/exports", EXPORT | {"format": "docx"}),
        ("/v1/exports", EXPORT | {"as_of": "yesterday"}),
        ("/v1/exports", EXPORT | {"as_of": "2026-01-01T00:00:00"}),
        ("/v1/ropa", {"format": "pdf"}),
        ("/v1/policy/versions", {"known_after": "then"}),
        ("/v1/ropa", {"as_of": "9999-12-31T23:59:59Z"}),
        ("/v1/ropa", {"known_at": "0001-01-01T00:00:00+14:00"}),
    ],
)
async def test_a_malformed_question_is_a_clear_refusal(registry: Registry, path: str, query: dict[str, str]) -> None:
    refused = await registry.get(path, **query)
    assert refused.status_code == 422
    assert refused.json()["code"] == "request.invalid"


async def test_before_the_first_book_there_is_no_answer(registry: Registry) -> None:
    refused = await registry.get("/v1/ropa", as_of="1999-01-01T00:00:00Z")
    assert (refused.status_code, refused.json()["code"]) == (404, "registry.version_unknown")


async def test_a_bundle_is_the_same_bytes_and_verifies_offline(registry: Registry, tmp_path: Path) -> None:
    asked = then()
    raw = await bundle_of(registry, **asked)
    assert raw == await bundle_of(registry, **asked)
    (tmp_path / "bundle.zip").write_bytes(raw)
    (tmp_path / "jwks.json").write_text(json.dumps(await keys_of(registry)))
    command = [
        sys.executable,
        "-m",
        "services.registry.verify",
        tmp_path / "bundle.zip",
        "--keys",
        tmp_path / "jwks.json",
    ]
    found = subprocess.run(command, cwd=BOOK.parents[1], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, ""), found.stdout


async def test_any_flipped_byte_is_detected_and_its_place_is_named(registry: Registry) -> None:
    raw, keys = await bundle_of(registry), await keys_of(registry)
    assert verify.check(raw, keys) == []
    for place in [0, 20, *range(100, len(raw), len(raw) // 150), len(raw) - 1]:
        flipped = bytearray(raw)
        flipped[place] ^= 0x01
        assert verify.check(bytes(flipped), keys), f"byte {place} may be changed unseen"


async def test_a_file_changed_with_all_its_sums_is_named(registry: Registry) -> None:
    raw, keys = await bundle_of(registry), await keys_of(registry)
    files = files_of(raw)
    changed = files["processing-data.csv"].replace(b"consent", b"contract", 1)
    assert verify.check(packed(files | {"processing-data.csv": changed}), keys) == [
        "processing-data.csv is not the file that was signed"
    ]
    del files["processing-data.csv"]
    assert verify.check(packed(files), keys) == ["processing-data.csv is missing"]


def files_of(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    bundle.pack({name: partial(io.BytesIO, content) for name, content in files.items()}, written)
    return written.getvalue()


async def test_an_archive_that_somebody_else_packed_is_refused_before_anything_of_it_is_unpacked(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, keys = await bundle_of(registry), tmp_path / "keys.json"
    keys.write_text(json.dumps(await keys_of(registry)))
    files = files_of(raw)
    locked = bytearray(raw)
    for found in re.finditer(b"PK\x01\x02", raw):
        locked[found.start() + 8] |= 1  # general purpose flag, bit 0: encrypted
    bombs = [zipped(files | {name: bytes(1 << 26)}) for name in ("manifest.json", "manifest.jws", "policy-book.json")]
    path = tmp_path / "bundle.zip"
    for bad in (zipped(files), locked, *bombs):
        path.write_bytes(bad)
        tracemalloc.start()
        assert verify.main([str(path), "--keys", str(keys)]) == 1
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
        tracemalloc.stop()
        assert "in ours nothing is compressed or locked" in capsys.readouterr().out
    path.write_bytes(raw)
    assert verify.main([str(path), "--keys", str(keys)]) == 0
    assert "art30-controller as of 20" in capsys.readouterr().out, "an older one is told from a newer one"


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


async def test_another_s_keys_verify_nothing(registry: Registry) -> None:
    raw, keys = await bundle_of(registry, **then()), await keys_of(registry)
    assert verify.check(raw, {"keys": keys["keys"][:1]}) or verify.check(raw, {"keys": keys["keys"][1:]})
    assert verify.check(b"no archive", keys) != []


async def test_without_a_key_nothing_is_said_to_hold(registry: Registry, tmp_path: Path) -> None:
    raw = await bundle_of(registry)
    for keys in ({}, {"keys": []}, []):
        with pytest.raises(verify.CannotCheck):
            verify.check(raw, keys)
    (tmp_path / "bundle.zip").write_bytes(raw)
    (tmp_path / "keys.json").write_text('{"keys": []}')
    assert verify.main([str(tmp_path / "bundle.zip"), "--keys", str(tmp_path / "keys.json")]) == 2


async def test_a_tenant_s_auditor_sees_which_book_is_in_force_and_nothing_else_of_the_house(registry: Registry) -> None:
    token = registry.issuer.token("registry", "ledger.read", uuid4(), client_id="public")
    headers = {"authorization": f"Bearer {token}"}
    async with asyncio.timeout(PATIENCE):
        while not (page := (await registry.http.get(f"{registry.url}/ledger/entries", headers=headers)).json())[
            "items"
        ]:
            await asyncio.sleep(0.05)
    told = [json.loads(entry["body"]) for entry in page["items"] if entry["body"]]
    assert {event["type"] for event in told} == {"policy.in_force"}
    proof = await registry.http.get(f"{registry.url}/ledger/inclusion/{told[0]['id']}", headers=headers)
    assert proof.status_code == 200


async def test_a_bundle_has_only_the_formats_asked_for(registry: Registry) -> None:
    with zipfile.ZipFile(io.BytesIO(await bundle_of(registry, format="csv"))) as archive:
        assert "processing-records.csv" in archive.namelist() and "processing-records.json" not in archive.namelist()


async def test_changing_three_rows_changes_export_and_page(site: Site, changed_book: Callable[..., Path]) -> None:
    """Recordings 30 → 31 days, one traffic period, one purpose's basis; nothing else is touched."""
    changed = changed_book(
        ('version: "2026.1"', 'version: "2026.2"'),
        (f"{RECORDINGS}30 days", f"{RECORDINGS.replace('30', '31')}31 days"),
        ("    keep: 10 months", "    keep: 11 months"),
        ("    law: {min: 10 months, max: 10 months}", "    law: {min: 11 months, max: 11 months}"),
        ("covers: usage_statistics, basis: legitimate_interest", "covers: usage_statistics, basis: consent"),
    )
    seen = []
    async with site.registry() as registry:
        for file in (None, changed):
            if file:
                await registry.adopt(file)
            records = (await registry.get("/v1/ropa")).json()
            page = (await registry.get("/privacy", scopes=None, lang="en")).text
            seen.append((told(records), page_rows(page)))
        bundle, keys = await bundle_of(registry), await keys_of(registry)
    (records, page), (changed_records, changed_page) = seen
    assert difference(records, changed_records) == {
        ("rule", "helpdesk_recordings"): ("30 days", "31 days"),
        ("rule", "retained_internet_access"): ("10 months", "11 months"),
        ("basis", "development/usage_statistics/any"): ("legitimate_interest", "consent"),
    }
    assert set(difference(page, changed_page)) == {
        "helpdesk_recordings",
        "retained_internet_access",
        "development/usage_statistics/any",
    }
    assert "31 days after" in changed_page["helpdesk_recordings"]
    assert verify.check(bundle, keys) == []
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        assert json.loads(archive.read("policy-book.json"))["version"] == "2026.2"
        assert "31 dagar efter" in archive.read("privacy-page.sv.html").decode()


async def test_an_older_version_can_still_be_asked_for(site: Site, changed_book: Callable[..., Path]) -> None:
    async with site.registry() as registry:
        first = (await registry.get("/v1/policy/versions")).json()["items"][0]
        later = changed_book(
            ('version: "2026.1"', 'version: "2026.2"'),
            ("valid_from: 2024-01-01\nzone", "valid_from: 2025-01-01\nzone"),
        )
        await registry.adopt(later)
        assert (await registry.get("/v1/ropa")).json()["policy_version"] == "2026.2"
        assert (await registry.get("/v1/ropa", as_of="2024-06-01T00:00:00Z")).json()["policy_version"] == "2026.1"
        known = await registry.get("/v1/ropa", known_at=first["known_from"])
        assert known.json()["policy_version"] == "2026.1"


def told(records: dict[str, Any]) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for activity in records["activities"]:
        for data in activity["data"]:
            found["basis", f"{activity['purpose']}/{data['element'] or data['category']}/{data['context']}"] = data[
                "basis"
            ]
            found |= {("rule", rule["rule"]): rule["keep"] for rule in data["erasure"]}
    return found


def page_rows(page: str) -> dict[str, str]:
    rows = [
        piece.split("</tr>")[0] for mark in ("data-retention", "data-basis") for piece in page.split(f'{mark}="')[1:]
    ]
    return {row.split('"')[0]: row for row in rows}


def difference(before: dict[Any, str], after: dict[Any, str]) -> dict[Any, tuple[str, str]]:
    assert before.keys() == after.keys()
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def test_an_operator_s_own_book_in_its_house_comes_before_the_repository_s(site: Site, tmp_path: Path) -> None:
    assert site.settings(home=tmp_path).book_file == BOOK
    (tmp_path / "policy").mkdir()
    own = tmp_path / "policy" / "book.yaml"
    own.touch()
    assert site.settings(home=tmp_path).book_file == own
    assert site.settings(home=tmp_path, policy_book=BOOK).book_file == BOOK
