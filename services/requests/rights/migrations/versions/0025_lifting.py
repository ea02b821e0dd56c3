"""What ends, and has nothing left to do, is found by the clock."""

from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.create_index("request_lifting", "request", ["id"], postgresql_where="state = 'lifting'")
