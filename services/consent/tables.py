"""Rows: what was published, what was said, what it adds up to, and how far each decision point has read."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

_MOMENT = sa.DateTime(timezone=True)


class NoticeVersion(SQLModel, table=True):
    """Never changed: a person's consent refers to the very words she read."""

    __tablename__ = "notice_version"

    tenant: UUID = Field(primary_key=True)
    notice: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    channel: str
    texts: dict[str, Any] = Field(sa_type=JSONB)
    controller: str
    purposes: list[dict[str, Any]] = Field(sa_type=JSONB)
    withdrawal_url: str
    party: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    valid_from: datetime = Field(sa_type=_MOMENT)
    valid_to: datetime | None = Field(sa_type=_MOMENT)
    sha256: str
    published_at: datetime = Field(sa_type=_MOMENT)
    published_by: str


class Statement(SQLModel, table=True):
    """Append-only. `event` is its entry in the ledger; `frame` what her record has in common with others; `receipt` the signed record
    as the person got it, in rows of a time when it was kept."""

    __tablename__ = "statement"

    tenant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    principal: UUID
    kind: str
    regulation: str
    purpose: str
    sequence: int
    state: str
    notice: str | None
    notice_version: int | None
    occurred_at: datetime = Field(sa_type=_MOMENT)
    recorded_at: datetime = Field(sa_type=_MOMENT)
    valid_until: datetime | None = Field(sa_type=_MOMENT)
    receipt: str | None
    event: UUID
    frame: bytes | None = None
    evidence_ref: str | None = None


class RecordFrame(SQLModel, table=True):
    """What the records of many statements have in common, by its SHA-256; never changed, for receipts are still to be made from it."""

    __tablename__ = "record_frame"

    tenant: UUID = Field(primary_key=True)
    sha256: bytes = Field(primary_key=True)
    body: dict[str, Any] = Field(sa_type=JSONB)


class Standing(SQLModel, table=True):
    """What the statements of one person on one matter add up to: the one that counts, and how many there are."""

    __tablename__ = "standing"

    tenant: UUID = Field(primary_key=True)
    principal: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    regulation: str = Field(primary_key=True)
    purpose: str = Field(primary_key=True)
    sequence: int
    statement: UUID | None
    state: str | None
    occurred_at: datetime | None = Field(sa_type=_MOMENT)
    notice: str | None
    notice_version: int | None
    valid_until: datetime | None = Field(sa_type=_MOMENT)


class StandingCase(SQLModel, table=True):
    """What one request of a person put on a matter: several requests may restrict the same data, each until its own end."""

    __tablename__ = "standing_case"

    tenant: UUID = Field(primary_key=True)
    principal: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    purpose: str = Field(primary_key=True)
    case: UUID = Field(primary_key=True)
    state: str
    ground: str | None
    record: UUID


class Guardianship(SQLModel, table=True):
    """Who speaks for a child, until when if that is known, and since when no more. That she is a child stays known: the rows go when
    she is of age. born: null while nobody knows it any more · waiting: for another of the staff than vouched_by; speaks for nobody until
    then."""

    __tablename__ = "guardianship"

    tenant: UUID = Field(primary_key=True)
    principal: UUID = Field(primary_key=True)
    guardian: UUID = Field(primary_key=True)
    born: date | None
    evidence_ref: str
    waiting: bool = False
    vouched_by: str | None = None
    until: datetime | None = Field(default=None, sa_type=_MOMENT)
    ended_at: datetime | None = Field(default=None, sa_type=_MOMENT)


class CallRow(SQLModel, table=True):
    """A call that a call server asked about. `recording` follows every answer and withdrawal of whoever is in it, and the policy book:
    `book_rows` is the fingerprint of those it was decided by."""

    __tablename__ = "call"

    tenant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    purpose: str
    category: str
    state: str
    recording: bool
    reason: str
    legal_ref: str | None
    started_at: datetime = Field(sa_type=_MOMENT)
    ended_at: datetime | None = Field(sa_type=_MOMENT)
    stopped_at: datetime | None = Field(sa_type=_MOMENT)
    event: UUID
    book_rows: str


class CallPartyRow(SQLModel, table=True):
    """Who is in a call and how she indicated her will."""

    __tablename__ = "call_party"

    tenant: UUID = Field(primary_key=True)
    call: UUID = Field(primary_key=True)
    party: int = Field(primary_key=True)
    principal: UUID | None
    role: str
    indication: str
    offset_ms: int | None
    record: UUID | None


class Capture(SQLModel, table=True):
    """A question for consent that waits for one person at its own address; `token` is the hash of what stands in it.

    form: the hash of what proves that the answer comes from the page she was shown after she logged in; once she answered, of that and
    her answer.
    """

    __tablename__ = "capture"

    tenant: UUID = Field(primary_key=True)
    token: bytes = Field(primary_key=True)
    principal: UUID
    client: str
    purpose: str
    scopes: list[str] = Field(sa_type=JSONB)
    notice: str
    notice_version: int
    callback: str | None
    consumer_state: str | None
    form: bytes | None
    outcome: str | None
    expires_at: datetime = Field(sa_type=_MOMENT)


class CaptureCallback(SQLModel, table=True):
    """Where people may be sent back to after they answered: addresses that a client is known to own."""

    __tablename__ = "capture_callback"

    tenant: UUID = Field(primary_key=True)
    client: str = Field(primary_key=True)
    url: str = Field(primary_key=True)


class ConsentImport(SQLModel, table=True):
    """How far the taking over of existing consents is. `event`: the last entry in the ledger that it made."""

    __tablename__ = "consent_import"

    tenant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    source: str
    state: str
    chunks: int
    taken: int
    refused: int
    started_at: datetime = Field(sa_type=_MOMENT)
    event: UUID | None


class ImportRefusal(SQLModel, table=True):
    """A row that was not taken, by its number in the file, and why; never what it said."""

    __tablename__ = "import_refusal"

    tenant: UUID = Field(primary_key=True)
    name: UUID = Field(primary_key=True)
    row: int = Field(primary_key=True)
    code: str
    reason: str


class TenantDuty(SQLModel, table=True):
    """A duty to record that an organisation has by law, for a purpose."""

    __tablename__ = "tenant_duty"

    tenant: UUID = Field(primary_key=True)
    purpose: str = Field(primary_key=True)
    state: str
    legal_ref: str
    since: datetime = Field(sa_type=_MOMENT)
    event: UUID
