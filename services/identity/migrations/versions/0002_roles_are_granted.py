"""What staff may do is said by the access register at each login, and no longer by their accounts."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Kept, and empty for new accounts, until no process that reads it runs any more.
    op.alter_column("account", "roles", server_default="{}")
