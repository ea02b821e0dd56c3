"""Calls, and who is in them."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0004"
down_revision = "0003"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "call",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("recording", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("legal_ref", sa.Text),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.Column("stopped_at", _MOMENT),
        sa.Column("event", sa.Uuid, nullable=False),
    )
    schema.tenant_table(op, "call", grants="SELECT, INSERT, UPDATE")
    op.create_table(
        "call_party",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("call", sa.Uuid, primary_key=True),
        sa.Column("party", sa.Integer, primary_key=True),
        sa.Column("principal", sa.Uuid),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("indication", sa.Text, nullable=False),
        sa.Column("offset_ms", sa.Integer),
        sa.Column("record", sa.Uuid),
        sa.ForeignKeyConstraint(["tenant", "call"], ["call.tenant", "call.id"]),
    )
    schema.tenant_table(op, "call_party", grants="SELECT, INSERT, UPDATE")
    # What a withdrawal asks first: is she in a call that is being recorded?
    op.execute("CREATE INDEX call_recorded ON call (tenant, id) WHERE recording")
    op.execute("CREATE INDEX call_party_of ON call_party (tenant, principal) WHERE principal IS NOT NULL")
