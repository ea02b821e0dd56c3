"""What a past decision rested on is found again without reading the whole ledger."""

from alembic import op

from chassis import schema

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    schema.system_may(op, "statement", "SELECT")
    op.execute(
        "CREATE INDEX event_of_rules ON event (tenant) WHERE type IN ('notice.published', 'duty.recorded', 'duty.ended')"
    )
