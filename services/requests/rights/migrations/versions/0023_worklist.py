"""What is open is read by the day on which it is due."""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_index(
        "request_clock_due", "request_clock", ["tenant", "due_on", "id"], postgresql_where="ended_at IS NULL"
    )
