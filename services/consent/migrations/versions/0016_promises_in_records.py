"""What a receipt promises stands in its record; the column beside it has not been written or read since 0014."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.drop_column("record_frame", "merge_delay_ms")
