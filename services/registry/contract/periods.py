"""Periods as the law counts them: written `12 months`, applied to an instant in the book's zone.

Counting follows Regulation 1182/71: the day of the event is excluded, and a period in days, months or years ends with
the last hour of its last day; a month without that date ends on its last day. So a recording of 3 March kept `30 days`
is over at midnight after 2 April, whatever the clocks did in between. Hours, minutes and seconds are elapsed time.
`at once` is over at the event itself. `7 years after year end` starts on the 31 December that follows the event.
Moving an end from a weekend to a working day is for answers owed to people, and is not done here.
"""

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import model_serializer, model_validator

from chassis.contract import Contract

_WRITTEN = re.compile(r"(\d{1,6}) (second|minute|hour|day|month|year)s?( after year end)?")
_INSTANT = timedelta(microseconds=1)
# Far beyond any rule, and short enough for a calendar that begins in the year 1.
_LONGEST = {"day": 182_500, "month": 6_000, "year": 500}


class Period(Contract):
    """`count` units; `at once` is zero seconds. Reads from, and is written as, its words."""

    count: int
    unit: Literal["second", "minute", "hour", "day", "month", "year"]
    after_year_end: bool = False

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        if not isinstance(written, str):
            return written
        if written == "at once":
            return {"count": 0, "unit": "second"}
        found = _WRITTEN.fullmatch(written)
        if found is None:
            raise ValueError("a period is written like '30 days', '7 years after year end' or 'at once'")
        return {"count": int(found[1]), "unit": found[2], "after_year_end": bool(found[3])}

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.count < 0 or (self.count == 0 and self.unit != "second"):
            raise ValueError("a period that is not 'at once' counts at least one")
        if self.in_days and self.count > _LONGEST[self.unit]:
            raise ValueError("a period lasts at most 500 years")
        if self.after_year_end and not self.in_days:
            raise ValueError("only days, months and years start after the year's end")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        """In JSON a period is its words, read and written."""
        return {"type": "string", "title": cls.__name__, "examples": ["30 days", "7 years after year end", "at once"]}

    @model_serializer
    def __str__(self) -> str:
        if self.count == 0:
            return "at once"
        words = f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"
        return f"{words} after year end" if self.after_year_end else words

    @property
    def in_days(self) -> bool:
        """Whether whole days are counted (days, months, years) rather than elapsed time."""
        return self.unit in ("day", "month", "year")

    @property
    def elapsed(self) -> timedelta:
        """The length of a period in hours, minutes or seconds."""
        if self.in_days:
            raise ValueError(f"{self} has no fixed length: it is counted from an event")
        return timedelta(**{f"{self.unit}s": self.count})

    @property
    def shortest(self) -> timedelta:
        """No less than this, from whichever event it is counted."""
        if not self.in_days:
            return self.elapsed
        return timedelta(days=self.count * {"day": 1, "month": 28, "year": 365}[self.unit])

    def last_day(self, event: date) -> date:
        """The day with whose last hour a period in days ends; of elapsed time, the last day it can reach."""
        if not self.in_days:
            return event + timedelta(days=-(-self.elapsed // timedelta(days=1)))
        start = date(event.year, 12, 31) if self.after_year_end else event
        if self.unit == "day":
            return start + timedelta(days=self.count)
        return _months_later(start, self.count * (12 if self.unit == "year" else 1))

    def after(self, event: datetime, zone: ZoneInfo) -> datetime:
        """The first instant (UTC) at which the period is over. Never earlier for a later event."""
        if not self.in_days:
            return event.astimezone(UTC) + self.elapsed
        return _midnight(self.last_day(event.astimezone(zone).date()) + timedelta(days=1), zone)

    def cutoff(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The same rule as a predicate over many rows: exactly the events **before** this instant are over at `now`."""
        if not self.in_days:
            return now.astimezone(UTC) - self.elapsed + _INSTANT
        return _midnight(self._first_kept(now.astimezone(zone).date()), zone)

    def _first_kept(self, today: date) -> date:
        """The first event day whose last day is not before today: found by halving, since months have no inverse."""
        years = {"day": self.count // 365, "month": self.count // 12, "year": self.count}[self.unit] + 3
        over, kept = date(today.year - years, 1, 1), today
        while kept - over > timedelta(days=1):
            middle = over + (kept - over) // 2
            over, kept = (middle, kept) if self.last_day(middle) < today else (over, middle)
        return kept


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


@lru_cache(maxsize=4096)
def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)
