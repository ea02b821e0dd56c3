"""Case 12. Olle's agreement ended 13 months ago; a number that was Petra's is now Rasmus's; the logs of day 8 have gone."""

from datetime import datetime, timedelta
from pathlib import Path

from sample.cases import CASES, PEOPLE, RECYCLED_NUMBER
from tests.journeys.conftest import Act, Deletion, Swept
from tests.journeys.eyes import Eyes
from tests.journeys.promised import Promised
from tests.journeys.test_anna import rows_of
from tests.nordtel import Nordtel

PERIOD = "SELECT valid_from, valid_to FROM number_period WHERE msisdn = $1 AND customer = $2"


async def test_of_an_agreement_long_ended_only_whom_the_accounting_names_is_left(
    swept: Swept, deleted: Deletion, eyes: Eyes
):
    left = {(s.where, s.field) for s in swept.seen_of("olle") if s.store == "billing"}
    assert left == {("customer", "name"), ("customer", "customer_number")}
    invoices = await eyes.rows("billing", "SELECT id FROM invoice WHERE customer = $1", PEOPLE["olle"].id)
    assert invoices, "accounting is kept seven years"
    promised = Promised(deleted, left={"olle"})
    assert [str(s) for s in deleted.seen_of("olle") if not promised.keeps(s)] == []


def test_his_answer_names_accounting_alone(deleted: Deletion):
    kept = {line["rule"] for line in deleted.requests["olle"].answer["outcomes"] if line["action"] == "keep"}
    assert kept == {"accounting_records"}


def test_the_logs_of_day_eight_are_gone_and_those_of_day_seven_stay(filled: Act, swept: Swept, nordtel: Nordtel):
    today = datetime.combine(nordtel.manifest.today, datetime.min.time())
    name = {age: f"{today - timedelta(days=age):%Y-%m-%d}.jsonl" for age in (7, int(CASES[12].facts["log_day"]))}
    before = {s.where for s in filled.seen if s.store == "authlog"}
    after = {s.where for s in swept.seen if s.store == "authlog"}
    assert name[8] in before and name[8] not in after
    assert after == {where for where in before if where > name[8]}


async def test_each_owner_of_a_recycled_number_gets_the_calls_of_their_own_time_only(
    accessed: dict[str, Path], eyes: Eyes
):
    found = {}
    for person in ("petra", "rasmus"):
        (period,) = await eyes.rows("billing", PERIOD, RECYCLED_NUMBER, PEOPLE[person].id)
        calls = [
            datetime.fromisoformat(row["started_at"])
            for table in ("calls/call_record", "lake/call_record")
            for row in rows_of(accessed[person], table)
            if RECYCLED_NUMBER in (row["caller"], row["callee"])
        ]
        assert calls, f"{person} got no calls of the number that was theirs"
        assert all(
            period["valid_from"] <= at and (period["valid_to"] is None or at < period["valid_to"]) for at in calls
        )
        found[person] = calls
    assert max(found["petra"]) < min(found["rasmus"])


def test_neither_package_mentions_the_other_owner(accessed: dict[str, Path]):
    for person, other in (("petra", "rasmus"), ("rasmus", "petra")):
        rows = [
            row
            for table in ("billing/customer", "billing/number_period", "calls/call_record")
            for row in rows_of(accessed[person], table)
        ]
        assert not [row for row in rows if PEOPLE[other].name in row.values() or PEOPLE[other].msisdn in row.values()]


async def test_a_deletion_by_the_former_owner_leaves_the_present_owner_s_calls_alone(
    swept: Swept, deleted: Deletion, eyes: Eyes
):
    period = await eyes.rows("billing", PERIOD, RECYCLED_NUMBER, PEOPLE["rasmus"].id)
    left = await eyes.rows(
        "calls",
        "SELECT id FROM retained_call_record WHERE caller = $1 AND started_at >= $2",
        RECYCLED_NUMBER,
        period[0]["valid_from"],
    )
    assert left, "calls that are Rasmus's went with Petra"
