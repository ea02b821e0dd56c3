"""Notices, statements, standing, duties and the leases of the decision points."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import durable, idempotency, schema
from chassis.ledger import schema as ledger
from services.registry.client import policy_table

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _notices()
    _statements()
    _duties()
    _leases()
    policy_table(op)
    idempotency.create(op)
    durable.create(op)
    ledger.create(op, schema.service_of(op))


def _notices() -> None:
    op.create_table(
        "notice_version",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("notice", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("texts", JSONB, nullable=False),
        sa.Column("controller", sa.Text, nullable=False),
        sa.Column("purposes", JSONB, nullable=False),
        sa.Column("withdrawal_url", sa.Text, nullable=False),
        sa.Column("valid_from", _MOMENT, nullable=False),
        sa.Column("valid_to", _MOMENT),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("published_at", _MOMENT, nullable=False),
        sa.Column("published_by", sa.Text, nullable=False),
    )
    schema.append_only(op, "notice_version")


def _statements() -> None:
    matter = ("tenant", "principal", "kind", "regulation", "purpose")
    op.create_table(
        "statement",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("principal", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("regulation", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("notice", sa.Text),
        sa.Column("notice_version", sa.Integer),
        sa.Column("occurred_at", _MOMENT, nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
        sa.Column("valid_until", _MOMENT),
        sa.Column("receipt", sa.Text, nullable=False),
        sa.Column("event", sa.Uuid, nullable=False),
        sa.UniqueConstraint(*matter, "sequence"),
    )
    schema.append_only(op, "statement")
    op.create_table(
        "standing",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("principal", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("regulation", sa.Text, primary_key=True),
        sa.Column("purpose", sa.Text, primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False, server_default="1"),
        sa.Column("statement", sa.Uuid),
        sa.Column("state", sa.Text),
        sa.Column("occurred_at", _MOMENT),
        sa.Column("notice", sa.Text),
        sa.Column("notice_version", sa.Integer),
        sa.Column("valid_until", _MOMENT),
    )
    schema.tenant_table(op, "standing", grants="SELECT, INSERT, UPDATE")


def _duties() -> None:
    op.create_table(
        "tenant_duty",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("purpose", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("legal_ref", sa.Text, nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("event", sa.Uuid, nullable=False),
    )
    schema.tenant_table(op, "tenant_duty", grants="SELECT, INSERT, UPDATE")


def _leases() -> None:
    """Belongs to no tenant: a decision point answers for all of them. Rewritten often, so room is left for HOT updates."""
    op.execute(
        "CREATE TABLE replica_lease (replica uuid PRIMARY KEY, position bigint NOT NULL, expires_at timestamptz NOT NULL) "
        "WITH (fillfactor = 20)"
    )
    op.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON replica_lease TO "{schema.service_of(op)}_system"')
