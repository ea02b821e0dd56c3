"""When an answer is due, clause by clause of Regulation 1182/71, against the policy book's own period."""

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.registry.books import read_book
from services.registry.contract import Period
from services.requests.rights.rules.clock import day_after, due_on, next_working_day, public_holidays

BOOK = read_book(Path(__file__).parents[2] / "policy" / "book.yaml")
SWEDEN = public_holidays("SE")
STOCKHOLM = ZoneInfo("Europe/Stockholm")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=STOCKHOLM)


@pytest.mark.parametrize(
    ("received", "due", "clause"),
    [
        ("2027-01-30T12:00", "2027-03-01", "no 30th: the month ends on its last day, a Sunday, so on the Monday"),
        ("2027-01-31T12:00", "2027-03-01", "the same for the 31st"),
        ("2028-01-30T12:00", "2028-02-29", "a leap year's February has a 29th, a Tuesday"),
        ("2028-02-29T12:00", "2028-03-29", "a month from the leap day"),
        ("2027-03-31T12:00", "2027-04-30", "the last day of a shorter month, a Friday"),
        ("2027-08-31T12:00", "2027-09-30", "and of September"),
        ("2026-12-04T12:00", "2027-01-04", "across the year's end"),
        ("2026-12-01T12:00", "2027-01-04", "New Year's Day, then a weekend"),
        ("2026-12-06T12:00", "2027-01-07", "Epiphany is a public holiday"),
        ("2027-02-26T12:00", "2027-03-30", "Good Friday, the weekend and Easter Monday"),
        ("2027-04-06T12:00", "2027-05-07", "Ascension Day is a Thursday; the Friday after it is a working day"),
        ("2027-05-06T12:00", "2027-06-07", "the National Day is a Sunday; no other day replaces it"),
        ("2027-05-26T12:00", "2027-06-28", "Midsummer Day is a Saturday"),
        ("2027-05-25T12:00", "2027-06-25", "Midsummer Eve is no public holiday by law"),
        ("2027-11-25T12:00", "2027-12-27", "Christmas Day is a Saturday, Boxing Day a Sunday"),
        ("2027-03-15T23:59", "2027-04-15", "received in the last minute of its day"),
        ("2027-03-28T03:30", "2027-04-28", "on the night the clocks go forward"),
        ("2027-10-31T02:30", "2027-11-30", "on the night the clocks go back"),
    ],
)
def test_an_access_request_is_due(received: str, due: str, clause: str):
    found = due_on(at(received), BOOK.right("access").due, BOOK.tz, SWEDEN)
    assert found == date.fromisoformat(due), clause


def test_the_day_of_receipt_is_the_day_in_the_books_zone():
    late_evening_in_utc = datetime(2027, 3, 15, 23, 30, tzinfo=UTC)
    assert due_on(late_evening_in_utc, Period(count=1, unit="month"), STOCKHOLM, SWEDEN) == date(2027, 4, 16)


def test_the_letter_of_saturday_30_january_is_due_monday_1_march():
    lars = due_on(at("2027-01-30T00:00"), BOOK.right("deletion").due, BOOK.tz, SWEDEN)
    assert (lars, lars.strftime("%A")) == (date(2027, 3, 1), "Monday")


@pytest.mark.parametrize(("day", "works"), [("2027-03-01", "2027-03-01"), ("2027-12-25", "2027-12-27")])
def test_a_working_day_stays_and_a_holiday_moves_on(day: str, works: str):
    assert next_working_day(date.fromisoformat(day), SWEDEN) == date.fromisoformat(works)


def test_a_day_is_over_at_midnight_in_its_zone():
    assert day_after(date(2027, 3, 27), STOCKHOLM) == datetime(2027, 3, 27, 23, tzinfo=UTC)
    assert day_after(date(2027, 3, 28), STOCKHOLM) == datetime(2027, 3, 28, 22, tzinfo=UTC)
