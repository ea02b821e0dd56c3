"""The way of a request as pure rules: first steps, the end, retries, and when what was kept is looked at again."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from services.anonymizer.contract import Outcome, Scope, Store
from services.registry.contract import Text
from services.requests.rights.contract import NotNow, State
from services.requests.rights.rules import proof, way
from tests.rights.test_clock import BOOK

STOCKHOLM = ZoneInfo("Europe/Stockholm")
NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
WORDS = Text(sv="Skäl", en="Reason")


@dataclass
class Step:
    verb: str
    state: str
    store: str = "billing"
    round: int = 1


def store(name: str, kind: str, elements: list[str], *verbs: str) -> Store:
    said = {"store": name, "label": WORDS, "kind": kind, "controller": "operator", "categories": []}
    return Store(**said, verbs=list(verbs), elements=elements)


STORES = [
    store("billing", "postgresql", ["name", "usage"], "collect", "preview", "erase", "verify"),
    store("lake", "parquet", ["usage"], "collect", "verify"),
    store("recordings", "folder", ["recorded_call"], "collect", "preview", "erase", "verify"),
    store("mailbox", "manual", ["usage"], "erase", "verify"),
]


def kept(until: date | None, count: int = 1, action: str = "keep", rule: str = "r") -> Outcome:
    said = {"table": "t", "element": "name", "category": "c", "reason": WORDS, "legal_ref": "x"}
    return Outcome(**said, rule=rule, action=action, until=until, count=count)


@pytest.mark.parametrize(
    ("verb", "scope", "planned"),
    [
        ("collect", None, [("billing", "collect"), ("lake", "collect"), ("recordings", "collect")]),
        ("preview", None, [("billing", "preview"), ("recordings", "preview")]),
        ("preview", Scope(recording="4711"), [("recordings", "erase")]),
        ("preview", Scope(elements=["usage", "cctv"]), [("billing", "erase"), ("mailbox", "erase")]),
        ("preview", Scope(elements=["cctv"]), []),
    ],
)
def test_each_store_that_can_is_asked_first(verb: str, scope: Scope | None, planned: list[tuple[str, str]]):
    assert [(each.store.store, each.verb) for each in way.first_steps(verb, scope, STORES)] == planned


@pytest.mark.parametrize(
    ("method", "confirmed_by", "alone"),
    [
        (None, "four_eyes", False),
        ("one_time_code", "four_eyes", False),
        ("call_back", "four_eyes", True),
        ("staff", "four_eyes", True),
        ("call_back", "person", False),
    ],
)
def test_whom_only_people_vouch_for_is_said_by_the_book(method: str | None, confirmed_by: str, alone: bool):
    changed = {"confirmed_by": confirmed_by}
    rights = [row.model_copy(update=changed) if row.key == "deletion" else row for row in BOOK.rights]
    book = BOOK.model_copy(update={"rights": tuple(rights)})
    assert proof.is_only_vouched_for(book, SimpleNamespace(kind="deletion", evidence_method=method)) == alone


@pytest.mark.parametrize(
    ("steps", "finished", "checking"),
    [
        ([], True, True),
        ([Step("erase", "done"), Step("verify", "pending")], False, True),
        ([Step("erase", "running")], False, False),
        ([Step("erase", "done"), Step("verify", "failed"), Step("erase", "pending", round=2)], False, False),
        ([Step("erase", "done"), Step("verify", "done"), Step("erase", "deferred", round=2)], True, True),
    ],
)
def test_a_request_is_finished_when_nothing_waits(steps: list[Step], finished: bool, checking: bool):
    assert (way.is_finished(steps), way.are_all_checking(steps)) == (finished, checking)


def test_retries_double_and_end_at_a_minute():
    pauses = [way.retry_after(tries, "anonymizer.store_unavailable").total_seconds() for tries in (1, 2, 3, 7, 1_000)]
    assert pauses == [1, 2, 4, 60, 60]
    assert way.retry_after(1_000, way.PROCESS_AWAY) == way.SOON, "a process that is away is back in seconds"


@pytest.mark.parametrize(
    ("outcomes", "when"),
    [
        ([], None),
        ([kept(None, action="erase")], None),
        ([kept(date(2027, 3, 1), count=0)], None),
        ([kept(date(2027, 3, 1)), kept(date(2027, 2, 1))], (datetime(2027, 2, 1, 23, tzinfo=UTC), date(2027, 2, 1))),
        ([kept(date(2027, 3, 1), rule="r.claim_open")], (NOW + timedelta(days=1), date(2027, 3, 1))),
        ([kept(None), kept(date(2027, 2, 1))], (NOW + timedelta(days=1), None)),
        ([kept(date(2027, 1, 15))], (NOW + timedelta(days=1), date(2027, 1, 15))),
    ],
)
def test_what_is_kept_is_looked_at_again_when_the_first_reason_may_have_ended(outcomes: list[Outcome], when: object):
    assert way.deferred_until(outcomes, NOW, STOCKHOLM) == when


def test_a_refusal_says_where_the_request_stands():
    with pytest.raises(NotNow) as refused:
        way.must_stand_in(State.executing, way.WITHDRAWABLE)
    assert refused.value.body()["state"] == "executing"
