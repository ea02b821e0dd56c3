"""All guardians are told once more to a consent service that came back from a backup, but for those of whom it said that the child is
of age."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("mandate", sa.Column("of_age", sa.Boolean, nullable=False, server_default=sa.false()))
    schema.system_may(op, "mandate", "SELECT")
