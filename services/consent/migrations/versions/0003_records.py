"""Who answers for a notice, who speaks for a child, and finding the consents that lapse."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import schema

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("notice_version", sa.Column("party", JSONB))
    op.create_table(
        "guardianship",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("principal", sa.Uuid, primary_key=True),
        sa.Column("guardian", sa.Uuid, nullable=False),
        sa.Column("born", sa.Date, nullable=False),
        sa.Column("evidence_ref", sa.Text, nullable=False),
    )
    schema.tenant_table(op, "guardianship")
    schema.system_may(op, "guardianship", "SELECT")
    op.execute(
        "CREATE INDEX standing_lapses ON standing (valid_until) WHERE kind = 'consent' AND state IN ('given', 'renewed_given')"
    )
    schema.system_may(op, "standing", "SELECT")
