"""A deletion may be of some elements only: of what rested on a consent that was withdrawn."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("request", sa.Column("elements", JSONB))
    op.add_column("request", sa.Column("awaiting_since", sa.DateTime(timezone=True)))
    op.create_index("request_awaits", "request", ["awaiting_since"], postgresql_where="state = 'awaiting_passphrase'")
