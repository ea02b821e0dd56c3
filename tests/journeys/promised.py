"""What the operator promises in public, in the tests' own words: which of the seen values a named rule still keeps.

Written by hand from the privacy page, and not from the policy book's rows, so that a mistake in reading the book shows.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tests.journeys.eyes import Row, Sighting

if TYPE_CHECKING:
    from tests.journeys.conftest import Act

STOCKHOLM = ZoneInfo("Europe/Stockholm")
# A rule's last hour may have struck between the erasure and the look; a row so near to its end counts as either.
_BETWEEN = timedelta(minutes=10)


class Promised:
    """Which rule keeps something that was seen after a person's deletion."""

    def __init__(self, act: "Act", left: Collection[str] = (), internet: int = 10) -> None:
        """As things stood when an act was over. left: people whose agreement has ended · internet: for how many months internet
        access is stored."""
        self.moment, self.unpaid, self.open_tickets = act.moment, act.unpaid, act.open_tickets
        self.left, self.internet = left, internet

    def keeps(self, seen: Sighting) -> str | None:
        """The rule's name; None for what should be gone."""
        rule: Callable[[Sighting], str | None] | None = getattr(self, f"_{seen.store}", None)
        return rule(seen) if rule else None

    def _billing(self, seen: Sighting) -> str | None:
        if seen.person not in self.left:
            return "the agreement is running"
        # Accounting must say whom an invoice was sent to, and nothing more.
        if seen.where == "customer" and seen.field in ("name", "customer_number"):
            return "accounting"
        return None

    def _calls(self, seen: Sighting) -> str | None:
        if seen.where == "call_record":
            invoice = seen.row["invoice"]
            return "an unpaid invoice" if invoice is None or invoice in self.unpaid else None
        if seen.where == "location_record":
            return "location, 2 months" if self._within(seen.row, 2) else None
        if seen.row["kind"] == "data":
            return "internet access" if self._within(seen.row, self.internet) else None
        return "mobile telephony, 6 months" if self._within(seen.row, 6) else None

    def _helpdesk(self, seen: Sighting) -> str | None:
        ticket = {"ticket": "id", "email_message": "ticket"}.get(seen.where)
        return "an open case" if ticket and seen.row[ticket] in self.open_tickets else None

    def _within(self, row: Row, months: int) -> bool:
        return row["started_at"] >= months_before(self.moment, months) - _BETWEEN


def months_before(moment: datetime, months: int) -> datetime:
    """Midnight, in Stockholm, of the day so many calendar months before; the last of a month that has no such day.

    A period ends with the last hour of its last day.
    """
    day = moment.astimezone(STOCKHOLM).replace(hour=0, minute=0, second=0, microsecond=0)
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return day.replace(year=year, month=month + 1, day=min(day.day, last))
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")
