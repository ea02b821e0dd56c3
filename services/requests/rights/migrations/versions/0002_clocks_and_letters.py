"""The clocks of a request, which may run side by side, and its correspondence, sealed under the request's own key."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import schema

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CLOCKS_OF_OPEN_REQUESTS = """
INSERT INTO request_clock (id, tenant, request, clock, party, received_on, period, due_on, told, ended_at)
SELECT gen_random_uuid(), tenant, id, 'answer', 'operator', received_at::date, '1 month', due_on, 'overdue',
       coalesce(answered_at, closed_at)
FROM request"""


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "request_clock",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("request", sa.Uuid, sa.ForeignKey("request.id"), nullable=False),
        sa.Column("clock", sa.Text, nullable=False),
        sa.Column("party", sa.Text, nullable=False),
        sa.Column("received_on", sa.Date, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("extension", sa.Text),
        sa.Column("extension_reason", sa.Text),
        sa.Column("pauses", JSONB, nullable=False, server_default="[]"),
        sa.Column("due_on", sa.Date, nullable=False),
        sa.Column("told", sa.Text),
        sa.Column("next_at", instant),
        sa.Column("ended_at", instant),
        sa.UniqueConstraint("request", "clock", name="one_clock_of_a_kind"),
    )
    op.create_index("request_clock_next", "request_clock", ["next_at"], postgresql_where="ended_at IS NULL")
    schema.tenant_table(op, "request_clock", grants="SELECT, INSERT, UPDATE")
    schema.system_may(op, "request_clock", "SELECT")

    op.create_table(
        "letter",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("request", sa.Uuid, sa.ForeignKey("request.id"), nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("made_at", instant, nullable=False),
        sa.Column("subject", sa.LargeBinary),
        sa.Column("body", sa.LargeBinary),
        sa.Column("recipient", sa.LargeBinary),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("sent_at", instant),
    )
    op.create_index("letter_of", "letter", ["request"])
    schema.tenant_table(op, "letter", grants="SELECT, INSERT, UPDATE")

    # Requests of before keep the day they were told; nobody is reminded of them.
    op.execute("ALTER TABLE request NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE request_clock NO FORCE ROW LEVEL SECURITY")
    op.execute(_CLOCKS_OF_OPEN_REQUESTS)
    op.execute("ALTER TABLE request FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE request_clock FORCE ROW LEVEL SECURITY")
