"""Case 10. Greta asks for deletion where two sources know no machine: a mailbox, searched by hand, and a vendor who promises a day.

The house has a data map of its own while she asks: the operator's stores, and these two.
"""

import shutil
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import orjson
import pytest

from ops.home import ROOT
from sample.cases import CASES
from tests.journeys.conftest import Act, ask
from tests.nordtel import Nordtel, request_of, until

OWNER = str(CASES[10].facts["mailbox"])
SOURCES = {"mailbox": "Postlåda", "archive": "Arkiv hos leverantör"}
BY_HAND = """
store: {store}
label: {{sv: {label}, en: {store}}}
kind: manual
controller: operator
manual:
  owner: {owner}
  instructions: {{sv: Sök efter personens adresser och radera., en: Search for the person's addresses and delete.}}
  elements: [helpdesk_email]
"""


@dataclass
class ByHand:
    """What was seen: while nobody had done anything · once the mailbox was attested and the vendor had promised · at the end."""

    promised: date
    open: dict[str, Any]
    half: dict[str, Any]
    half_answer: int
    closed: dict[str, Any]
    answer: dict[str, Any]
    certificate: dict[str, Any]


@pytest.fixture(scope="module")
def mapped(nordtel: Nordtel, february: Act) -> Iterator[None]:
    """Two sources more, until this is over."""
    shutil.copytree(ROOT / "policy" / "stores", nordtel.stack.home.data_map)
    for store, label in SOURCES.items():
        file = nordtel.stack.home.data_map / f"{store}.yaml"
        file.write_text(BY_HAND.format(store=store, label=label, owner=OWNER))
    nordtel.stack.restart("anonymizer")
    yield
    shutil.rmtree(nordtel.stack.home.data_map)
    nordtel.stack.restart("anonymizer")


@pytest.fixture(scope="module")
def greta(nordtel: Nordtel, mapped: None) -> ByHand:
    asked = ask(nordtel, "greta", {"kind": "deletion"})
    who, path = asked.who, f"/v1/requests/{asked.request['request']}"

    def seen() -> dict[str, Any]:
        return request_of(who, asked.request["request"])

    until("preview", lambda: seen()["state"] == "previewed")
    who.post(f"{path}/confirm", {"preview": who.get(f"{path}/preview").json()["digest"]})
    nordtel.move_to(nordtel.now() + timedelta(hours=72, minutes=1))
    until("tasks by hand", lambda: set(waiting(seen())) == set(SOURCES))
    before, promised = seen(), nordtel.now().date() + timedelta(days=30)
    attest(nordtel, waiting(before)["mailbox"]["step"])
    attest(nordtel, waiting(before)["archive"]["step"], pending_until=f"{promised}")
    until(
        "the vendor's promise",
        lambda: [s["waiting"]["pending_until"] for s in waiting(seen()).values()] == [f"{promised}"],
    )
    until("the mailbox's end", lambda: erased_by_hand(seen())["mailbox"] == "done")
    half, half_answer = seen(), who.try_to("GET", f"{path}/answer").status_code
    attest(nordtel, waiting(half)["archive"]["step"])
    until("the end", lambda: seen()["state"] == "closed")
    _, said, _ = who.get(f"{path}/certificate").json()["jws"].split(".")
    certificate = orjson.loads(urlsafe_b64decode(said + "=="))
    return ByHand(promised, before, half, half_answer, seen(), who.get(f"{path}/answer").json(), certificate)


def test_each_source_by_hand_has_an_owner_a_day_and_instructions(greta: ByHand):
    for step in waiting(greta.open).values():
        assert step["waiting"]["owner"] == OWNER and step["waiting"]["due"]
        assert step["waiting"]["instructions"]["sv"].startswith("Sök efter")


def test_it_cannot_close_while_the_mailbox_or_the_vendor_is_open(greta: ByHand):
    others = [step for step in greta.open["steps"] if step["store"] not in SOURCES]
    assert {step["state"] for step in others if step["verb"] == "erase"} <= {"done", "deferred", "running", "pending"}
    assert greta.open["state"] in ("executing", "checking")
    assert (greta.half["state"], greta.half["answered_at"], greta.half_answer) == ("executing", None, 409)


def test_an_attested_source_is_done_and_a_promised_one_is_pending_until_its_day(greta: ByHand):
    assert erased_by_hand(greta.half) == {"mailbox": "done", "archive": "waiting"}
    assert waiting(greta.half)["archive"]["waiting"]["pending_until"] == f"{greta.promised}"


def test_the_answer_and_the_certificate_name_who_attested_what_was_done(greta: ByHand):
    for said in (greta.answer, greta.certificate):
        by_hand = {each["store"]: each["attested"] for each in said["by_hand"]}
        assert set(by_hand) == set(SOURCES)
        assert all(one["by"] and one["at"] and len(one["evidence_sha256"]) == 64 for one in by_hand.values())
    assert greta.closed["closed_at"] and not waiting(greta.closed)


def waiting(request: dict[str, Any]) -> dict[str, Any]:
    return {step["store"]: step for step in request["steps"] if step["state"] == "waiting"}


def erased_by_hand(request: dict[str, Any]) -> dict[str, str]:
    """How far erasing is in each of the sources."""
    return {s["store"]: s["state"] for s in request["steps"] if s["store"] in SOURCES and s["verb"] == "erase"}


def attest(nordtel: Nordtel, request_step: str, **more: str) -> None:
    scan = {"count": 3, "evidence_sha256": "ab" * 32, "evidence_at": "archive 7/12"}
    nordtel.person("privacy").post(f"/v1/steps/{request_step}/attestation", scan | more)
