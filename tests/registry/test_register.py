"""The living register over HTTP: dated rows, what is missing, bundles in every format, and questions it refuses."""

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from chassis.cells import no_formula
from ops.postgres import Postgres
from services.registry import verify
from services.registry.contract import HOUSE, PolicyBook
from services.registry.contract.dpv import terms
from services.registry.contract.register import KeepActivity
from services.registry.export.linked import DPV, GDPR
from services.registry.export.text import _line
from services.registry.rules import completeness
from tests.days import today
from tests.patience import busy
from tests.registry.conftest import SCOPES, Registry, Site, new_site
from tests.serving import slow_readers

STAFF = "registry.read registry.write registry.export"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def registry(server: Postgres) -> AsyncIterator[Registry]:
    """One of this module's own, to write in."""
    async with new_site(server) as site, site.registry() as registry:
        yield registry


def activity(**said: Any) -> dict[str, Any]:
    usual = {
        "key": f"billing_{uuid4().hex[:8]}",
        "label": {"sv": "Fakturering av företag", "en": "Invoicing of companies"},
        "purpose": "maintaining_service",
        "covers": ["customer_invoice"],
        "process": "Fakturering",
        "owner": "Ekonomi",
        "systems": ["billing"],
        "locations": ["Stockholm"],
        "source": "house: process map",
    }
    return usual | said


def contract(**said: Any) -> dict[str, Any]:
    usual = {
        "reference": f"A-{uuid4().hex[:8]}",
        "customer": str(uuid4()),
        "name": "Bolaget AB",
        "services": ["sms_notification"],
        "objection_window": "30 days",
        "source": "house: agreements",
    }
    return usual | said


