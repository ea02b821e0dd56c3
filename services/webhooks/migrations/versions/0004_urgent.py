"""What a call waits for is followed by a cursor of its own, from where everything was followed until now."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        "INSERT INTO feed_cursor (name, position) SELECT 'consent.recording', position FROM feed_cursor WHERE name = 'consent'"
    )
