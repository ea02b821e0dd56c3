"""Pure facts of a book: when it begins, which of its rows apply, and the hash by which its bytes are known."""

from datetime import UTC, datetime, time
from hashlib import sha256

from services.registry.contract import PolicyBook


def begins(book: PolicyBook) -> datetime:
    """The first instant at which the book is in force."""
    return datetime.combine(book.valid_from, time.min, book.tz).astimezone(UTC)


def on_the_day(book: PolicyBook, instant: datetime) -> PolicyBook:
    """The rows that apply on the day of an instant, counted in the book's zone."""
    return book.on(instant.astimezone(book.tz).date())


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()
