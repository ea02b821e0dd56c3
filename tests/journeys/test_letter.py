"""Case 8. Lars's letter came on Saturday 30 January 2027 and was typed in on 5 February: the clock runs from the day it came."""

from sample.cases import CASES
from tests.journeys.conftest import Act


def test_a_letter_is_due_a_month_after_it_came_and_not_after_it_was_typed_in(february: Act):
    lars = february.requests["lars"].request
    assert lars["due_on"] == CASES[8].facts["due"]
    assert (lars["channel"], lars["received_at"][:10]) == ("letter", CASES[8].facts["received"])
    assert lars["recorded_at"][:10] >= CASES[8].facts["typed_in"]
