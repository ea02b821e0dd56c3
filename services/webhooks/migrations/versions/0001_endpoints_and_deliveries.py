"""Endpoints, their deliveries, and what every service has."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from chassis import durable, idempotency, schema, sealing
from chassis.ledger import schema as ledger_schema

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _endpoints()
    _deliveries()
    service = schema.service_of(op)
    idempotency.create(op)
    durable.create(op)
    ledger_schema.create(op, service)
    sealing.create(op, service)


def _endpoints() -> None:
    op.create_table(
        "endpoint",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("types", ARRAY(sa.Text), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("older_secret", sa.LargeBinary),
        sa.Column("older_until", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False),
    )
    schema.tenant_table(op, "endpoint", grants="SELECT, INSERT, UPDATE")


def _deliveries() -> None:
    op.create_table(
        "delivery",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("endpoint", sa.Uuid, nullable=False),
        sa.Column("event", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("next_at", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("delivered_at", _MOMENT),
        sa.ForeignKeyConstraint(["tenant", "endpoint"], ["endpoint.tenant", "endpoint.id"]),
        # An event heard twice on a feed is delivered as one.
        sa.UniqueConstraint("tenant", "endpoint", "event"),
    )
    schema.tenant_table(op, "delivery", grants="SELECT, INSERT, UPDATE")
