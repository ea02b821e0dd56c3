"""By which keys this schema was written is remembered: a process with others does not begin."""

from alembic import op

from chassis import own_keys

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    own_keys.create(op)
