"""The rows of rights. What a person wrote or is known by is sealed under the request's own key, and ends with it."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


def _instant(**options: Any) -> Any:
    return Field(sa_type=sa.DateTime(timezone=True), **options)


class RequestRow(SQLModel, table=True):
    """One request. `said`, `identifiers`, `evidence`, `changes`, `reason`, `passphrase`, `spool_key`, `transfer` and
    `ticket_named` are sealed.

    recording, elements: the one recording, or the elements of data, it is limited to · awaiting_since: the package waits for a
    passphrase or for another operator to take it, or a deletion for its confirmation, of which she was reminded_at, or she was asked who
    she is and nothing was heard since · passphrase: or the key of her own that the package is locked for · executes_at: when a confirmed deletion begins, or a restriction is lifted
    · vouched_by: who of the staff said how she made sure who asks; nobody where she logged in or named a code, or where another system says it
    · ticket_named: whom the ticket itself named last · outcome, refusal, reason: what was decided, by which row of the book, in which words · answer_event: the ledger's
    `request.answered` · package_*, downloads_left: of the locked file, while there is one · package_deleted_at: when our own
    copies go, of whatever kind they are · transfer_to: the other operator to whom the package goes, transfer: where to there,
    handed_over_at: since when it has the key · fee_ore: what an excessive request costs · by_post: printed and posted; printed_at: last; posted: by
    whom and when, and its proof.
    """

    __tablename__ = "request"

    id: UUID = Field(primary_key=True)
    tenant: UUID
    principal: UUID | None = None
    kind: str
    channel: str
    language: str
    state: str
    ticket: str | None = None
    ticket_named: bytes | None = None
    recording: str | None = None
    received_at: datetime = _instant()
    recorded_at: datetime = _instant()
    due_on: date
    evidence_method: str | None = None
    vouched_by: str | None = None
    said: bytes | None = None
    identifiers: bytes | None = None
    evidence: bytes | None = None
    passphrase: bytes | None = None
    spool_key: bytes | None = None
    executes_at: datetime | None = _instant(default=None)
    answered_at: datetime | None = _instant(default=None)
    closed_at: datetime | None = _instant(default=None)
    answer: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    certificate: str | None = None
    answer_event: UUID | None = None
    package_bytes: int | None = Field(default=None, sa_type=sa.BigInteger)
    package_sha256: str | None = None
    package_expires_at: datetime | None = _instant(default=None)
    package_deleted_at: datetime | None = _instant(default=None)
    party: str = "operator"
    ground: str | None = None
    purpose: str | None = None
    changes: bytes | None = None
    outcome: str | None = None
    refusal: str | None = None
    reason: bytes | None = None
    part_of: UUID | None = None
    agent: UUID | None = None
    elements: list[str] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    awaiting_since: datetime | None = _instant(default=None)
    reminded_at: datetime | None = _instant(default=None)
    ticket_told: str | None = None
    duplicate_of: UUID | None = None
    downloads_left: int | None = None
    transfer_to: str | None = None
    transfer: bytes | None = None
    handed_over_at: datetime | None = _instant(default=None)
    fee_ore: int | None = None
    by_post: bool = False
    printed_at: datetime | None = _instant(default=None)
    posted: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))


class StepRow(SQLModel, table=True):
    """One verb in one store: pending → running → done | failed; `deferred` waits for `due_at`.

    fence: who claimed it last, checked where the result is recorded · result: outcomes or counts, never a person's data
    · problem: the code of the last try's Problem · verbs: what the store can do.
    """

    __tablename__ = "request_step"

    id: UUID = Field(primary_key=True)
    tenant: UUID
    request: UUID
    store: str
    label: dict[str, str] = Field(sa_type=JSONB)
    verbs: list[str] = Field(sa_type=JSONB)
    verb: str
    round: int = 1
    state: str = "pending"
    fence: int = 0
    tries: int = 0
    problem: str | None = None
    next_at: datetime | None = _instant(default=None)
    due_at: datetime | None = _instant(default=None)
    due_on: date | None = None
    done_at: datetime | None = _instant(default=None)
    result: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))


class TaskRow(SQLModel, table=True):
    """One thing that a person decides; `text` is sealed under the request's key. `digest`: of what was proposed."""

    __tablename__ = "request_task"

    id: UUID = Field(primary_key=True)
    tenant: UUID
    request: UUID
    matter: str
    party: str
    eyes: int
    state: str = "open"
    due_on: date
    verdict: str | None = None
    reason: str | None = None
    text: bytes | None = None
    digest: str | None = None
    fee_ore: int | None = None
    proposed_by: str | None = None
    proposed_at: datetime | None = _instant(default=None)
    decided_by: str | None = None
    decided_at: datetime | None = _instant(default=None)


class EvidenceRow(SQLModel, table=True):
    """A file that proves something; `content` is sealed under the request's key."""

    __tablename__ = "evidence_file"

    id: UUID = Field(primary_key=True)
    tenant: UUID
    request: UUID
    kind: str
    bytes: int
    content: bytes
    added_at: datetime = _instant()


