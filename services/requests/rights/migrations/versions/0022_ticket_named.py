"""Whom a ticket named, sealed, by which one that comes again says whether its requester is another."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("request", sa.Column("ticket_named", sa.LargeBinary()))
