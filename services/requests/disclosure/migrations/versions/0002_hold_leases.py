"""Which answers about holds an erasure may still be committed by."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "hold_lease",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("step", sa.Uuid, primary_key=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )
    schema.tenant_table(op, "hold_lease")
    # The barrier waits for every tenant's: an order names a number, not a customer organisation.
    schema.system_may(op, "hold_lease", "SELECT, DELETE")
