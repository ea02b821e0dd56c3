"""Which requests of a person hold up an objection or a restriction."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "standing_case",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("principal", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("purpose", sa.Text, primary_key=True),
        sa.Column("case", sa.Uuid, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ground", sa.Text),
        sa.Column("record", sa.Uuid, nullable=False),
    )
    schema.tenant_table(op, "standing_case")
