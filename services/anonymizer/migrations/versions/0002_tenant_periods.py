"""What tenants set for their own data, as signed documents of the registry."""

from alembic import op

from services.registry.client import tenant_periods_table

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    tenant_periods_table(op)
