"""A child may have several guardians, and each may end alone; that it is a child stays known until it is of age."""

import sqlalchemy as sa
from alembic import op

from chassis.ledger.schema import cursors_name_their_leaf

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("guardianship", sa.Column("until", sa.DateTime(timezone=True)))
    op.add_column("guardianship", sa.Column("ended_at", sa.DateTime(timezone=True)))
    op.drop_constraint("guardianship_pkey", "guardianship")
    cursors_name_their_leaf(op)  # consent follows who is forgotten
    op.create_primary_key("guardianship_pkey", "guardianship", ["tenant", "principal", "guardian"])
