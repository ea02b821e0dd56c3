"""A fee for an excessive request, and what goes on paper to the registered address."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("request_task", sa.Column("fee_ore", sa.Integer))
    op.add_column("request", sa.Column("fee_ore", sa.Integer))
    op.add_column("request", sa.Column("by_post", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("request", sa.Column("posted", JSONB))
    op.add_column("letter", sa.Column("posted", JSONB))
