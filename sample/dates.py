"""Ages counted back from the reference day, so that every boundary lies where its case says on the first run."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

TABLE_MONTHS = 28
LAKE_MONTHS = 3
LOG_DAYS = 10
PERIOD_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Calendar:
    """Business 'today': the reference day, at midnight UTC."""

    today: date

    @property
    def now(self) -> datetime:
        return datetime(self.today.year, self.today.month, self.today.day, tzinfo=UTC)

    def day(self, age: int, hour: int = 10, minute: int = 0) -> datetime:
        """`age` days before today, in the middle of the day: no time zone moves it to another one."""
        return self.now - timedelta(days=age) + timedelta(hours=hour, minutes=minute)

    def month(self, age: int, day: int = 1, hour: int = 0, minute: int = 0) -> datetime:
        """A day of the calendar month `age` months before today's."""
        years, month = divmod(self.absolute - age, 12)
        return datetime(years, month + 1, day, hour, minute, tzinfo=UTC)

    def months_ago(self, age: int) -> datetime:
        """The same day `age` months earlier, or the month's last."""
        start, following = self.month(age), self.month(age - 1)
        return min(start + timedelta(days=self.today.day - 1), following - timedelta(days=1))

    @property
    def absolute(self) -> int:
        """Months since year 0, this month's."""
        return absolute_month(self.now)


def absolute_month(at: datetime) -> int:
    return at.year * 12 + at.month - 1


def text(at: datetime) -> str:
    """RFC 3339 in UTC, as the folder stores write it."""
    return at.strftime(PERIOD_FORMAT)
