"""Fjällresor says how long its dialogues are kept; then its contract ends: everything that was processed for it comes back, goes
here, and a certificate says so.

The house has a data map of its own meanwhile: the operator's stores, and one whose time its customers define.
"""

import hashlib
import json
import shutil
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from ops.home import ROOT
from sample.cases import FJALLRESOR, KUSTBANKEN
from tests.journeys.conftest import Act
from tests.journeys.eyes import Eyes
from tests.journeys.promised import STOCKHOLM
from tests.nordtel import Nordtel, until

STORES = {"stores": ["dialogues", "helpdesk", "recordings"]}
DIALOGUES = """
store: dialogues
label: {sv: Dialoger, en: Dialogues}
kind: jsonlines
controller: tenant
location: {folder: sample/stores/dialogues}
tables:
  dialogue:
    label: {sv: Dialog, en: Dialogue}
    element: electronic_conversation
    store_class: business
    at: at
    anchors: {created_at: at}
    key: [id]
    columns:
      id: technical
      tenant: technical
      at: electronic_conversation
      email: {element: customer_email_address, identifies: {type: email}}
      said: {element: electronic_conversation, text: true}
"""
OLD, YOUNG = timedelta(days=200), timedelta(days=20)
FJ, KB = str(FJALLRESOR.id), str(KUSTBANKEN.id)


@dataclass
class Timed:
    """preview: of three months instead of twelve · left: dialogues by organisation, after a sweep."""

    preview: list[dict[str, Any]]
    left: Counter[str]


@dataclass
class Ended:
    """early: fetching while the contract ran · given: each store's lines · lied: a receipt for other bytes · before, after: tickets and
    recordings of each organisation."""

    early: dict[str, Any]
    given: dict[str, bytes]
    lied: dict[str, Any]
    before: dict[str, tuple[int, int]]
    after: dict[str, tuple[int, int]]
    ending: dict[str, Any]


