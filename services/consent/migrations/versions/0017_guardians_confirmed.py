"""Another of the staff looks before a guardian whom one of them recorded speaks. Whoever was recorded before speaks as she did."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("guardianship", sa.Column("waiting", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("guardianship", sa.Column("vouched_by", sa.Text))
