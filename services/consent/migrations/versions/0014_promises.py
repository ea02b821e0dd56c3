"""What a receipt promises stands in its record, under the ledger's fingerprint; beside it nothing is read any more."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.alter_column("record_frame", "merge_delay_ms", nullable=True)
