"""Case 1. Anna gives and withdraws a consent, asks for her data, asks for deletion: part goes, part stays by named rules, and the
rest goes by itself later."""

import csv
import io
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from sample.cases import PEOPLE, PRIVATE
from sample.seeding import NOTICE
from services.requests.rights import certificate
from services.requests.rights.contract import Certificate
from tests.journeys.conftest import Act, Deletion
from tests.journeys.eyes import Eyes, Sighting
from tests.journeys.promised import Promised
from tests.nordtel import Nordtel, until

ANNA = PEOPLE["anna"]


def test_her_consent_changes_the_decision_and_her_withdrawal_changes_it_back(nordtel: Nordtel):
    anna = nordtel.person("anna")
    assert decided(nordtel) is False
    anna.post("/v1/consents", {"purpose": "development", "notice": NOTICE, "notice_version": 1})
    until("decision that follows", lambda: decided(nordtel))
    anna.post("/v1/withdrawals", {"purpose": "development"})
    assert decided(nordtel) is False, "acknowledged, and still somebody may use her data"


def test_her_package_holds_what_other_eyes_see_of_her(filled: Act, accessed: dict[str, Path]):
    seen = filled.seen_of("anna")
    calls = rows_of(accessed["anna"], "calls/call_record")
    assert len(calls) == len({s.row["id"] for s in seen if s.where == "call_record"})
    assert Counter(row["caller"] for row in calls)[ANNA.msisdn] == sum(
        s.field == "caller" and s.where == "call_record" for s in seen
    )
    assert len(rows_of(accessed["anna"], "helpdesk/ticket")) == 2
    assert len(rows_of(accessed["anna"], "recordings/recording")) == 2
    assert len(rows_of(accessed["anna"], "authlog/login")) == len({s.row["time"] for s in seen if s.store == "authlog"})


def test_her_package_has_nothing_that_is_kept_for_authorities_alone(accessed: dict[str, Path]):
    names = zipfile.ZipFile(accessed["anna"]).namelist()
    assert not [name for name in names if "retained" in name or "location_record" in name]


def test_after_her_deletion_other_eyes_see_only_what_a_rule_keeps(deleted: Deletion):
    promised = Promised(deleted)
    unexplained = [str(seen) for seen in deleted.seen_of("anna") if not promised.keeps(seen)]
    assert unexplained == []


def test_whatever_a_rule_keeps_is_still_there(deleted: Deletion, swept: Act):
    promised = Promised(deleted)
    assert places(s for s in swept.seen_of("anna") if promised.keeps(s)) == places(deleted.seen_of("anna"))


def test_each_line_of_her_answer_names_its_rule_and_its_law(deleted: Deletion):
    answer = deleted.requests["anna"].answer
    kept = {(line["store"], line["rule"]) for line in answer["outcomes"] if line["action"] == "keep"}
    assert kept == {
        ("billing", "agreement_data.agreement_running"),
        ("billing", "accounting_records"),
        ("billing", "accounting_records.invoice_unpaid"),
        ("calls", "traffic_for_invoicing.invoice_unpaid"),
        ("calls", "retained_mobile_telephony"),
        ("calls", "retained_internet_access"),
        ("calls", "retained_location"),
        ("helpdesk", "helpdesk_conversations.case_open"),
    }
    assert all(line["legal_ref"] and line["reason"]["sv"] and line["reason"]["en"] for line in answer["outcomes"])
    assert {line["store"] for line in answer["outcomes"] if line["action"] == "erase"} >= {
        "authlog",
        "helpdesk",
        "recordings",
    }


async def test_another_customer_s_mail_stays_and_no_longer_names_her(deleted: Deletion, eyes: Eyes):
    (mail,) = await eyes.rows("helpdesk", "SELECT body FROM email_message WHERE id = 9001")
    assert PEOPLE["erik"].name in mail["body"]
    assert ANNA.name not in mail["body"] and "070-174 06 05" not in mail["body"]


async def test_no_copy_of_her_data_stays_behind_in_wardline_s_own_tables(deleted: Deletion, eyes: Eyes):
    assert [str(seen) for seen in await eyes.see_journals()] == []


def test_her_certificate_verifies_offline(nordtel: Nordtel, deleted: Deletion):
    anna = deleted.requests["anna"]
    proof = anna.who.get(f"/v1/requests/{anna.request['request']}/certificate").content
    keys = anna.who.get("/keys/rights").json()
    assert certificate.verify(Certificate.model_validate_json(proof), keys)


def test_what_was_kept_for_a_time_goes_by_itself_when_that_time_is_over(february: Act, deleted: Deletion):
    promised = Promised(february, internet=11)  # by the changed book
    seen = february.seen_of("anna")
    assert [str(s) for s in seen if not promised.keeps(s)] == []
    assert any(s.where == "location_record" for s in deleted.seen_of("anna"))
    assert not any(s.where == "location_record" for s in seen)
    assert (
        0
        < sum(s.where == "retained_call_record" for s in seen)
        < sum(s.where == "retained_call_record" for s in deleted.seen_of("anna"))
    )


def decided(nordtel: Nordtel) -> bool:
    question = {
        "subject": {"type": "principal", "id": str(nordtel.principals["anna"])},
        "action": {"name": "development"},
        "resource": {"type": "traffic", "id": "any"},
    }
    return nordtel.machine("callserver", tenant=PRIVATE.id).post("/access/v1/evaluation", question).json()["decision"]


def rows_of(archive: Path, table: str) -> list[dict[str, str]]:
    """The rows of one table in an opened package."""
    with zipfile.ZipFile(archive) as opened:
        return list(csv.DictReader(io.StringIO(opened.read(f"csv/{table}.csv").decode("utf-8-sig"))))


def places(seen: Any) -> set[tuple[Any, ...]]:
    return {(s.store, s.where, s.field, s.value, _identity(s)) for s in seen}


def _identity(seen: Sighting) -> Any:
    return seen.row.get("id")
