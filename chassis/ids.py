"""Identifiers: UUIDv7, so that rows and logs sort by the time they were made."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    return uuid7()


def request_id(given: str) -> str:
    """A caller's own name for its request, as UUIDs, URNs and base64 are written; of anything else a new one."""
    return given if _REQUEST_ID.fullmatch(given) else str(new_id())


_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@,;-]{1,128}")


def made_at(id: UUID) -> datetime:
    """When a UUIDv7 was made, by the clock of the machine that made it."""
    return _EPOCH + timedelta(milliseconds=id.int >> 80)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
