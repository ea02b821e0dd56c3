"""Accounts, sessions and codes, and two short memories.

Accounts, sessions and codes belong to a tenant and are written under its row level security. They have to be *found* before
the tenant is known (that is what logging in is), so the system role may read them, and may mark a code as used.
A used proof and a try to log in belong to no tenant: the service's own role sees nothing of them, only the system role does.
"""

import sqlalchemy as sa
from alembic import op

from chassis import durable, idempotency, schema
from chassis.ledger import schema as ledger

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("principal", sa.Uuid),
        sa.Column("login", sa.LargeBinary, nullable=False, unique=True, comment="keyed hash of the user name"),
        sa.Column("password", sa.Text, nullable=False, comment="Argon2id"),
        sa.Column("roles", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(kind = 'customer') = (principal IS NOT NULL)", name="a_customer_is_a_principal"),
        sa.UniqueConstraint("tenant", "principal"),
    )
    schema.tenant_table(op, "account")
    schema.system_may(op, "account", "SELECT")

    op.create_table(
        "session",
        sa.Column("sid", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("account", sa.Uuid, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("auth_time", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_for", sa.Text),
    )
    schema.tenant_table(op, "session")
    schema.system_may(op, "session", "SELECT, DELETE")

    op.create_table(
        "code",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("sid", sa.Uuid, sa.ForeignKey("session.sid"), nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("redirect_uri", sa.Text, nullable=False),
        sa.Column("challenge", sa.Text, nullable=False),
        sa.Column("scope", sa.Text),
        sa.Column("nonce", sa.Text),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
    )
    op.create_index("code_sid", "code", ["sid"])
    op.create_index("code_expires_at", "code", ["expires_at"])
    schema.tenant_table(op, "code")
    schema.system_may(op, "code", "SELECT, UPDATE, DELETE")

    op.create_table(
        "used_jti",
        sa.Column("client", sa.Text, primary_key=True),
        sa.Column("jti", sa.Text, primary_key=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
    )
    op.create_table(
        "login_try",
        sa.Column("login", sa.LargeBinary, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
    )
    for table in ("used_jti", "login_try"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        schema.system_may(op, table, "SELECT, INSERT, DELETE")

    idempotency.create(op)
    durable.create(op)
    ledger.create(op, schema.service_of(op))
