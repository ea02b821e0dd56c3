"""Periods are counted as Regulation 1182/71 says, in the book's zone, and rows and predicates agree about their end."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.registry.contract import Period

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def period(written: str) -> Period:
    return Period.model_validate(written)


@pytest.mark.parametrize(
    ("written", "event", "last_day"),
    [
        ("1 day", date(2026, 3, 3), date(2026, 3, 4)),
        ("30 days", date(2026, 3, 3), date(2026, 4, 2)),
        ("1 month", date(2026, 1, 31), date(2026, 2, 28)),
        ("1 month", date(2028, 1, 31), date(2028, 2, 29)),
        ("1 month", date(2027, 1, 30), date(2027, 2, 28)),
        ("6 months", date(2026, 8, 31), date(2027, 2, 28)),
        ("12 months", date(2028, 2, 29), date(2029, 2, 28)),
        ("1 year", date(2028, 2, 29), date(2029, 2, 28)),
        ("24 months", date(2026, 11, 30), date(2028, 11, 30)),
        ("2 months", date(2026, 12, 31), date(2027, 2, 28)),
        ("7 years after year end", date(2026, 1, 1), date(2033, 12, 31)),
        ("7 years after year end", date(2026, 12, 31), date(2033, 12, 31)),
    ],
)
def test_a_period_ends_with_the_last_hour_of_its_last_day(written: str, event: date, last_day: date) -> None:
    assert period(written).last_day(event) == last_day
    midnight_after = datetime.combine(last_day + timedelta(days=1), datetime.min.time(), STOCKHOLM)
    assert period(written).after(datetime.combine(event, datetime.min.time(), STOCKHOLM), STOCKHOLM) == midnight_after


@pytest.mark.parametrize(("written", "days"), [("at once", 0), ("8 hours", 1), ("72 hours", 3)])
def test_elapsed_time_reaches_its_last_day_at_most(written: str, days: int) -> None:
    assert period(written).last_day(date(2026, 3, 3)) == date(2026, 3, 3) + timedelta(days=days)


def test_a_day_is_a_day_of_the_zone_and_not_of_utc() -> None:
    late_evening = datetime(2026, 3, 3, 23, 30, tzinfo=UTC)  # already the 4th in Stockholm
    assert period("1 day").after(late_evening, STOCKHOLM) == datetime(2026, 3, 5, 23, tzinfo=UTC)


def test_the_change_of_clocks_moves_the_instant_and_not_the_day() -> None:
    before_summer_time = datetime(2026, 3, 27, 12, tzinfo=STOCKHOLM)
    assert period("2 days").after(before_summer_time, STOCKHOLM) == datetime(2026, 3, 29, 22, tzinfo=UTC)
    before_winter_time = datetime(2026, 10, 23, 12, tzinfo=STOCKHOLM)
    assert period("2 days").after(before_winter_time, STOCKHOLM) == datetime(2026, 10, 25, 23, tzinfo=UTC)


def test_hours_are_elapsed_time_even_when_the_clocks_change() -> None:
    event = datetime(2026, 3, 28, 12, tzinfo=STOCKHOLM)
    assert period("72 hours").after(event, STOCKHOLM) - event.astimezone(UTC) == timedelta(hours=72)


def test_at_once_is_over_at_the_event_itself() -> None:
    event = datetime(2026, 3, 28, 12, 0, 0, 1, tzinfo=UTC)
    assert period("at once").after(event, STOCKHOLM) == event
    assert event < period("at once").cutoff(event, STOCKHOLM)


@pytest.mark.parametrize("written", ["30 days", "1 day", "12 months", "at once", "7 years after year end", "72 hours"])
def test_a_period_is_written_as_it_is_read(written: str) -> None:
    assert str(period(written)) == written
    assert Period.model_validate_json(period(written).model_dump_json()) == period(written)


@pytest.mark.parametrize(
    "written", ["", "30", "days", "-1 day", "0 days", "1.5 months", "3 weeks", "2 hours after year end"]
)
def test_what_is_no_period_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        period(written)


periods = st.sampled_from(
    [
        "at once",
        "90 minutes",
        "72 hours",
        "1 day",
        "7 days",
        "30 days",
        "90 days",
        "1 month",
        "2 months",
        "6 months",
        "10 months",
        "12 months",
        "24 months",
        "1 year",
        "7 years after year end",
        "3 months after year end",
    ]
).map(period)
instants = st.datetimes(datetime(2019, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))


@given(periods, instants, st.timedeltas(timedelta(0), timedelta(days=3200)))
@settings(deadline=None, max_examples=600)
def test_a_row_and_the_predicate_over_rows_agree_whether_a_period_is_over(
    keep: Period, event: datetime, later: timedelta
) -> None:
    now = event + later
    assert (keep.after(event, STOCKHOLM) <= now) == (event < keep.cutoff(now, STOCKHOLM))


@given(periods, instants, st.timedeltas(timedelta(0), timedelta(days=3)))
@settings(deadline=None, max_examples=300)
def test_a_later_event_never_ends_earlier(keep: Period, event: datetime, later: timedelta) -> None:
    assert keep.after(event, STOCKHOLM) <= keep.after(event + later, STOCKHOLM)