async def kept(registry: Registry, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await registry.send("POST", path, body, "officer", STAFF)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def record_of(registry: Registry, key: str, **query: Any) -> dict[str, Any] | None:
    activities = (await registry.get("/v1/ropa", **query)).json()["activities"]
    return next((row for row in activities if row["key"] == key), None)


async def test_an_activity_says_what_the_book_s_rows_say_and_what_the_register_knows(registry: Registry) -> None:
    wish = activity()
    await kept(registry, "/v1/activities", wish)
    told = await record_of(registry, wish["key"])
    assert (told["process"], told["owner"], told["registered"]) == ("Fakturering", "Ekonomi", True)
    assert {(data["category"], data["basis"]) for data in told["data"]} == {("customer_invoice", "contract")}
    assert {rule["rule"] for data in told["data"] for rule in data["erasure"]} >= {"accounting_records"}
    assert "process_owner" not in told["missing"] and "assessment" in told["missing"]


async def test_what_no_row_speaks_of_is_still_in_the_record(registry: Registry, book: PolicyBook) -> None:
    await kept(registry, "/v1/activities", activity(covers=["traffic"]))
    rows = (await registry.get("/v1/ropa")).json()["activities"]
    told = {
        (row["purpose"], data["element"] or data["category"], data["context"]) for row in rows for data in row["data"]
    }
    assert told == {(row.purpose, row.covers, row.context) for row in book.bases}


async def test_a_field_is_answered_by_a_statement_or_named_as_missing(registry: Registry) -> None:
    wish = activity(statements={"automated_decisions": {"sv": "Inga", "en": "None"}})
    await kept(registry, "/v1/activities", wish)
    told = await record_of(registry, wish["key"])
    assert "automated_decisions" not in told["missing"] and "vulnerable_subjects" in told["missing"]
    lines = csv.DictReader(io.StringIO((await registry.get("/v1/ropa", format="csv", lang="en")).text))
    line = next(line for line in lines if line["activity"] == wish["key"])
    assert (line["automated_decisions"], line["vulnerable_subjects"]) == ("None", "— missing —")
    assert all(line[key] for key in completeness.keys()), "a cell is neither filled nor named as missing"


async def test_every_template_is_counted_cell_by_cell(registry: Registry) -> None:
    told = (await registry.get("/v1/completeness")).json()
    assert len(told["templates"]) == 18
    for row in told["templates"]:
        # The duplicate row of the comparison lacks its answer twice.
        assert row["cells"] == row["fields"] * told["activities"]
        assert row["cells"] - row["filled"] >= sum(row["missing"].values())
    by_name = {row["template"]: row for row in told["templates"]}
    assert (by_name["A30"]["fields"], by_name["BE"]["fields"], by_name["SK"]["fields"]) == (16, 46, 17)


async def test_what_was_known_then_stays_what_it_was(registry: Registry) -> None:
    wish = activity(valid_from="2024-01-01")
    await kept(registry, "/v1/activities", wish)
    before = datetime.now(UTC).isoformat()
    bundle = await bundle_of(registry, known_at=before, as_of=before)
    await kept(registry, "/v1/activities", wish | {"owner": "Inköp", "corrects": True})
    assert (await record_of(registry, wish["key"]))["owner"] == "Inköp"
    assert (await record_of(registry, wish["key"], known_at=before))["owner"] == "Ekonomi"
    assert bundle == await bundle_of(registry, known_at=before, as_of=before)


async def test_a_year_s_report_on_orders_is_published_with_its_small_numbers_hidden(registry: Registry) -> None:
    before, year = datetime.now(UTC).isoformat(), today().year - 1
    figures = {"requests": 40, "executed": 30, "refused": None, "nothing": None, "withdrawn": None, "pending": None}
    row = figures | {"instrument": "se_subscription", "median_days": 4}
    report = {"year": year, "least": 5, "rows": [row, row | {"instrument": "total"}]}
    path = f"/v1/transparency-reports/{year}"
    for bent, code in (
        ({"rows": [row | {"refused": 2}]}, (409, "registry.figures_too_small")),
        ({"rows": [row | {"instrument": "gossip"}]}, (422, "registry.unknown_reference")),
        ({"year": year - 1}, (422, "registry.unknown_reference")),
    ):
        refused = await registry.send("PUT", path, report | bent, "officer", STAFF)
        assert (refused.status_code, refused.json()["code"]) == code
    early = await registry.send(
        "PUT", f"/v1/transparency-reports/{year + 1}", report | {"year": year + 1}, "officer", STAFF
    )
    assert (early.status_code, early.json()["code"]) == (422, "registry.not_known_yet")
    assert (await registry.send("PUT", path, report, "officer", STAFF)).status_code == 200
    answer = await registry.get("/v1/exports", profile="transparency", format="csv", lang="en")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        lines = list(csv.DictReader(io.StringIO(archive.read("transparency.csv").decode())))
    told = {line["key"]: (line["year"], line["requests"], line["executed"], line["refused"]) for line in lines}
    assert told == dict.fromkeys(("se_subscription", "total"), (str(year), "40", "30", "*"))
    then = await registry.get("/v1/exports", profile="transparency", format="csv", lang="en", known_at=before)
    with zipfile.ZipFile(io.BytesIO(then.content)) as archive:
        assert "— missing —" in archive.read("transparency.csv").decode(), "nobody had filed it then"


async def test_a_row_counts_from_its_first_day_to_its_last(registry: Registry) -> None:
    wish, last = activity(), today()
    await kept(registry, "/v1/activities", wish | {"valid_from": "2025-01-01", "owner": "Första"})
    await kept(registry, "/v1/activities", wish | {"valid_from": "2025-07-01", "owner": "Andra"})
    await kept(registry, "/v1/activities", wish | {"valid_from": "2026-01-01", "valid_to": str(last), "owner": "Sista"})
    owners = [
        (await record_of(registry, wish["key"], as_of=f"{day}T12:00:00Z") or {}).get("owner")
        for day in ("2024-12-31", "2025-06-30", "2025-07-01", last, last + timedelta(days=1))
    ]
    assert owners == [None, "Första", "Andra", "Sista", None]


async def test_days_that_are_spoken_of_already_change_only_as_a_correction(registry: Registry) -> None:
    wish = activity(valid_from="2025-01-01")
    await kept(registry, "/v1/activities", wish)
    for begins in ("2025-01-01", "2024-06-01"):
        refused = await registry.send("POST", "/v1/activities", wish | {"valid_from": begins}, "officer", STAFF)
        assert (refused.status_code, refused.json()["code"]) == (409, "registry.validity_overlaps")
    await kept(registry, "/v1/activities", wish | {"valid_from": "2024-06-01", "corrects": True})


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/activities", {"purpose": "curiosity"}, "registry.unknown_reference"),
        ("/v1/activities", {"covers": ["secrets"]}, "registry.unknown_reference"),
        ("/v1/activities", {"statements": {"mood": {"sv": "bra", "en": "good"}}}, "registry.unknown_reference"),
        ("/v1/activities", {"dpv": ["https://w3id.org/dpv#Gossip"]}, "registry.unknown_term"),
        ("/v1/activities", {"valid_from": "2026-02-01", "valid_to": "2026-01-01"}, "registry.validity_overlaps"),
        ("/v1/activities", {"known_from": "2020-01-01T00:00:00Z"}, "request.invalid"),
        ("/v1/activities", {"owner": "bell \u0007"}, "request.invalid"),
        ("/v1/contracts", {"objection_window": "at once"}, "registry.no_window"),
        ("/v1/contracts", {"objection_window": "12 hours"}, "registry.no_window"),
        ("/v1/contracts", {"objection_window": "0 days"}, "request.invalid"),
        ("/v1/contracts", {"services": ["telepathy"]}, "registry.unknown_reference"),
        ("/v1/contracts", {"services": []}, "request.invalid"),
        ("/v1/contracts", {"notices_to": "a@b.example\r\nBcc: c@d.example"}, "request.invalid"),
    ],
)
async def test_what_the_register_cannot_mean_is_refused(
    registry: Registry, path: str, body: dict[str, Any], code: str
) -> None:
    usual = activity() if path == "/v1/activities" else contract()
    refused = await registry.send("POST", path, usual | body, "officer", STAFF)
    assert refused.json()["code"] == code and refused.status_code in (409, 422)


