"""That somebody is a child may be known though her day of birth was lost with what came after a backup."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.alter_column("guardianship", "born", nullable=True)
