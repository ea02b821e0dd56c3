"""Since when another operator has the key to what was sent there; and which codes staff had sent, which are counted by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("request", sa.Column("handed_over_at", sa.DateTime(timezone=True)))
    op.add_column("one_time_code", sa.Column("by_staff", sa.Boolean, nullable=False, server_default=sa.false()))
