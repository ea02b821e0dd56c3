"""By which row of the policy book somebody acts for another person."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mandate", sa.Column("basis", sa.Text, nullable=False, server_default="authorised"))
