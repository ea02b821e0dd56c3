"""By which keys this schema was written is remembered: a process with others does not begin."""

from alembic import op

from chassis import own_keys

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    own_keys.create(op)
