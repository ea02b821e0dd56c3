"""The signed versions of the policy book, and the ledger."""

from alembic import op

from chassis.ledger import schema as ledger
from services.registry.client import policy_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    ledger.create(op, "registry")
    policy_table(op)