@pytest.fixture(scope="module")
def dialogues(nordtel: Nordtel, february: Act) -> Iterator[None]:
    home = nordtel.stack.home
    shutil.copytree(ROOT / "policy" / "stores", home.data_map)
    (home.data_map / "dialogues.yaml").write_text(DIALOGUES)
    file = home.path / "sample" / "stores" / "dialogues" / "log.jsonl"
    file.parent.mkdir()
    said = [(FJ, OLD)] * 3 + [(FJ, YOUNG)] * 2 + [(KB, OLD)] * 4
    rows = [
        {
            "id": number,
            "tenant": tenant,
            "at": f"{nordtel.now() - age:%Y-%m-%dT%H:%M:%SZ}",
            "email": None,
            "said": "Hej",
        }
        for number, (tenant, age) in enumerate(said)
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    nordtel.stack.restart("anonymizer")
    yield
    shutil.rmtree(home.data_map)
    nordtel.stack.restart("anonymizer")


@pytest.fixture(scope="module")
def timed(nordtel: Nordtel, dialogues: None) -> Timed:
    contact = nordtel.person("privacy.fjallresor")
    tomorrow = nordtel.now().astimezone(STOCKHOLM).date() + timedelta(days=1)
    own = {"periods": [{"rule": "service_objects", "keep": "3 months", "valid_from": str(tomorrow)}]}
    preview = contact.post("/v1/pack/periods/preview", own).json()["consequences"]
    contact.put("/v1/pack/periods", own)
    nordtel.move_to(nordtel.now() + timedelta(days=1, hours=1))
    follow = "the anonymizer follows what tenants set"
    until(follow, lambda: contact.get("/v1/pack/periods").json()["items"][0]["today"] == "3 months")

    def left() -> Counter[str]:
        _sweep(nordtel, {"stores": ["dialogues"]})
        file = nordtel.home / "sample" / "stores" / "dialogues" / "log.jsonl"
        return Counter(json.loads(line)["tenant"] for line in file.read_text().splitlines())

    return Timed(preview, until("what is older than three months to go", lambda: (now := left())[FJ] < 5 and now))


def _sweep(nordtel: Nordtel, what: dict[str, Any]) -> None:
    operations = nordtel.person("operations")
    sweep = operations.post("/v1/sweeps", what).json()["sweep"]
    until("finished sweep", lambda: operations.get(f"/v1/sweeps/{sweep}").json()["state"] == "done")


def test_a_customer_sees_what_its_own_time_would_change_and_it_is_executed_for_its_data_only(timed: Timed):
    [change] = [row for row in timed.preview if row["store"] == "dialogues"]
    assert (change["before"]["action"], change["after"]["action"], change["count"]) == ("keep", "anonymise", 3)
    assert timed.left == {FJ: 2, KB: 4}


@pytest.fixture(scope="module")
async def ended(nordtel: Nordtel, eyes: Eyes, timed: Timed) -> Ended:
    contact = nordtel.person("privacy.fjallresor")

    async def held() -> dict[str, tuple[int, int]]:
        tickets = await eyes.rows("helpdesk", "SELECT tenant::text, count(*) AS n FROM ticket GROUP BY 1")
        counts = {row["tenant"]: row["n"] for row in tickets}
        files = [path for path in eyes.recordings() if path.endswith(".json")]
        return {
            str(one.id): (counts.get(str(one.id), 0), sum(str(one.id) in path for path in files))
            for one in (FJALLRESOR, KUSTBANKEN)
        }

    today = nordtel.now().astimezone(STOCKHOLM).date()
    contact.post("/v1/pack/ending", {"wish": "return", "ends_on": str(today)})
    early = contact.try_to("GET", "/v1/pack/return/helpdesk").json()
    nordtel.move_to(nordtel.now() + timedelta(days=1))
    before = await held()
    given = {store: contact.get(f"/v1/pack/return/{store}").content for store in STORES["stores"]}
    digests = {store: hashlib.sha256(lines).hexdigest() for store, lines in given.items()}

    def noted() -> bool:
        return all(row["given"] for row in contact.get("/v1/pack/return").json()["items"])

    until("note of what was sent", noted)
    path, other = "/v1/pack/return/receipt", {"stores": digests | {"helpdesk": "0" * 64}}
    lied = contact.try_to("POST", path, json=other, headers={"idempotency-key": "another digest"}).json()
    contact.post(path, {"stores": digests})

    def gone() -> bool:
        _sweep(nordtel, STORES)
        return contact.get("/v1/pack/ending").json()["state"] == "done"

    until("certificate", gone)
    return Ended(early, given, lied, before, await held(), contact.get("/v1/pack/ending").json())


def test_nothing_is_fetched_while_records_still_come(ended: Ended):
    assert ended.early["code"] == "registry.contract_runs"


def test_every_record_came_back(ended: Ended):
    tickets, recordings = ended.before[FJ]
    counts = {store: json.loads(lines.splitlines()[-1])["counts"] for store, lines in ended.given.items()}
    assert (counts["helpdesk"]["ticket"], counts["recordings"]["recording"]) == (tickets, recordings)
    assert counts["dialogues"] == {"dialogue": 2}
    assert tickets and recordings and KB.encode() not in b"".join(ended.given.values())


def test_other_bytes_than_were_sent_are_no_receipt(ended: Ended):
    assert ended.lied["code"] == "registry.not_returned"
    assert [error["path"] for error in ended.lied["errors"]] == ["helpdesk"]


def test_then_it_is_gone_here_and_another_customer_s_data_are_not(ended: Ended):
    assert ended.after[FJ] == (0, 0)
    tickets, _ = ended.after[KB]
    assert tickets, "its recordings are past their thirty days by then"


def test_the_certificate_names_the_stores_and_what_was_returned(ended: Ended):
    said = json.loads(urlsafe_b64decode(ended.ending["certificate"].split(".")[1] + "=="))
    assert (said["tenant"], said["stores"], said["remaining"]) == (FJ, STORES["stores"], 0)
    assert json.loads(said["handed_over"])["stores"] == {
        store: hashlib.sha256(lines).hexdigest() for store, lines in ended.given.items()
    }