class CodeRow(SQLModel, table=True):
    """One one-time code that was asked for. `contact` is sealed under the request's key; `digest` is None as long as nothing was
    sent, which is for ever if the contact is not on file."""

    __tablename__ = "one_time_code"

    id: UUID = Field(primary_key=True)
    tenant: UUID
    request: UUID
    contact: bytes | None = None
    contact_index: bytes
    by_staff: bool = False
    digest: bytes | None = None
    asked_at: datetime = _instant()
    expires_at: datetime = _instant()
    tries_left: int
    used_at: datetime | None = _instant(default=None)


class MandateRow(SQLModel, table=True):
    """`agent` may act for `principal`, in these kinds and days; `evidence` is sealed under the mandate's own key. basis: by which row of
    the policy book's `representations` · born: of the child, sealed as well, until the consent service was told of its guardian ·
    of_age: the child consents for itself, which the consent service said · waiting: for another of the staff than vouched_by, who has
    seen the papers; counts for nothing until then."""

    __tablename__ = "mandate"

    id: UUID = Field(primary_key=True)
    tenant: UUID
    principal: UUID
    agent: UUID
    basis: str = "authorised"
    kinds: list[str] = Field(sa_type=JSONB)
    valid_from: date
    valid_to: date | None = None
    evidence: bytes | None = None
    born: bytes | None = None
    of_age: bool = False
    recorded_by: str
    recorded_at: datetime = _instant()
    waiting: bool = False
    vouched_by: str | None = None
    confirmed_by: str | None = None
    revoked_by: str | None = None
    revoked_at: datetime | None = _instant(default=None)


class ProtectedRow(SQLModel, table=True):
    """A protected identity."""

    __tablename__ = "protected_person"

    tenant: UUID = Field(primary_key=True)
    principal: UUID = Field(primary_key=True)
    recorded_by: str
    recorded_at: datetime = _instant()


class ControllerRow(SQLModel, table=True):
    """An organisation that decides itself about the data of which it is controller."""

    __tablename__ = "controller"

    tenant: UUID = Field(primary_key=True)
    name: str
    contact: str
    named_by: str
    named_at: datetime = _instant()


class ClockRow(SQLModel, table=True):
    """One period that runs for a request: until its answer, or until an investigation has a result.

    received_on: the day it is counted from · pauses: {about, asked_on, answered_on, counts} · told: the last notice given
    · next_at: when the next one is due; None while the clock stands still, and after the last.
    """

    __tablename__ = "request_clock"

    id: UUID = Field(primary_key=True)
    tenant: UUID
    request: UUID
    clock: str
    party: str
    received_on: date
    period: str
    extension: str | None = None
    extension_reason: str | None = None
    pauses: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSONB)
    due_on: date
    told: str | None = None
    next_at: datetime | None = _instant(default=None)
    ended_at: datetime | None = _instant(default=None)


class LetterRow(SQLModel, table=True):
    """One piece of correspondence; `subject`, `body` and `recipient` are sealed and end with the request.

    template: which of our letters it is, or `own` for somebody's own words · state: `kept` is shown in the portal only.
    """

    __tablename__ = "letter"

    id: UUID = Field(primary_key=True)
    tenant: UUID
    request: UUID
    direction: str
    template: str
    language: str
    made_at: datetime = _instant()
    subject: bytes | None = None
    body: bytes | None = None
    recipient: bytes | None = None
    state: str = "kept"
    tries: int = 0
    problem: str | None = None
    sent_at: datetime | None = _instant(default=None)
    posted: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))


class OtherOperatorRow(SQLModel, table=True):
    """An operator that runs the same interface; `signing` and `sealing` are its public JWKs, as staff checked them."""

    __tablename__ = "other_operator"

    tenant: UUID = Field(primary_key=True)
    key: str = Field(primary_key=True)
    name: str
    url: str
    signing: dict[str, Any] = Field(sa_type=JSONB)
    sealing: dict[str, Any] = Field(sa_type=JSONB)
    registered_by: str
    registered_at: datetime = _instant()


class ReceptionRow(SQLModel, table=True):
    """What somebody wants to have brought here from another operator: open → receiving → received → closed.

    code: digest of what only she and whom she told it knows · content_key: of the parts on the disk, as it came: for our own
    private key · ends_at: until when it is waited for, and when what came is deleted.
    """

    __tablename__ = "reception"

    id: UUID = Field(primary_key=True)
    tenant: UUID
    principal: UUID
    operator: str
    code: bytes | None = None
    state: str = "open"
    opened_at: datetime = _instant()
    ends_at: datetime = _instant()
    received_at: datetime | None = _instant(default=None)
    parts: int | None = None
    bytes: int | None = Field(default=None, sa_type=sa.BigInteger)
    sha256: str | None = None
    content_key: str | None = None
