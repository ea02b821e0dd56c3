"""What must be erased again if a store comes back from a backup, for as long as there are backups."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import schema

revision = "0004"
down_revision = "0003"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "replay",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("step", sa.Uuid, primary_key=True),
        sa.Column("principal", sa.Uuid, nullable=False),
        sa.Column("store", sa.Text, nullable=False),
        sa.Column("scope", JSONB),
        sa.Column("marks", JSONB, nullable=False),
        sa.Column("erased_at", _MOMENT, nullable=False),
        sa.Column("until", _MOMENT, nullable=False),
    )
    op.create_index("replay_until", "replay", ["until"])
    schema.tenant_table(op, "replay", grants="SELECT, INSERT")
    # A restored store is brought up to date whosever people were in it.
    schema.system_may(op, "replay", "SELECT, DELETE")
