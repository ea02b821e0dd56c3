"""Existing consents that are taken over."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "consent_import",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("chunks", sa.Integer, nullable=False),
        sa.Column("taken", sa.BigInteger, nullable=False),
        sa.Column("refused", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    )
    schema.tenant_table(op, "consent_import", grants="SELECT, INSERT, UPDATE")
    op.create_table(
        "import_refusal",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Uuid, primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    schema.append_only(op, "import_refusal")
