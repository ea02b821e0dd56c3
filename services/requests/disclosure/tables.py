"""Rows. An order's words and a hold's identifier are sealed under the order's own key; the rest is ids and states."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

_MOMENT = sa.DateTime(timezone=True)


class Authority(SQLModel, table=True):
    """`confirmed_by` is never `registered_by`: the table refuses it."""

    __tablename__ = "authority"

    tenant: UUID = Field(primary_key=True)
    id: str = Field(primary_key=True)
    name: str
    country: str
    kind: str
    clients: list[str] = Field(sa_type=JSONB)
    instruments: list[str] = Field(sa_type=JSONB)
    jwks: dict[str, Any] = Field(sa_type=JSONB)
    encryption_key: dict[str, Any] = Field(sa_type=JSONB)
    callback_number: str
    expires_at: datetime = Field(sa_type=_MOMENT)
    registered_by: str
    registered_at: datetime = Field(sa_type=_MOMENT)
    confirmed_by: str | None = None
    confirmed_at: datetime | None = Field(default=None, sa_type=_MOMENT)


class AuthorityClient(SQLModel, table=True):
    """A client speaks for one authority only: the primary key says so."""

    __tablename__ = "authority_client"

    tenant: UUID = Field(primary_key=True)
    client: str = Field(primary_key=True)
    authority: str


class DisclosureOrder(SQLModel, table=True):
    """`generation` names the version in force; `approvals_needed` as the book said when it came."""

    __tablename__ = "disclosure_order"

    tenant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    authority: str
    instrument: str
    reference: str
    status: str
    stage: str | None = None
    generation: int
    order_hash: str
    emergency: bool
    approvals_needed: int
    received_at: datetime = Field(sa_type=_MOMENT)
    served_at: datetime = Field(sa_type=_MOMENT)
    due_at: datetime | None = Field(default=None, sa_type=_MOMENT)
    errors: list[dict[str, Any]] = Field(default=[], sa_type=JSONB)
    policy_version: str
    beyond_cap: bool = False


class OrderVersion(SQLModel, table=True):
    """Append-only: every wording an order ever had, sealed; `order_hash` covers id, generation, authority, words."""

    __tablename__ = "order_version"

    tenant: UUID = Field(primary_key=True)
    order_id: UUID = Field(primary_key=True)
    generation: int = Field(primary_key=True)
    order_hash: str
    sealed: bytes
    entered_by: str
    client: str
    at: datetime = Field(sa_type=_MOMENT)


class Task(SQLModel, table=True):
    """`target`: the identifier's place in the order."""

    __tablename__ = "task"

    tenant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    order_id: UUID
    kind: str
    category: str
    subtype: str | None = None
    target: int
    period_from: datetime = Field(sa_type=_MOMENT)
    period_to: datetime = Field(sa_type=_MOMENT)
    status: str
    reason: str | None = None
    rows: int | None = None
    hold: UUID | None = None


class Review(SQLModel, table=True):
    """Append-only; nobody reviews one version twice."""

    __tablename__ = "review"

    tenant: UUID = Field(primary_key=True)
    order_id: UUID = Field(primary_key=True)
    order_hash: str = Field(primary_key=True)
    actor: str = Field(primary_key=True)
    verdict: str
    reason_code: str | None = None
    at: datetime = Field(sa_type=_MOMENT)


class Hold(SQLModel, table=True):
    """`source` is opaque to whoever is not this service: the id tells nothing. `index`: the blind index."""

    __tablename__ = "hold"

    tenant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    order_id: UUID
    index: bytes
    sealed: bytes
    categories: list[str] = Field(sa_type=JSONB)
    period_from: datetime = Field(sa_type=_MOMENT)
    period_to: datetime = Field(sa_type=_MOMENT)
    state: str
    placed_at: datetime = Field(sa_type=_MOMENT)
    expires_at: datetime = Field(sa_type=_MOMENT)
    ended_at: datetime | None = Field(default=None, sa_type=_MOMENT)


class SealedPackage(SQLModel, table=True):
    """Append-only. `content` is the encrypted file itself, so that sealing it and recording it are one commit."""

    __tablename__ = "sealed_package"

    tenant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    order_id: UUID
    order_hash: str
    root: str
    sha256: str
    length: int
    recipient_kid: str
    collected_by: str
    sealed_at: datetime = Field(sa_type=_MOMENT)


class PackageRelease(SQLModel, table=True):
    """Append-only; the table refuses a releaser who collected."""

    __tablename__ = "package_release"

    tenant: UUID = Field(primary_key=True)
    package: UUID = Field(primary_key=True)
    collected_by: str
    released_by: str
    at: datetime = Field(sa_type=_MOMENT)


class Delivery(SQLModel, table=True):
    """Append-only: each time the file was handed out, and each word of the authority about it."""

    __tablename__ = "delivery"

    tenant: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    package: UUID
    what: str
    client: str
    at: datetime = Field(sa_type=_MOMENT)
