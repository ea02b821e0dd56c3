"""Facts of the house itself on their way to the endpoints of every tenant that names them."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "public_fact",
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("event", sa.Uuid, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    schema.append_only(op, "public_fact")
    schema.system_may(op, "public_fact", "SELECT")
    schema.system_may(op, "endpoint", "SELECT")