async def test_nobody_asks_for_what_will_be_known_later(registry: Registry) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for path, query in (("/v1/ropa", {}), ("/v1/exports", {"profile": "transfers"})):
        refused = await registry.get(path, known_at=tomorrow, **query)
        assert (refused.status_code, refused.json()["code"]) == (422, "registry.not_known_yet")


async def test_a_regulator_reads_and_writes_nothing(registry: Registry) -> None:
    regulator = "registry.read registry.export policy.read"
    for path, body in (("/v1/activities", activity()), ("/v1/contracts", contract())):
        assert (await registry.send("POST", path, body, "imy", regulator)).status_code == 403
    assert (await registry.get("/v1/ropa", regulator)).status_code == 200


async def test_a_customer_s_sub_processors_are_those_of_its_services(registry: Registry) -> None:
    wish = contract(services=["sms_notification"])
    await kept(registry, "/v1/contracts", wish)
    told = (await registry.get("/v1/subprocessors", customer=wish["customer"])).json()
    assert {row["key"] for row in told["items"]} == {"idm", "twilio", "microsoft"}
    unknown = await registry.get("/v1/subprocessors", customer=str(uuid4()))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "registry.contract_unknown")


async def test_a_transfer_is_due_until_somebody_says_what_makes_it_lawful(registry: Registry) -> None:
    lawful = {
        "subprocessor": "twilio",
        "place": "us",
        "mechanism": "adequacy",
        "decision": "data_privacy_framework",
        "listed_on": str(today()),
        "review_at": "2099-01-01",
        "source": "house: list of participants",
    }
    before = datetime.now(UTC).isoformat()
    await kept(registry, "/v1/transfers", lawful)
    assert await due(registry, "twilio/us", known_at=before) == ["mechanism_not_stated"]
    assert await due(registry, "twilio/us") == []
    await kept(
        registry, "/v1/transfers", lawful | {"listed_on": "2024-01-01", "review_at": "2025-01-01", "corrects": True}
    )
    assert await due(registry, "twilio/us") == ["importer_not_looked_up", "review_due"]
    # The decision began on 10 July 2023; on a day before, nothing rests on it.
    shut = await registry.send("POST", "/v1/transfers", lawful | {"place": "de"}, "officer", STAFF)
    assert shut.json()["code"] == "registry.unknown_reference"


async def test_the_public_reads_what_the_register_says_since_and_a_bundle_has_that_page(registry: Registry) -> None:
    async def page() -> str:
        return (await registry.get("/privacy", scopes=None, lang="en")).text

    before, clauses = await page(), "standard contractual clauses"
    wish = {"subprocessor": "eviexa", "place": "us", "mechanism": "scc", "module": "2", "source": "house: signed"}
    await kept(registry, "/v1/transfers", wish)
    after = await page()
    assert after.count(clauses) == before.count(clauses) + 1
    with zipfile.ZipFile(io.BytesIO(await bundle_of(registry))) as archive:
        assert archive.read("privacy-page.en.html").decode() == after


