"""Another of the staff looks at a mandate's papers before it counts. What was recorded before counts as it did."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("mandate", sa.Column("waiting", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("mandate", sa.Column("vouched_by", sa.Text))
    op.add_column("mandate", sa.Column("confirmed_by", sa.Text))
    op.create_index("mandate_waiting", "mandate", ["tenant", "id"], postgresql_where=sa.text("waiting"))
