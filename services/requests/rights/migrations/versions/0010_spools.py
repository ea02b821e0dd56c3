"""What was collected and is little waits for its package here; it is sealed under the request's spool key, and goes with the package."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spool",
        sa.Column("step", sa.Uuid, sa.ForeignKey("request_step.id"), primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("request", sa.Uuid, sa.ForeignKey("request.id"), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("spool_of", "spool", ["request"])
    # Encrypted bytes only cost time to compress.
    op.execute("ALTER TABLE spool ALTER COLUMN content SET STORAGE EXTERNAL")
    schema.tenant_table(op, "spool", grants="SELECT, INSERT, DELETE")