async def due(registry: Registry, key: str, **query: Any) -> list[str]:
    items = (await registry.get("/v1/transfers", **query)).json()["items"]
    return [each["reason"] for row in items if row["key"] == key for each in row["due"]]


async def test_the_difference_names_row_and_field(registry: Registry) -> None:
    wish = activity()
    await kept(registry, "/v1/activities", wish | {"valid_from": "2025-01-01"})
    before = datetime.now(UTC).isoformat()
    await kept(registry, "/v1/activities", wish | {"valid_from": "2025-01-01", "owner": "Inköp", "corrects": True})
    items = (await registry.get("/v1/diff", **{"from": before})).json()["register_rows"]
    mine = [item for item in items if item["key"] == wish["key"]]
    assert [(item["change"], item["fields"]) for item in mine] == [
        ("changed", [{"field": "owner", "before": "Ekonomi", "after": "Inköp"}])
    ]


async def test_the_feed_names_the_newest_change_first(registry: Registry, book: PolicyBook) -> None:
    from xml.etree import ElementTree

    wish = activity()
    entry = await kept(registry, "/v1/activities", wish)
    feed = ElementTree.fromstring((await registry.get("/v1/feed.atom")).content)
    name = "{http://www.w3.org/2005/Atom}"
    entries = feed.findall(f"{name}entry")
    assert entries[0].findtext(f"{name}id") == f"urn:uuid:{entry['entry']}"
    titles = [each.findtext(f"{name}title") for each in entries]
    assert f"activity: {wish['key']}" in titles and "policy book 2026.1" in titles
    summaries = [each.findtext(f"{name}summary") for each in entries]
    assert any(summary.startswith(f"in force from {book.valid_from},") for summary in summaries), (
        "the day as it is there"
    )
    assert not any(title.startswith("contract") for title in titles), "agreements are between operator and customer"


async def bundle_of(registry: Registry, **query: Any) -> bytes:
    answer = await registry.get("/v1/exports", **({"profile": "art30-controller", "format": "json"} | query))
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.fixture(scope="module")
async def everything(registry: Registry) -> dict[str, bytes]:
    """The files of a bundle with every format, in English."""
    await kept(
        registry, "/v1/activities", activity(label={"sv": "Åtgärder", "en": "=cmd()"}, owner="Röstgatan 1 ÅÄÖ åäö é")
    )
    await kept(registry, "/v1/activities", activity(owner="中国 Telecom 電"))
    answer: httpx2.Response = await registry.get("/v1/exports", profile="art30-controller", lang="en")
    keys = (await registry.get("/keys", scopes=None)).json()
    assert verify.check(answer.content, keys) == []
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


async def test_a_bundle_says_what_it_is(everything: dict[str, bytes]) -> None:
    manifest = json.loads(everything["manifest.json"])
    told = json.loads(everything["processing-records.json"])
    assert manifest["rows"]["processing-records"] == len(told["items"])
    assert json.loads(manifest["register_row"]["body"])["type"] == "register.changed"
    assert {row["path"] for row in manifest["files"]} == everything.keys() - {"manifest.json", "manifest.jws"}


# rdflib's own parser still uses what it deprecates.
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")
async def test_the_linked_data_are_dpv_s_own_words(everything: dict[str, bytes]) -> None:
    import rdflib

    graph = rdflib.Graph().parse(data=everything["art30-controller.jsonld"], format="json-ld")
    used = {str(term) for triple in graph for term in triple if str(term).startswith((DPV, GDPR))}
    assert used and used <= terms(), f"no terms of DPV: {sorted(used - terms())}"
    processes = set(graph.subjects(rdflib.RDF.type, rdflib.URIRef(f"{DPV}Process")))
    assert len(processes) >= len(json.loads(everything["processing-records.json"])["items"])
    bases = set(graph.objects(None, rdflib.URIRef(f"{DPV}hasLegalBasis")))
    assert rdflib.URIRef(f"{GDPR}A6-1-b") in bases


