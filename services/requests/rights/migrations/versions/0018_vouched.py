"""Who of the staff said how she made sure who asks: another confirms what only people say that somebody asked for. Of requests from before
this nobody knows it, and two of them confirm."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("request", sa.Column("vouched_by", sa.Text))
