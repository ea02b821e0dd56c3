"""When an answer is due, clause by clause of Regulation 1182/71, against the policy book's own period."""

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.registry.books import read_book
from services.registry.contract import Period
from services.requests.rights.rules.clock import (
    Pause,
    Term,
    day_after,
    due_after,
    due_on,
    may_extend,
    next_working_day,
    notices,
    public_holidays,
    was_asked_in_time,
)

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


def on(text: str) -> date:
    return date.fromisoformat(text)


def term(received: str, period: str = "1 month", extension: str | None = None) -> Term:
    return Term(on(received), read(period), read(extension) if extension else None)


def read(period: str) -> Period:
    return Period.model_validate(period)


@pytest.mark.parametrize(
    ("received", "extension", "due", "clause"),
    [
        ("2027-01-31", "2 months", "2027-04-30", "three months from the 31st: the last of April, a Friday"),
        ("2027-01-30", "2 months", "2027-04-30", "from receipt, and not from the 1 March that the first end rolled to"),
        ("2027-11-30", "2 months", "2028-02-29", "into a leap year's February"),
        ("2026-11-30", "2 months", "2027-03-01", "into a common one's, which ends on a Sunday"),
        ("2027-03-24", "2 months", "2027-06-24", "the Thursday before Midsummer"),
        ("2027-03-26", "2 months", "2027-06-28", "Midsummer Day is a Saturday, so on the Monday"),
    ],
)
def test_an_extended_period_is_counted_as_one_from_receipt(received: str, extension: str, due: str, clause: str):
    assert due_after(term(received, extension=extension), [], SWEDEN) == on(due), clause


@pytest.mark.parametrize(
    ("pauses", "due", "clause"),
    [
        ([("2027-01-12", "2027-01-15", True)], "2027-02-15", "three days later than Thursday 11 February, so Monday"),
        ([("2027-01-12", "2027-01-12", True)], "2027-02-11", "asked and answered on one day adds none"),
        ([("2027-01-13", "2027-01-12", True)], "2027-02-11", "answered where a clock is behind: no day is taken away"),
        ([("2027-01-20", "2027-01-30", False)], "2027-02-11", "asked too late: the days are our own"),
        ([("2027-01-12", None, True)], "2027-02-11", "not answered yet: nothing is added before it is known how much"),
        ([("2027-01-12", "2027-01-13", True), ("2027-01-14", "2027-01-18", True)], "2027-02-16", "two pauses add up"),
        ([("2027-02-01", "2027-03-20", True)], "2027-03-30", "30 March: the end that lay in Easter was passed over"),
    ],
)
def test_a_pause_adds_the_days_the_person_was_awaited(pauses: list, due: str, clause: str):
    taken = [Pause("identity", on(asked), on(said) if said else None, counts) for asked, said, counts in pauses]
    assert due_after(term("2027-01-11"), taken, SWEDEN) == on(due), clause


@pytest.mark.parametrize(
    ("asked", "in_time", "clause"),
    [
        ("2027-03-24", True, "on the day of receipt"),
        ("2027-03-27", True, "three days later, a Saturday"),
        ("2027-03-30", True, "the third day lies in Easter: the next working day is Tuesday"),
        ("2027-03-31", False, "one more day is too late"),
    ],
)
def test_only_who_asks_without_delay_stops_the_clock(asked: str, in_time: bool, clause: str):
    within = BOOK.period("asked_without_delay")
    assert was_asked_in_time(on("2027-03-24"), on(asked), within, SWEDEN) is in_time, clause


@pytest.mark.parametrize(
    ("today", "extension", "may"),
    [("2027-02-11", None, True), ("2027-02-12", None, False), ("2027-02-01", "2 months", False)],
)
def test_an_extension_is_given_once_and_inside_the_first_period(today: str, extension: str | None, may: bool):
    assert may_extend(term("2027-01-11", extension=extension), (), on(today), SWEDEN) is may


@pytest.mark.parametrize(
    ("answered", "today", "may"),
    [("2027-01-25", "2027-02-24", True), ("2027-01-25", "2027-02-26", False), (None, "2027-04-01", True)],
)
def test_the_first_period_ends_later_where_it_stood_still(answered: str | None, today: str, may: bool):
    awaited = Pause("identity", on("2027-01-12"), on(answered) if answered else None, counts=True)
    assert may_extend(term("2027-01-11"), [awaited], on(today), SWEDEN) is may


@pytest.mark.parametrize(
    ("received", "due"), [("2027-03-15", "2027-03-25"), ("2027-03-16", "2027-03-30"), ("2027-12-15", "2027-12-27")]
)
def test_the_investigation_of_a_restriction_takes_ten_days_counted_by_the_same_rules(received: str, due: str):
    assert due_after(Term(on(received), BOOK.right("restriction").investigation), [], SWEDEN) == on(due)


def test_notices_come_at_midnight_in_the_books_zone_whatever_the_clocks_did_in_between():
    kinds = dict(notices(on("2027-03-30"), BOOK, STOCKHOLM))
    assert kinds["reminder"] == datetime(2027, 3, 22, 23, tzinfo=UTC), "winter time"
    assert kinds["escalation"] == datetime(2027, 3, 27, 23, tzinfo=UTC), "the night before the clocks go forward"
    assert kinds["overdue"] == datetime(2027, 3, 30, 22, tzinfo=UTC), "summer time"
