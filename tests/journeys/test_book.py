"""Whoever changes a rule changes one row: behaviour, register, regulator's export and public page follow, and no code."""

import ast
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ops.home import ROOT
from services.registry.contract import PolicyBook
from tests.journeys.conftest import NewBook
from tests.journeys.looks import SEEN
from tests.kinds import CHANGES, VERSION

# Services that decide by the book. The times in identity's and webhooks' rules are those of their protocols.
BY_THE_BOOK = ("services/anonymizer", "services/consent", "services/registry", "services/requests")
RULES = sorted(
    path
    for service in BY_THE_BOOK
    for path in (ROOT / service).rglob("*.py")
    if "rules" in path.relative_to(ROOT).with_suffix("").parts
)
_PERIOD = re.compile(r"\b\d+ (day|week|month|year|hour)s?\b")


def counted(simulation: dict[str, Any], store: str, table: str, rule: str) -> int:
    return sum(i["count"] for i in simulation["items"] if (i["store"], i["table"], i["rule"]) == (store, table, rule))


def test_whoever_is_to_approve_a_book_sees_what_it_would_do_to_the_stores_on_its_first_day(new_book: NewBook):
    seen = {
        (row["store"], row["element"], row["before"]["action"], row["after"]["action"]): row["count"]
        for row in new_book.proposal["consequences"]
    }
    assert seen["recordings", "helpdesk_recording", "delete", "keep"] == new_book.of_that_day
    words = [row["words"]["en"] for row in new_book.proposal["differences"]]
    assert "Retention “Helpdesk call recordings”, kept: was 30 days; becomes 31 days." in words


def test_recordings_of_the_thirtieth_day_go_by_the_old_book_and_stay_by_the_new(new_book: NewBook):
    where = ("recordings", "recording", "helpdesk_recordings")
    assert (
        counted(new_book.before.simulation, *where) - counted(new_book.after.simulation, *where) == new_book.of_that_day
    )
    assert new_book.of_that_day >= 2


def test_internet_access_of_the_eleventh_month_goes_by_the_old_book_and_stays_by_the_new(new_book: NewBook):
    where = ("calls", "retained_call_record", "retained_internet_access")
    assert counted(new_book.before.simulation, *where) > counted(new_book.after.simulation, *where)


def test_a_use_that_now_rests_on_consent_is_refused_without_one(new_book: NewBook):
    assert new_book.before.decision["decision"] is True
    assert new_book.after.decision["decision"] is False


@pytest.mark.parametrize("kind", SEEN)
def test_a_changed_row_of_each_kind_is_executed(new_book: NewBook, kind: str):
    assert new_book.executed[kind] == SEEN[kind]


def test_every_kind_of_row_is_seen_executed_or_is_only_said():
    kinds = PolicyBook.model_fields.keys() - {"version", "valid_from", "zone", "tenant_periods", "tenant_endings"}
    assert CHANGES.keys() == kinds, "somebody added a kind: change a row of it, and say what executes it"
    assert {kind for kind in kinds if not CHANGES[kind].only_said} == {*SEEN, "retention"}


def test_the_register_the_export_and_the_page_say_the_new_rules(new_book: NewBook):
    said = [(look.ropa, look.export, look.page) for look in (new_book.before, new_book.after)]
    for before, after in zip(*said, strict=True):
        assert before != after
    assert "30 days" in rule_of(new_book.before.ropa, "helpdesk_recordings")
    assert "31 days" in rule_of(new_book.after.ropa, "helpdesk_recordings")
    assert "11 months" in rule_of(new_book.after.ropa, "retained_internet_access")
    assert "31 dagar efter" in new_book.after.page and "31 dagar efter" not in new_book.before.page
    with zipfile.ZipFile(io.BytesIO(new_book.after.export)) as bundle:
        book = json.loads(bundle.read("policy-book.json"))
    bases = {(row["purpose"], row["covers"]): row["basis"] for row in book["bases"]}
    assert (book["version"], bases["development", "usage_statistics"]) == (VERSION, "consent")


def rule_of(ropa: dict[str, Any], rule: str) -> str:
    """How long a rule keeps, as the register says it."""
    said = {
        one["rule"]: one["keep"]
        for activity in ropa["activities"]
        for data in activity["data"]
        for one in data["erasure"]
    }
    return said[rule]


@pytest.mark.parametrize("path", RULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_rules_module_contains_a_period(path: Path):
    found = [f"line {node.lineno}" for node in ast.walk(ast.parse(path.read_text())) if is_period(node)]
    assert found == [], "a period belongs into the policy book"


def is_period(node: ast.AST) -> bool:
    """A length of time that a book would state. One day at a time is walking a calendar, a minute or less is trying again."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(_PERIOD.fullmatch(node.value))
    if not isinstance(node, ast.Call) or getattr(node.func, "id", getattr(node.func, "attr", "")) != "timedelta":
        return False
    written = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
    positional = [argument for argument in node.args if isinstance(argument, ast.Constant)]
    return (
        bool(positional)
        or bool(written.keys() & {"weeks", "hours"})
        or written.get("days", 0) > 1
        or written.get("minutes", 0) > 1
        or written.get("seconds", 0) > 60
    )
