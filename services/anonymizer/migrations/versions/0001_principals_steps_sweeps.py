"""People and the values they are known by, the steps done for them, and sweeps."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from chassis import durable, idempotency, schema, sealing
from chassis.ledger import schema as ledger
from services.registry.client import policy_table

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _people()
    _steps()
    _sweeps()
    policy_table(op)
    sealing.create(op, "anonymizer")
    idempotency.create(op)
    durable.create(op)
    ledger.create(op, "anonymizer")


def _people() -> None:
    op.create_table(
        "principal",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("minted_at", _MOMENT, nullable=False),
    )
    schema.tenant_table(op, "principal")
    op.create_table(
        "principal_identifier",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("principal", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("index", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("valid_from", _MOMENT),
        sa.Column("valid_to", _MOMENT),
        sa.ForeignKeyConstraint(["tenant", "principal"], ["principal.tenant", "principal.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("tenant", "principal", "type", "index", "valid_from", postgresql_nulls_not_distinct=True),
    )
    op.create_index("principal_identifier_index", "principal_identifier", ["tenant", "type", "index"])
    schema.tenant_table(op, "principal_identifier")


def _steps() -> None:
    op.create_table(
        "step",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("asked", JSONB, nullable=False),
        sa.Column("principal", sa.Uuid, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("result", JSONB),
        sa.Column("begun_at", _MOMENT, nullable=False),
        sa.Column("done_at", _MOMENT),
    )
    schema.tenant_table(op, "step", grants="SELECT, INSERT, UPDATE")


def _sweeps() -> None:
    op.create_table(
        "sweep",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("stores", ARRAY(sa.Text), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("asked_at", _MOMENT, nullable=False),
        sa.Column("done_at", _MOMENT),
    )
    schema.tenant_table(op, "sweep", grants="SELECT, INSERT, UPDATE")
    op.create_table(
        "sweep_piece",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("sweep", sa.Uuid, primary_key=True),
        sa.Column("step", sa.Uuid, primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("swept", JSONB, nullable=False),
    )
    schema.tenant_table(op, "sweep_piece", grants="SELECT, INSERT")
