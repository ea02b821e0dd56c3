"""Questions for consent that wait at an address of their own, and where people are sent back to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import schema

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "capture",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("token", sa.LargeBinary, primary_key=True),
        sa.Column("principal", sa.Uuid, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("notice", sa.Text, nullable=False),
        sa.Column("notice_version", sa.Integer, nullable=False),
        sa.Column("callback", sa.Text),
        sa.Column("consumer_state", sa.Text),
        sa.Column("form", sa.LargeBinary),
        sa.Column("outcome", sa.Text),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    schema.tenant_table(op, "capture")
    # Whoever opens the address has no token yet that would say whose customer she is.
    schema.system_may(op, "capture", "SELECT, DELETE")
    op.create_table(
        "capture_callback",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("client", sa.Text, primary_key=True),
        sa.Column("url", sa.Text, primary_key=True),
    )
    schema.tenant_table(op, "capture_callback")
