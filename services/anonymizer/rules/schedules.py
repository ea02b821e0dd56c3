"""When a sweep that repeats itself is due next: at an hour of the clocks where the operator is, through both changes of a year."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


def next_time(at: time, every_days: int, before: datetime | None, now: datetime, zone: ZoneInfo) -> datetime:
    """The first time after `now`, counted from the one before (None: none was yet). Those missed meanwhile are not made up for: one
    sweep takes all that several would have."""
    step = timedelta(days=1 if before is None else every_days)
    day = (now if before is None else before).astimezone(zone).date()
    while (found := datetime.combine(day, at, zone).astimezone(UTC)) <= now or found == before:
        day += step
    return found
