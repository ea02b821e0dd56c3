"""Whether a customer that was told of a change was told what became of it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("change_notice", sa.Column("decision_told", sa.Boolean, nullable=False, server_default=sa.false()))
