"""The sample operator's records answer what such an operator knows of itself; the rest is named as missing, and is not invented."""

from datetime import date

import orjson

from ops.home import ROOT
from sample.register import ACTIVITIES, CONTRACTS
from services.registry.books import read_book
from services.registry.contract.register import KeepActivity, KeepContract
from services.registry.rules.records import Records

# Nobody has decided these: findings of the book, and assessments that are still to be made.
UNDECIDED = {
    "safeguards",
    "processing_contract",
    "risk_assessment",
    "assessment",
    "assessment_result",
    "prior_consultation",
}


def test_every_purpose_is_carried_out_by_some_activity_and_only_what_nobody_decided_is_missing() -> None:
    book, day = read_book(ROOT / "policy" / "book.yaml"), date(2026, 11, 24)
    records = Records(book.on(day), day)
    told = [records.activity(KeepActivity.model_validate_json(orjson.dumps(row))) for row in ACTIVITIES]
    assert {row["purpose"] for row in told if row} == {row.key for row in book.purposes}
    assert list(records.beside()) == [], "the book lets something be processed that no activity does"
    assert {key for row in told if row for key in row["missing"]} == UNDECIDED


def test_its_agreements_say_everything_that_a_processor_records() -> None:
    book, day = read_book(ROOT / "policy" / "book.yaml"), date(2026, 11, 24)
    records = Records(book.on(day), day)
    for row in CONTRACTS:
        told = records.processor_record(KeepContract.model_validate_json(orjson.dumps(row)))
        assert told.missing == ["organisation_number", "address"], "the companies are named, not described"
