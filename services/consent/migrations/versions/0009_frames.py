"""Records taken over by the million: what many have in common stands once, and the receipt is signed when somebody asks for it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import schema

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "record_frame",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("sha256", sa.LargeBinary, primary_key=True),
        sa.Column("body", JSONB, nullable=False),
        sa.Column("merge_delay_ms", sa.Integer, nullable=False),
    )
    schema.append_only(op, "record_frame")
    op.add_column("statement", sa.Column("frame", sa.LargeBinary))
    op.add_column("statement", sa.Column("evidence_ref", sa.Text))
    op.alter_column("statement", "receipt", nullable=True)
    op.create_check_constraint("receipt_or_frame", "statement", "(receipt IS NULL) <> (frame IS NULL)")
    op.add_column("consent_import", sa.Column("event", sa.Uuid))
