"""How a customer organisation's contract ends, and what was deleted for its people."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0005"
down_revision = "0004"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "tenant_ending",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("wish", sa.Text, nullable=False),
        sa.Column("ends_on", sa.Date, nullable=False),
        sa.Column("deadline", sa.Date, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("chosen_by", sa.Text, nullable=False),
        sa.Column("chosen_at", _MOMENT, nullable=False),
        sa.Column("remaining", sa.Integer),
        sa.Column("counted_at", _MOMENT),
        sa.Column("handed_over_at", _MOMENT),
        sa.Column("handed_over", sa.Text),
        sa.Column("certificate", sa.Text),
    )
    schema.tenant_table(op, "tenant_ending", grants="SELECT, INSERT, UPDATE")
    schema.system_may(op, "tenant_ending", "SELECT")
    op.create_table(
        "tenant_deletion",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("event", sa.Uuid, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("store", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
    )
    schema.append_only(op, "tenant_deletion")
