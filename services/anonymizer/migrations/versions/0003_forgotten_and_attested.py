"""Who was forgotten, and what people attest that they did by hand."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0003"
down_revision = "0002"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "forgotten",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("principal", sa.Uuid, primary_key=True),
        sa.Column("request", sa.Uuid, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
    )
    schema.append_only(op, "forgotten")
    op.create_table(
        "attestation",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("step", sa.Uuid, primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("evidence_sha256", sa.Text, nullable=False),
        sa.Column("evidence_at", sa.Text, nullable=False),
        sa.Column("pending_until", sa.Date),
    )
    schema.append_only(op, "attestation")
    op.create_index("step_of", "step", ["tenant", "principal"])
