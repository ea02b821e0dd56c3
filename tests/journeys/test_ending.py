"""Fjällresor's contract ends: everything that was processed for it comes back, goes here, and a certificate says so."""

import hashlib
import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from sample.cases import FJALLRESOR, KUSTBANKEN
from tests.journeys.conftest import Act
from tests.journeys.eyes import Eyes
from tests.nordtel import Nordtel, until

STORES = {"stores": ["helpdesk", "recordings"]}


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
async def ended(nordtel: Nordtel, eyes: Eyes, february: Act) -> Ended:
    contact, operations = nordtel.person("privacy.fjallresor"), nordtel.person("operations")

    async def held() -> dict[str, tuple[int, int]]:
        tickets = await eyes.rows("helpdesk", "SELECT tenant::text, count(*) AS n FROM ticket GROUP BY 1")
        counts = {row["tenant"]: row["n"] for row in tickets}
        files = [path for path in eyes.recordings() if path.endswith(".json")]
        return {
            str(one.id): (counts.get(str(one.id), 0), sum(str(one.id) in path for path in files))
            for one in (FJALLRESOR, KUSTBANKEN)
        }

    contact.post("/v1/pack/ending", {"wish": "return", "ends_on": str(nordtel.now().date())})
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
        sweep = operations.post("/v1/sweeps", STORES).json()["sweep"]
        until("finished sweep", lambda: operations.get(f"/v1/sweeps/{sweep}").json()["state"] == "done")
        return contact.get("/v1/pack/ending").json()["state"] == "done"

    until("certificate", gone)
    return Ended(early, given, lied, before, await held(), contact.get("/v1/pack/ending").json())


def test_nothing_is_fetched_while_records_still_come(ended: Ended):
    assert ended.early["code"] == "registry.contract_runs"


def test_every_record_came_back(ended: Ended):
    tickets, recordings = ended.before[str(FJALLRESOR.id)]
    counts = {store: json.loads(lines.splitlines()[-1])["counts"] for store, lines in ended.given.items()}
    assert (counts["helpdesk"]["ticket"], counts["recordings"]["recording"]) == (tickets, recordings)
    assert tickets and recordings and str(KUSTBANKEN.id).encode() not in b"".join(ended.given.values())


def test_other_bytes_than_were_sent_are_no_receipt(ended: Ended):
    assert ended.lied["code"] == "registry.not_returned"
    assert [error["path"] for error in ended.lied["errors"]] == ["helpdesk"]


def test_then_it_is_gone_here_and_another_customer_s_data_are_not(ended: Ended):
    assert ended.after[str(FJALLRESOR.id)] == (0, 0)
    tickets, _ = ended.after[str(KUSTBANKEN.id)]
    assert tickets, "its recordings are past their thirty days by then"


def test_the_certificate_names_the_stores_and_what_was_returned(ended: Ended):
    said = json.loads(urlsafe_b64decode(ended.ending["certificate"].split(".")[1] + "=="))
    assert (said["tenant"], said["stores"], said["remaining"]) == (str(FJALLRESOR.id), STORES["stores"], 0)
    assert json.loads(said["handed_over"])["stores"] == {
        store: hashlib.sha256(lines).hexdigest() for store, lines in ended.given.items()
    }
