"""When an assessment is to be looked at again, and when the register reminds of it."""

from datetime import datetime
from typing import Literal

from services.registry.contract import PolicyBook
from services.registry.contract.assessments import Assess, AssessmentRefused


def check(book: PolicyBook, wish: Assess, now: datetime) -> None:
    """Raises AssessmentRefused."""
    if set(wish.purposes) - {row.key for row in book.purposes}:
        raise AssessmentRefused("The policy book has no such purpose.")
    if wish.decided_on is not None and wish.decided_on > now.astimezone(book.tz).date():
        raise AssessmentRefused("What will be decided has not been decided.")


def review(book: PolicyBook, wish: Assess, now: datetime) -> Literal["none", "ahead", "reminded", "due"]:
    """Where the next look stands: far off, near enough to be reminded of, or its day has come."""
    if wish.review_on is None or wish.status != "approved":
        return "none"
    today = now.astimezone(book.tz).date()
    if wish.review_on <= today:
        return "due"
    return "reminded" if book.period("assessment_reminder").last_day(today) >= wish.review_on else "ahead"
