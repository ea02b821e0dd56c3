"""Days as the operator counts them, asked for when a test needs one: at half past eleven in the evening it is tomorrow in Stockholm
already, and whatever was noted while tests were collected may be yesterday when they run."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def today(later: int = 0) -> date:
    """The day, or that many days later."""
    return day_of(datetime.now(STOCKHOLM)) + timedelta(days=later)


def day_of(instant: datetime) -> date:
    return instant.astimezone(STOCKHOLM).date()
