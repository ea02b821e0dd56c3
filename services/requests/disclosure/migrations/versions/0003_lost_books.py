"""Which versions of the policy book the registry has lost."""

from alembic import op

from services.registry.client import policy_versions_may_be_lost

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    policy_versions_may_be_lost(op)
