"""A cursor names the entry that was read last: a feed that came back from a backup is known by it."""

from alembic import op

from chassis.ledger.schema import cursors_name_their_leaf

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    cursors_name_their_leaf(op)
