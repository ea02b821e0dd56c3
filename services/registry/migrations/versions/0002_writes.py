"""What a registry that people write to needs: replies by idempotency key, durable jobs, sealed personal data."""

from alembic import op

from chassis import durable, idempotency, schema, sealing

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    idempotency.create(op)
    durable.create(op)
    sealing.create(op, schema.service_of(op))
