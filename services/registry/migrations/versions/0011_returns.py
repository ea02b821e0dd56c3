"""What was handed back to a customer organisation at its contract's end: which store's records, and the digest of the bytes."""

from alembic import op

from chassis import schema

revision = "0011"
down_revision = "0010"

_TABLE = """
CREATE TABLE tenant_return (
    tenant   uuid NOT NULL,
    store    text NOT NULL,
    given_at timestamptz NOT NULL,
    given_to text NOT NULL,
    sha256   text NOT NULL,
    length   bigint NOT NULL,
    records  bigint NOT NULL,
    PRIMARY KEY (tenant, store, given_at)
)"""


def upgrade() -> None:
    op.execute(_TABLE)
    schema.append_only(op, "tenant_return")
