"""When an answer is due: periods in days, months and years as Regulation (EEC, Euratom) 1182/71 counts them.

The day of receipt is not counted (Art. 3(1)); the period ends with the last hour of its last day (Art. 3(2)(c)); where
that is a Saturday, a Sunday or a public holiday, with the last hour of the next working day (Art. 3(4)).
"""

from collections.abc import Container
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from holidays import country_holidays

from services.registry.contract import Period

_SATURDAY = 5


@cache
def public_holidays(country: str) -> Container[date]:
    """A country's public holidays (ISO 3166 code), years computed as they are asked for."""
    return country_holidays(country)


def due_on(received: datetime, period: Period, zone: ZoneInfo, holidays: Container[date]) -> date:
    """The last day on which the answer is in time."""
    return next_working_day(period.last_day(received.astimezone(zone).date()), holidays)


def next_working_day(day: date, holidays: Container[date]) -> date:
    """The day itself if it is one."""
    while day.weekday() >= _SATURDAY or day in holidays:
        day += timedelta(days=1)
    return day


def day_after(day: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a day of the zone is over."""
    return datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC)
