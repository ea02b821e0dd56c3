"""Wrong passwords count against the place they come from, so that nobody can close somebody else's door."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    place = sa.Column(
        "place", sa.LargeBinary, nullable=False, server_default="", comment="keyed hash of a browser or address"
    )
    op.add_column("login_try", place)
    op.drop_constraint("login_try_pkey", "login_try")
    op.create_primary_key("login_try_pkey", "login_try", ["login", "place", "at"])
