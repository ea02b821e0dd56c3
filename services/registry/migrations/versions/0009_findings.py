"""What the registry found by itself: a row for each time something was said of a finding."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import schema

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "finding_entry",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("known_from", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("body", JSONB, nullable=False),
    )
    schema.append_only(op, "finding_entry")
    schema.system_may(op, "finding_entry", "SELECT")
