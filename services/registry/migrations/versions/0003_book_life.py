"""What tenants set for their own data, and the proposals by which the book changes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import schema
from services.registry.client import tenant_periods_table

revision = "0003"
down_revision = "0002"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_periods_table(op)
    op.create_table(
        "policy_proposal",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("correction", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("made_at", _MOMENT, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("diff", JSONB, nullable=False),
        # What would change in the stores, and when that was asked; a book whose consequences nobody knows is not approved.
        sa.Column("consequences", JSONB),
        sa.Column("simulated_at", _MOMENT),
        sa.Column("problem", sa.Text),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_at", _MOMENT),
        sa.Column("decision", sa.Text),
        sa.CheckConstraint(
            "decided_by IS NULL OR state <> 'approved' OR decided_by <> author", "approver_is_not_author"
        ),
    )
    schema.tenant_table(op, "policy_proposal", grants="SELECT, INSERT, UPDATE")
