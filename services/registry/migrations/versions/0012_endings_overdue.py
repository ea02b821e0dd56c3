"""When it was told that a customer's data are still here after their deadline."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("tenant_ending", sa.Column("overdue_at", sa.DateTime(timezone=True)))
