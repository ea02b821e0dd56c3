"""One-time codes, mandates and protected identities."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import schema

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.add_column("request", sa.Column("agent", sa.Uuid))
    op.create_index("request_by", "request", ["tenant", "agent"], postgresql_where="agent IS NOT NULL")

    op.create_table(
        "one_time_code",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("request", sa.Uuid, sa.ForeignKey("request.id"), nullable=False),
        sa.Column("contact", sa.LargeBinary),
        sa.Column("contact_index", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary),
        sa.Column("asked_at", instant, nullable=False),
        sa.Column("expires_at", instant, nullable=False),
        sa.Column("tries_left", sa.Integer, nullable=False),
        sa.Column("used_at", instant),
    )
    op.create_index("one_time_code_of", "one_time_code", ["request"])
    op.create_index("one_time_code_to", "one_time_code", ["tenant", "contact_index", "asked_at"])
    schema.tenant_table(op, "one_time_code")
    schema.system_may(op, "one_time_code", "SELECT, DELETE")

    op.create_table(
        "mandate",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("principal", sa.Uuid, nullable=False),
        sa.Column("agent", sa.Uuid, nullable=False),
        sa.Column("kinds", JSONB, nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("valid_to", sa.Date),
        sa.Column("evidence", sa.LargeBinary),
        sa.Column("recorded_by", sa.Text, nullable=False),
        sa.Column("recorded_at", instant, nullable=False),
        sa.Column("revoked_by", sa.Text),
        sa.Column("revoked_at", instant),
    )
    op.create_index("mandate_of", "mandate", ["tenant", "agent"])
    op.create_index("mandate_for", "mandate", ["tenant", "principal"])
    schema.tenant_table(op, "mandate", grants="SELECT, INSERT, UPDATE")

    op.create_table(
        "protected_person",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("principal", sa.Uuid, primary_key=True),
        sa.Column("recorded_by", sa.Text, nullable=False),
        sa.Column("recorded_at", instant, nullable=False),
    )
    schema.tenant_table(op, "protected_person")
