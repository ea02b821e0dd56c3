"""By which rows of the policy book the recording of a call was decided; of those before, nobody knows: they are decided again."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("call", sa.Column("book_rows", sa.Text, nullable=False, server_default=""))
    schema.system_may(op, "call", "SELECT")
