"""Case 4. Bo asked for nothing. His location of day 62 goes with the sweep, the law's copy of his call of month 7, and his fixed call of
day 40, which is paid; of that one the law keeps no copy at all."""

from sample.cases import CASES
from tests.journeys.conftest import Act, Swept

FACTS = CASES[4].facts


def test_a_location_goes_with_its_second_month_and_a_younger_one_stays(filled: Act, swept: Swept):
    assert {FACTS["location_call"], FACTS["kept_location_call"]} <= his(filled, "location_record")
    left = his(swept, "location_record")
    assert FACTS["location_call"] not in left and FACTS["kept_location_call"] in left


def test_of_a_mobile_call_of_month_seven_the_law_keeps_nothing_any_more(filled: Act, swept: Swept):
    assert FACTS["mobile_call"] in his(filled, "retained_call_record")
    assert FACTS["mobile_call"] not in his(swept, "retained_call_record")


def test_a_fixed_call_goes_once_it_is_paid_and_the_law_never_had_one(filled: Act, swept: Swept):
    assert FACTS["fixed_call"] in his(filled, "call_record") and FACTS["fixed_call"] not in his(swept, "call_record")
    assert FACTS["fixed_call"] not in his(filled, "retained_call_record")


def his(act: Act, table: str) -> set[int]:
    return {seen.row["id"] for seen in act.seen_of("bo") if seen.where == table}
