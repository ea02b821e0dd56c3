"""What the ledger's routes say; hashes and keys are base64, positions count from 1."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from chassis.contract import Contract, Page
from chassis.errors import Conflict, NotFound


class CloudEvent(BaseModel):
    """One fact on a feed. Readers ignore attributes they don't know; `subject` is the principal it concerns, if it is one's; `leaf` is
    its entry's in the ledger, hexadecimal."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    position: int
    leaf: str
    specversion: str
    id: UUID
    type: str
    source: str
    time: datetime
    tenant: UUID
    subject: UUID | None = None
    dataschema: str
    traceparent: str | None = None
    data: dict[str, Any]


class Feed(BaseModel):
    """The events after a cursor; `next` is always there: it is the cursor to go on from, now or later. `leaf`: of the entry at `next`;
    sent back along with it, it says which ledger was read (`PositionUnknown`)."""

    items: list[CloudEvent]
    next: str
    leaf: str | None


class Entry(Contract):
    """`body` is the event's canonical text, whose leaf hash is SHA-256(0x00 ‖ body); null where it is another tenant's."""

    position: int
    event_id: UUID
    leaf: str
    body: str | None


class Entries(Page[Entry]):
    """Entries in order of position."""


class Inclusion(Contract):
    """Proof that an event stands at `position` of the ledger whose head `checkpoint` signs (RFC 9162 2.1.3)."""

    position: int
    event_id: UUID
    leaf: str
    path: list[str]
    checkpoint: str
    body: str


class Consistency(Contract):
    """Proof that the tree of `new` entries begins with exactly the tree of `old` entries (RFC 9162 2.1.4)."""

    old: int
    new: int
    path: list[str]


class NotInLedger(NotFound):
    """Also an event committed a moment ago: it gets its position within a second."""

    code, title = "ledger.not_included", "No such entry in this ledger, or not yet"


class PositionUnknown(Conflict):
    """A ledger that came back from a backup, however far it has grown since: who has read on knows what never happened, and has missed
    what stands in its place."""

    code, title = (
        "ledger.position_unknown",
        "The ledger does not have that entry at that position; begin anew",
    )
