"""Sweeps that repeat themselves, and what is gone from a store while its backups still have it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from chassis import schema

revision = "0005"
down_revision = "0004"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "sweep_schedule",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("stores", ARRAY(sa.Text)),
        sa.Column("every_days", sa.Integer, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("next_at", _MOMENT, nullable=False),
        sa.Column("last_sweep", sa.Uuid),
    )
    schema.tenant_table(op, "sweep_schedule")
    # Whose sweeps are due is looked for in one statement; each is asked within its own tenant.
    schema.system_may(op, "sweep_schedule", "SELECT")
    op.create_table(
        "in_backups",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("store", sa.Text, primary_key=True),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("gone_at", _MOMENT, nullable=False),
        sa.Column("until", _MOMENT, nullable=False),
        sa.Column("over_at", _MOMENT),
    )
    op.create_index("in_backups_until", "in_backups", ["until"], postgresql_where=sa.text("over_at IS NULL"))
    schema.tenant_table(op, "in_backups", grants="SELECT, INSERT, UPDATE")
    schema.system_may(op, "in_backups", "SELECT")
