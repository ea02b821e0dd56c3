"""Case 3. Doris disputes an invoice of 25 months, Ulf has forgotten one: what those invoices rest on stays, by name, and nothing else."""

import pytest

from sample.cases import CASES, PEOPLE
from tests.journeys.conftest import Act, Deletion, Swept
from tests.journeys.eyes import Eyes
from tests.journeys.promised import Promised

DISPUTED = "SELECT id, claim_until FROM invoice WHERE claim_reference = $1"
CALLS = "SELECT id, started_at, caller FROM call_record WHERE invoice = $1"


async def test_a_disputed_invoice_keeps_the_calls_it_is_about_and_no_other_of_their_age(
    deleted: Deletion, eyes: Eyes, filled: Act
):
    (invoice,) = await eyes.rows("billing", DISPUTED, CASES[3].facts["claim"])
    before = {
        s.row["id"] for s in filled.seen_of("doris") if s.where == "call_record" and s.row["invoice"] == invoice["id"]
    }
    left = [s.row for s in deleted.seen_of("doris") if s.where == "call_record" and s.row["invoice"] == invoice["id"]]
    assert before and {row["id"] for row in left} == before
    old = [
        s
        for s in deleted.seen_of("doris")
        if s.store in ("calls", "lake") and s.row["started_at"] <= left[0]["started_at"]
    ]
    assert {s.row["invoice"] for s in old} == {invoice["id"]}


def test_once_the_dispute_is_settled_they_go_by_themselves(deleted: Deletion, february: Act):
    calls = {
        s.row["id"]
        for s in deleted.seen_of("doris")
        if s.where == "call_record" and s.row["invoice"] in deleted.unpaid - february.unpaid
    }
    assert calls and not [s for s in february.seen_of("doris") if s.where == "call_record" and s.row["id"] in calls]


async def test_a_disputed_invoice_keeps_no_older_month_in_the_lake(filled: Act, swept: Swept):
    assert any(s.store == "lake" for s in filled.seen_of("doris"))
    assert not any(s.store == "lake" for s in swept.seen_of("doris"))


async def test_an_unpaid_invoice_keeps_its_traffic_of_fourteen_months(deleted: Deletion, eyes: Eyes, filled: Act):
    ulf, month = PEOPLE["ulf"], CASES[3].facts["unpaid_month"]
    (invoice,) = await eyes.rows(
        "billing", "SELECT id FROM invoice WHERE customer = $1 AND paid_at IS NULL ORDER BY id LIMIT 1", ulf.id
    )
    calls = await eyes.rows("calls", CALLS, invoice["id"])
    age = (deleted.moment - calls[0]["started_at"]).days / 30.4
    assert month - 1 < age < month + 1
    before = {
        s.row["id"] for s in filled.seen_of("ulf") if s.where == "call_record" and s.row["invoice"] == invoice["id"]
    }
    assert {row["id"] for row in calls} == before


@pytest.mark.parametrize(
    ("person", "rule"),
    [
        ("doris", "traffic_for_invoicing.claim_open"),
        ("doris", "accounting_records"),
        ("ulf", "traffic_for_invoicing.invoice_unpaid"),
        ("ulf", "accounting_records.invoice_unpaid"),
    ],
)
def test_their_answers_name_the_rule(deleted: Deletion, person: str, rule: str):
    kept = [line for line in deleted.requests[person].answer["outcomes"] if line["action"] == "keep"]
    assert rule in {line["rule"] for line in kept}


@pytest.mark.parametrize("person", ["doris", "ulf"])
def test_nothing_else_of_theirs_is_left(deleted: Deletion, person: str):
    promised = Promised(deleted)
    assert [str(seen) for seen in deleted.seen_of(person) if not promised.keeps(seen)] == []