async def test_the_spreadsheet_has_every_sheet_and_no_formula(everything: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(everything["art30-controller.xlsx"])) as book:
        assert "Processing activities" in book.read("xl/workbook.xml").decode()
        sheets = [book.read(name).decode() for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
    assert len(sheets) == 8
    assert not any("<f>" in sheet for sheet in sheets)
    assert any("=cmd()" in sheet for sheet in sheets)
    assert "'=cmd()" in everything["processing-records.csv"].decode()


def test_no_cell_of_a_csv_is_taken_for_a_formula_by_whoever_separates_cells_by_semicolons() -> None:
    quoted = ('\n"=1+1"', 'a;"=1+1";b', '","\n""=1+1', "＝1+1", "a;＋1")
    for text in ("=1+1", "a;=1+1;b", "a\n=1+1", "a\r\n@SUM(1)", "\t-1", *quoted):
        for delimiter in ",;\t":
            cells = [
                each
                for row in csv.reader(
                    io.StringIO(_line(["first", no_formula(text)]).decode(), newline=""), delimiter=delimiter
                )
                for each in row
            ]
            assert not [each for each in cells if each.lstrip('"').startswith(tuple("=+-@＝＋－＠"))], (text, delimiter)
    for harmless in ("A-1; b = c", 'sade "nej"; "ja"', "12 + 3"):
        assert no_formula(harmless) == harmless


async def test_one_field_without_end_does_not_keep_everybody_from_a_bundle(site: Site) -> None:
    """A word that fits no line was measured anew for each of its lines: an hour of work for one row, while all others wait."""
    async with site.registry() as registry:
        await kept(
            registry, "/v1/activities", activity(owner="x" * 900_000, process="Början " + "y" * 40_000 + " slut")
        )
        async with asyncio.timeout(40 * busy()):
            answer = await registry.get("/v1/exports", profile="art30-controller", format=["pdf", "xlsx"], lang="sv")
        assert verify.check(answer.content, (await registry.get("/keys", scopes=None)).json()) == []
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        parts = [archive.read(name) for name in sorted(archive.namelist()) if name.endswith(".pdf")]
        with zipfile.ZipFile(io.BytesIO(archive.read("art30-controller.xlsx"))) as book:
            sheets = "".join(book.read(name).decode() for name in book.namelist() if "worksheets/sheet" in name)
    told = "".join(text_of(part) for part in parts)
    assert told.count("x") > 900_000 and told.count("y") > 40_000 and "Början" in told
    assert "(allt står i CSV och JSON)" in sheets, "what a cell of a spreadsheet cannot hold is not left out in silence"


def text_of(pdf: bytes) -> str:
    import pypdfium2

    document = pypdfium2.PdfDocument(pdf)
    told = "\n".join(page.get_textpage().get_text_bounded() for page in document)
    document.close()
    return told


async def test_the_document_has_every_letter(everything: dict[str, bytes]) -> None:
    told = text_of(everything["art30-controller.pdf"])
    for words in ("Record of processing activities", "LEK (2022:482) 8 kap.", "Röstgatan 1 ÅÄÖ åäö é", "— missing —"):
        assert words in told, words
    assert "\ufffd\ufffd Telecom \ufffd" in told, "what it has no letter for is not left out in silence"
    assert "A character that this document cannot show" in " ".join(told.split())


async def test_a_bundle_of_every_format_is_the_same_bytes_again(registry: Registry) -> None:
    await kept(registry, "/v1/contracts", contract())
    asked = {"profile": "art30-processor", "known_at": (now := datetime.now(UTC).isoformat()), "as_of": now}
    first, again = [(await registry.get("/v1/exports", **asked)).content for _ in range(2)]
    assert first == again
    assert verify.check(first, (await registry.get("/keys", scopes=None)).json()) == []


FINDING = {
    "key": "look/one", "kind": "mislabelled", "statement": {"sv": "Sent", "en": "Late"}, "rows": [], "owner": "counsel",
    "due_on": "2027-01-01", "found_at": "2026-01-01T00:00:00Z", "state": "open",
}  # fmt: skip
SAY = "INSERT INTO registry.finding_entry (tenant, key, known_from, body) VALUES ($1, $2, $3, $4)"


async def test_what_is_on_its_way_when_a_bundle_is_asked_for_is_in_it_or_in_none_of_that_instant(
    site: Site, server: Postgres
) -> None:
    """Its instant was read before the bundle's, and it is committed after it: the same question gave other bytes then."""
    async with site.registry() as registry:
        admin = await server.connect(site.database)
        writing = admin.transaction()
        await writing.start()
        await admin.execute("SELECT pg_advisory_xact_lock(hashtextextended('finding', 0))")
        await admin.execute(SAY, HOUSE, FINDING["key"], datetime.now(UTC), json.dumps(FINDING))
        await asyncio.sleep(0.01)
        asked = {"known_at": (now := datetime.now(UTC).isoformat()), "as_of": now}
        first = asyncio.create_task(bundle_of(registry, **asked))
        await asyncio.sleep(1)
        await writing.commit()
        await admin.close()
        assert await first == await bundle_of(registry, **asked)


@pytest.mark.parametrize("kind", ["register", "policy_version", "finding", "access", "breaches"])
async def test_a_bundle_waits_for_whoever_sets_an_instant_now(site: Site, server: Postgres, kind: str) -> None:
    async with site.registry() as registry:
        admin = await server.connect(site.database)
        writing = admin.transaction()
        await writing.start()
        await admin.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", kind)
        asked = asyncio.create_task(bundle_of(registry, profile="transparency"))
        assert (await asyncio.wait([asked], timeout=1))[1] == {asked}
        await writing.commit()
        await admin.close()
        assert await asked


async def test_a_bundle_is_the_same_bytes_again_though_the_register_went_on_meanwhile(registry: Registry) -> None:
    asked = {"known_at": (now := datetime.now(UTC).isoformat()), "as_of": now}
    first = await bundle_of(registry, **asked)
    changing = [kept(registry, "/v1/activities", activity()) for _ in range(10)]
    while_changing, *_ = await asyncio.gather(bundle_of(registry, **asked), *changing)
    await asyncio.sleep(1.5)  # a newer head of the ledger is signed
    assert first == while_changing == await bundle_of(registry, **asked)


@pytest.mark.parametrize(("profile", "scope"), [("breaches", "breach.read"), ("access-reviews", "access.read")])
async def test_a_profile_about_breaches_or_access_needs_its_own_scope(
    registry: Registry, profile: str, scope: str
) -> None:
    refused = await registry.get("/v1/exports", "registry.export", profile=profile, format="csv")
    assert (refused.status_code, refused.json()["code"]) == (403, "request.forbidden")
    given = await registry.get("/v1/exports", f"registry.export {scope}", profile=profile)
    assert verify.check(given.content, (await registry.get("/keys", scopes=None)).json()) == []


@pytest.mark.parametrize("profile", ["subprocessors", "transfers"])
async def test_every_profile_says_what_is_missing(registry: Registry, profile: str) -> None:
    answer = await registry.get("/v1/exports", profile=profile, format="csv", lang="en")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".csv")]
    assert len(files) == {"subprocessors": 2}.get(profile, 1)
    assert "— missing —" in "".join(files)


_LARGE = """
INSERT INTO registry.register_entry (tenant, id, kind, key, valid_from, known_from, body, recorded_by, event)
SELECT gen_random_uuid(), gen_random_uuid(), 'activity', 'large_' || n, date '2020-01-01', timestamptz '2020-01-01', $1,
    'a test', gen_random_uuid()
FROM generate_series(1, 3000) n"""


async def test_who_reads_the_register_slowly_keeps_nobody_from_the_registry(server: Postgres) -> None:
    async with new_site(server) as site, site.registry() as registry:
        admin = await server.connect(site.database)
        body = KeepActivity.model_validate_json(json.dumps(activity(process="x" * 200)))
        await admin.execute(_LARGE, body.model_dump_json())
        await admin.close()
        headers = {"authorization": f"Bearer {registry.issuer.token('registry', SCOPES, client_id='public')}"}
        async with slow_readers([f"{registry.url}/v1/ropa"] * 3, headers) as readers:
            answer = await registry.get("/ledger/checkpoint")
            assert answer.status_code == 200, answer.text
            told = json.loads(await readers[0].reads_on())
            assert len(told["activities"]) >= 3000
