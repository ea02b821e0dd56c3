"""When a package was printed: nothing else is posted."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("request", sa.Column("printed_at", sa.DateTime(timezone=True)))
