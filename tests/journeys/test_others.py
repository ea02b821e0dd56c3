"""Cases 2 and 7: a father asks about his daughter's number; an agent asks, and his employer decides about its part."""

from pathlib import Path

import pytest

from sample.cases import CASES, KUSTBANKEN, OMAR, PEOPLE
from services.requests.rights.package.unlock import unlock
from tests.journeys.conftest import PASSPHRASE, Act, ask
from tests.journeys.test_anna import rows_of
from tests.nordtel import Nordtel, request_of, until


@pytest.fixture(scope="module")
def eriks(nordtel: Nordtel, filled: Act, tmp_path_factory: pytest.TempPathFactory) -> Path:
    erik = ask(nordtel, "erik", {"kind": "access", "language": "sv", "passphrase": PASSPHRASE})
    request = erik.request["request"]
    until("answer to erik", lambda: request_of(erik.who, request)["state"] == "answered")
    locked = tmp_path_factory.mktemp("erik") / "package.html"
    locked.write_bytes(erik.who.get(f"/v1/requests/{request}/package").content)
    archive = locked.with_suffix(".zip")
    archive.write_bytes(unlock(locked, PASSPHRASE).archive)
    return archive


def test_erik_gets_his_contract_and_invoices_and_none_of_his_daughter_s_calls(eriks: Path):
    assert rows_of(eriks, "billing/agreement") and rows_of(eriks, "billing/invoice")
    own, hers = PEOPLE["erik"].msisdn, CASES[2].facts["number"]
    calls = [row for table in ("calls/call_record", "lake/call_record") for row in rows_of(eriks, table)]
    assert calls, "his own calls are his"
    assert not [row for row in calls if hers in row.values() and own not in row.values()]


def test_a_helpline_appears_nowhere_in_what_he_gets(eriks: Path):
    tables = ("calls/call_record", "lake/call_record", "billing/invoice")
    assert not [row for table in tables for row in rows_of(eriks, table) if CASES[2].facts["helpline"] in row.values()]


def test_omar_s_employer_decides_about_its_part_and_both_clocks_are_visible(nordtel: Nordtel, filled: Act):
    contact = nordtel.person("privacy.kustbanken")
    wish = {
        "kind": "access",
        "channel": "letter",
        "identifiers": [{"type": "agent", "value": OMAR.number}],
        "evidence": {"method": "known_contact"},
        "passphrase": PASSPHRASE,
    }
    ours = contact.post("/staff/v1/requests", wish).json()["request"]

    def seen(request: str) -> dict:
        return contact.get(f"/staff/v1/requests/{request}").json()

    def theirs() -> dict | None:
        listed = contact.get("/staff/v1/requests").json()["items"]
        return next((each for each in listed if each["part_of"] == ours and each["state"] == "deciding"), None)

    part = until("the employer's part", theirs)
    assert part["party"] == "tenant" and part["clocks"][0]["due_on"] == seen(ours)["clocks"][0]["due_on"]
    until("the operator's own answer", lambda: seen(ours)["state"] == "answered")
    assert "recordings" not in {step["store"] for step in seen(ours)["steps"]}
    [task] = [t for t in contact.get("/staff/v1/tasks").json()["items"] if t["request"] == part["request"]]
    words = {"sv": "Han får sina inspelningar.", "en": "He gets his recordings."}
    contact.post(f"/staff/v1/tasks/{task['task']}/proposal", {"verdict": "granted", "text": words})
    until("the employer's answer", lambda: seen(part["request"])["state"] == "answered")
    answer = contact.get(f"/staff/v1/requests/{part['request']}/answer").json()
    assert answer["controller"] == KUSTBANKEN.name
    assert {found["store"] for found in answer["found"]} >= {"recordings"}, "collected once the employer had decided"
