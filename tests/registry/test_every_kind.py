"""One changed row of each kind of the book, by one approved proposal: what is signed for the services, what is exported and what
the public reads all say it, and no code was touched. What the engine then does with the rows is seen in the journeys."""

import io
import json
import re
import zipfile
from html import unescape
from pathlib import Path
from typing import Any

from services.registry.contract import PolicyBook
from tests.registry.conftest import BOOK, Site

# section → (what stands there, what a lawyer makes of it, words the public page then has; None: the page does not show the row)
CHANGES = {
    "controller": ("address: Exempelgatan 1, ", "address: Exempelgatan 2, ", "Exempelgatan 2"),
    "authorities": ("address: Box 8114, 104 20 Stockholm", "address: Box 9999, 104 20 Stockholm", "Box 9999"),
    "categories": ("en: Quality measures}", "en: Measures of quality}", "Measures of quality"),
    "collection": ("en: When you contact us}", "en: When you call or write to us}", "When you call or write to us"),
    "purposes": ("en: Local law compliance}", "en: Compliance with the law}", "Compliance with the law"),
    "bases": ("covers: usage_statistics, basis: legitimate_interest", "covers: usage_statistics, basis: consent", None),
    "conditions": ("label: {sv: Ärendet är öppet, en: The case is open}", "label: {sv: Öppet, en: The case stands open}", "The case stands open"),
    "recipients": ("en: When you call outside our network}", "en: When you call other networks}", "When you call other networks"),
    "places": ("label: {sv: Kanada, en: Canada}", "label: {sv: Kanada, en: Canada (Quebec)}", "Canada (Quebec)"),
    "subprocessors": ("legal_name: Eviexa,", "legal_name: Eviexa Ltd,", "Eviexa Ltd"),
    "rights": ("en: Claim damages, in writing.", "en: Claim damages in a letter.", "Claim damages in a letter."),
    "subjects": ("en: Visitors}", "en: Visitors of ours}", None),
    "services": ("en: Broadband}", "en: Fixed broadband}", None),
    "transfers": ("twilio, place: us, mechanism: not_stated,", "twilio, place: us, mechanism: scc,", "standard contractual clauses"),
    "adequacy": ('en: "Canada, commercial organisations"}', "en: Canada for companies}", None),
    "order_categories": ("en: Location data}", "en: Where somebody was}", None),
    "instruments": ("en: Subscription data}", "en: Data of a subscription}", None),
    "withdrawals": ('legal_ref: "GDPR Art. 7(3), 17(1)(b)"', 'legal_ref: "GDPR Art. 17(1)(b)"', None),
    "limits": ("{sv: Nedladdningar av ett utdrag, en: Downloads of a package}, number: 5", "{sv: Nedladdningar av ett utdrag, en: Downloads of a package}, number: 4", None),
    "measures": ("en: Entrances of data centres are recorded.}", "en: Every entrance is recorded.}", "Every entrance is recorded."),
    "clauses": ("and seek a judicial remedy.", "and go to court.", "and go to court."),
    "findings": ("decision: {sv: 30 dagar., en: 30 days.}", "decision: {sv: 30 dagar så länge., en: 30 days for now.}", None),
}  # fmt: skip
RETENTION = (("    keep: 10 months", "    keep: 11 months"), ("law: {min: 10 months, max: 10 months}", "law: {min: 11 months, max: 11 months}"))  # fmt: skip


def changed(folder: Path) -> Path:
    text = BOOK.read_text()
    pairs = [('version: "2026.1"', 'version: "2026.2"'), *RETENTION, *((old, new) for old, new, _ in CHANGES.values())]
    for old, new in pairs:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the book"
        text = text.replace(old, new)
    file = folder / "book.yaml"
    file.write_text(text)
    return file


async def test_one_changed_row_of_each_kind_is_signed_exported_and_published(
    site: Site, book: PolicyBook, tmp_path: Path
) -> None:
    async with site.registry() as registry:
        approved = await registry.adopt(changed(tmp_path))
        signed = (await registry.get("/v1/policy/current")).json()["jws"]
        raw = (await registry.get("/v1/exports", profile="art30-controller", format="json")).content
        page = words((await registry.get("/privacy", scopes=None, lang="en")).text)
        history = words((await registry.get("/privacy/history", scopes=None, lang="en")).text)
    touched = {row["where"].split("/")[0] for row in approved["differences"]}
    assert touched == {*CHANGES, "retention"}, "a lawyer reads a sentence about each"
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        exported = json.loads(archive.read("policy-book.json"))
        assert archive.read("policy-book.jws").decode() == signed, "what services follow is what is exported"
    before = book.model_dump(mode="json")
    assert {name for name in CHANGES if exported[name] == before[name]} == set()
    assert [said for _, _, said in CHANGES.values() if said and said not in page] == []
    assert "11 months after the communication" in page and "Retained by law: internet access”, kept: was 10" in history
    assert told_of(exported, "development", "usage_statistics") == "consent"


def words(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def told_of(exported: dict[str, Any], purpose: str, covers: str) -> str:
    return next(row["basis"] for row in exported["bases"] if (row["purpose"], row["covers"]) == (purpose, covers))
