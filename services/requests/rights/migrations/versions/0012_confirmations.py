"""A deletion that nobody confirms: she is reminded once, and then it is over."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("request", sa.Column("reminded_at", sa.DateTime(timezone=True)))
    op.create_index("request_unconfirmed", "request", ["awaiting_since"], postgresql_where="state = 'previewed'")
