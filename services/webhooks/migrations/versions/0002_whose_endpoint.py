"""Which client registered an endpoint: its secrets are that client's alone. One registered before is rotated by nobody; register anew."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("endpoint", sa.Column("client", sa.Text))
