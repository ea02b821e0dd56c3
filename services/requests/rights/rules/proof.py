"""Who asks: how sure a login makes us, when it must be fresh, and for how long a code counts. Facts in."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Protocol

from services.registry.contract import Period, PolicyBook, Representation
from services.requests.rights.contract import MandateRefused, RecordMandate, StepUpNeeded

ONE_DAY = timedelta(days=1)
BY_CODE = "one_time_code"
BY_STAFF = "staff"  # who say at consent that she withdrew


class AskedFacts(Protocol):
    """What the rules see of a request's row."""

    kind: str
    evidence_method: str | None


class MandateFacts(Protocol):
    """What the rules see of a mandate's row."""

    basis: str
    kinds: list[str]
    valid_from: date
    valid_to: date | None
    waiting: bool
    of_age: bool
    revoked_at: datetime | None


def must_be_assured(book: PolicyBook, kind: str, acr: str | None) -> None:
    """The login proves as much as this right asks for; never more is asked than that. Raises StepUpNeeded."""
    needed = book.right(kind).assurance
    if _level(book, acr) < needed:
        enough = [name for row in book.assurances if row.level >= needed for name in row.acr]
        raise StepUpNeeded("Log in with a stronger means.", acr_values=enough)


def must_be_fresh(book: PolicyBook, auth_time: float | None, now: float) -> None:
    """What cannot be taken back, or opens everything, wants a login of just now. Raises StepUpNeeded."""
    longest = book.period("step_up_after").elapsed.total_seconds()
    if auth_time is None or now - auth_time > longest:
        raise StepUpNeeded("Log in again to go on.", max_age=int(longest))


def is_live(mandate: MandateFacts, kind: str, today: date) -> bool:
    """Whether somebody may act by it; by what waits for another of the staff nobody does."""
    counts = not mandate.waiting and mandate.valid_from <= today and not has_ended(mandate, today)
    return counts and kind in mandate.kinds


def says_of_a_child(mandate: MandateFacts, today: date) -> bool:
    """Whether by it somebody has a guardian, also by one that waits: if it can't be known, the answer is no."""
    return mandate.basis == "guardian" and not mandate.of_age and not has_ended(mandate, today)


def has_ended(mandate: MandateFacts, today: date) -> bool:
    return mandate.revoked_at is not None or today > (mandate.valid_to or date.max)


def is_said_by_people(row: AskedFacts) -> bool:
    """Whether people alone say that she asked, who neither logged in nor named a code."""
    return row.evidence_method not in (None, BY_CODE)


def is_only_vouched_for(book: PolicyBook, row: AskedFacts) -> bool:
    """Whether people alone say that she asked, and the book wants two of them to confirm it."""
    return is_said_by_people(row) and book.right(row.kind).confirmed_by == "four_eyes"


def must_be_seen(book: PolicyBook, basis: str, papers: Iterable[str]) -> Representation:
    """The policy book's row, whose papers were all seen. Raises MandateRefused."""
    row = book.representation(basis)
    if row is None:
        raise MandateRefused("The policy book lets nobody act for others this way.")
    if unseen := sorted({paper.key for paper in row.papers} - set(papers)):
        raise MandateRefused("Papers are to be seen first.", papers=unseen)
    return row


def last_day_of(book: PolicyBook, wish: RecordMandate, today: date) -> date | None:
    """Until when somebody may act for another person by the policy book; None: until it is revoked. A guardian whose child did not agree
    acts until the child is to be asked. Raises MandateRefused."""
    row = must_be_seen(book, wish.basis, wish.papers)
    if not set(wish.kinds) <= set(row.rights):
        raise MandateRefused("Not in all of these rights.", rights=sorted(row.rights))
    if wish.born is None or row.until_age is None:
        return wish.valid_to
    age = row.until_age if wish.agreed else row.asked_from_age or row.until_age
    if wish.born > today:
        raise MandateRefused("The child is not born yet.")
    last = Period(count=age, unit="year").last_day(wish.born) - ONE_DAY
    if max(today, wish.valid_from or today) > last:
        raise MandateRefused("At this age the child acts for itself, or is to agree.")
    return min(last, wish.valid_to or last)


def may_send(sent: Iterable[datetime], now: datetime, most: int) -> bool:
    """How many codes a day are sent, for one request or to one contact."""
    return sum(now - at < ONE_DAY for at in sent) < most


def _level(book: PolicyBook, acr: str | None) -> int:
    return max((row.level for row in book.assurances if acr in row.acr), default=0)
