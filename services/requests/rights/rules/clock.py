"""When an answer is due: periods in days, months and years as Regulation (EEC, Euratom) 1182/71 counts them.

The day of receipt is not counted (Art. 3(1)); the period ends with the last hour of its last day (Art. 3(2)(c)); where
that is a Saturday, a Sunday or a public holiday, with the last hour of the next working day (Art. 3(4)). It stands still
while the person is asked who she is or what she means, if she was asked without delay (GDPR Art. 12(6)), and may be
extended once, with a reason given inside the first period (Art. 12(3)).
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import holidays
from holidays.registry import COUNTRIES

from services.registry.contract import Period, PolicyBook

_SATURDAY = 5
NoticeKind = Literal["reminder", "escalation", "overdue"]


@dataclass(frozen=True)
class Pause:
    """The person was asked; `answered_on` None: she has not answered yet. `counts`: it was asked without delay."""

    about: str
    asked_on: date
    answered_on: date | None
    counts: bool


@dataclass(frozen=True)
class Term:
    """What is counted: a period from a day, perhaps extended."""

    received_on: date
    period: Period
    extension: Period | None = None


@cache
def public_holidays(country: str) -> Container[date]:
    """A country's public holidays (ISO 3166 code), years computed as they are asked for. Raises LookupError."""
    name = next((name for name, codes in COUNTRIES.items() if country in codes), None)
    if name is None:
        raise LookupError(f"no public holidays are known of a country {country!r}")
    # Only that country's file: its package would load all of them, which is 10 MB.
    file = Path(*holidays.__path__, "countries", f"{name}.py")
    spec = spec_from_file_location(f"holidays_of_{name}", file)
    spec.loader.exec_module(module := module_from_spec(spec))
    return getattr(module, country)()


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def due_on(received: datetime, period: Period, zone: ZoneInfo, holidays: Container[date]) -> date:
    """The last day on which the answer is in time."""
    return due_after(Term(day_of(received, zone), period), (), holidays)


def due_after(term: Term, pauses: Iterable[Pause], holidays: Container[date]) -> date:
    """The last day in time. A pause that counts adds the days from the question to the answer; one that nobody has
    answered yet adds nothing: until then no day is the last."""
    last = _whole(term).last_day(term.received_on)
    stood = sum((days_between(pause) for pause in pauses if pause.counts), timedelta())
    if last == term.received_on:  # at once is no period, and waits for no working day
        return last + stood
    return next_working_day(last + stood, holidays)


def days_between(pause: Pause) -> timedelta:
    """None, too, where the clock that saw the answer is behind the one that saw the question."""
    return max(pause.answered_on - pause.asked_on, timedelta()) if pause.answered_on else timedelta()


def is_paused(pauses: Iterable[Pause]) -> bool:
    return any(pause.counts and pause.answered_on is None for pause in pauses)


def was_asked_in_time(received_on: date, asked_on: date, within: Period, holidays: Container[date]) -> bool:
    """Whether a question stops the clock: who lets the request lie first and asks then has used his own time."""
    return asked_on <= next_working_day(within.last_day(received_on), holidays)


def may_extend(term: Term, pauses: Sequence[Pause], today: date, holidays: Container[date]) -> bool:
    """Once, and inside the first period, which does not end while it stands still."""
    return term.extension is None and (is_paused(pauses) or today <= due_after(term, pauses, holidays))


def notices(due: date, book: PolicyBook, zone: ZoneInfo) -> list[tuple[NoticeKind, datetime]]:
    """When somebody is told that an answer is due soon, is due very soon, and was due."""
    said: Sequence[tuple[NoticeKind, timedelta]] = (
        ("reminder", timedelta(days=book.period("clock_reminder").count)),
        ("escalation", timedelta(days=book.period("clock_escalation").count)),
    )
    early = [(kind, start_of(due - before, zone)) for kind, before in said]
    return [*early, ("overdue", day_after(due, zone))]


def next_notice(
    due: date, told: NoticeKind | None, book: PolicyBook, zone: ZoneInfo
) -> tuple[NoticeKind, datetime] | None:
    """The notice that follows the one told last; None after the last."""
    all_of_them = notices(due, book, zone)
    place = [kind for kind, _ in all_of_them].index(told) + 1 if told else 0
    return all_of_them[place] if place < len(all_of_them) else None


def next_working_day(day: date, holidays: Container[date]) -> date:
    """The day itself if it is one."""
    while day.weekday() >= _SATURDAY or day in holidays:
        day += timedelta(days=1)
    return day


def start_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def day_after(day: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a day of the zone is over."""
    return start_of(day + timedelta(days=1), zone)


def _whole(term: Term) -> Period:
    """`1 month` extended by `2 months` is three months from receipt, not two from a rolled-over end."""
    if term.extension is None:
        return term.period
    if term.period.unit != term.extension.unit:
        raise ValueError("a period is extended in its own unit")
    return Period(count=term.period.count + term.extension.count, unit=term.period.unit)
