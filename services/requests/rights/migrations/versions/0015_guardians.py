"""The day of birth of a child whose guardian the consent service does not know yet, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("mandate", sa.Column("born", sa.LargeBinary))
