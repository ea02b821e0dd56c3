"""One changed row of every kind of the book, by one approved proposal: what is signed for the services, what is exported and what
the public reads all say it, and no code was touched. What the house then does by the rows is seen in the journeys."""

import io
import json
import re
import zipfile
from html import unescape
from pathlib import Path
from typing import Any

from ops.home import ROOT
from services.registry.contract import PolicyBook
from tests.kinds import CHANGES, changed
from tests.registry.conftest import BOOK, Site


async def test_one_changed_row_of_each_kind_is_signed_exported_and_published(
    site: Site, book: PolicyBook, tmp_path: Path
) -> None:
    async with site.registry() as registry:
        file = tmp_path / "book.yaml"
        file.write_text(changed(BOOK.read_text()))
        approved = await registry.adopt(file)
        signed = (await registry.get("/v1/policy/current")).json()["jws"]
        raw = (await registry.get("/v1/exports", profile="art30-controller", format="json")).content
        page = words((await registry.get("/privacy", scopes=None, lang="en")).text)
        history = words((await registry.get("/privacy/history", scopes=None, lang="en")).text)
    touched = {row["where"].split("/")[0] for row in approved["differences"]}
    assert touched == CHANGES.keys(), "a lawyer reads a sentence about each"
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        exported = json.loads(archive.read("policy-book.json"))
        assert archive.read("policy-book.jws").decode() == signed, "what services follow is what is exported"
    before = book.model_dump(mode="json")
    assert {name for name in CHANGES if exported[name] == before[name]} == set()
    assert [kind for kind, change in CHANGES.items() if change.page and change.page not in page] == []
    assert "Retained by law: internet access”, kept: was 10" in history
    assert told_of(exported, "development", "usage_statistics") == "consent"


# What nobody executes yet: emergency access to the platform itself, and the second review of an emergency's order.
LATER = {"break_glass", "break_glass_review", "emergency_order_review"}


def test_every_limit_of_the_book_is_asked_for_by_some_code(book: PolicyBook) -> None:
    policy = (ROOT / "services" / "registry" / "contract" / "policy.py").read_text()
    asked = {row.limit for row in book.breach_clocks} | LATER
    asked |= set(re.findall(r'self\.(?:period|number)\("(\w+)"\)', policy))  # of a purpose that says nothing itself
    code = [
        path.read_text()
        for folder in ("services", "ops", "gateway")
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in ("policy.py", "words.py")
    ]
    assert [
        row.key for row in book.limits if row.key not in asked and not any(f'"{row.key}"' in text for text in code)
    ] == []


def words(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def told_of(exported: dict[str, Any], purpose: str, covers: str) -> str:
    return next(row["basis"] for row in exported["bases"] if (row["purpose"], row["covers"]) == (purpose, covers))
