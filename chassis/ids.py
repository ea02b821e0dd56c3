"""Identifiers: UUIDv7, so that rows and logs sort by the time they were made."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    return uuid7()


def made_at(id: UUID) -> datetime:
    """When a UUIDv7 was made, by the clock of the machine that made it."""
    return _EPOCH + timedelta(milliseconds=id.int >> 80)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
