"""An account may be found by an electronic identity and need no password; a session says how surely it began."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "account",
        sa.Column("eid", sa.LargeBinary, unique=True, comment="keyed hash of who the eID provider says it is"),
    )
    op.alter_column("account", "password", nullable=True)
    op.create_check_constraint("somebody_can_log_in", "account", "password IS NOT NULL OR eid IS NOT NULL")
    op.add_column("session", sa.Column("acr", sa.Text, nullable=False, server_default="password"))
