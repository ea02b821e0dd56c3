"""Who was asked who she is and never proves it is answered so."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    unproven = "state IN ('received', 'clarification') AND evidence_method IS NULL"
    op.create_index("request_unproven", "request", ["awaiting_since"], postgresql_where=unproven)
