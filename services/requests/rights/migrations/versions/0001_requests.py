"""Requests and their steps. Texts, identifiers, evidence and passphrase are sealed under the request's own key."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import durable, idempotency, schema, sealing
from chassis.ledger import schema as ledger
from services.registry.client import policy_table

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "request",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("principal", sa.Uuid),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ticket", sa.Text),
        sa.Column("recording", sa.Text),
        sa.Column("received_at", instant, nullable=False),
        sa.Column("recorded_at", instant, nullable=False),
        sa.Column("due_on", sa.Date, nullable=False),
        sa.Column("evidence_method", sa.Text),
        sa.Column("said", sa.LargeBinary),
        sa.Column("identifiers", sa.LargeBinary),
        sa.Column("evidence", sa.LargeBinary),
        sa.Column("passphrase", sa.LargeBinary),
        sa.Column("spool_key", sa.LargeBinary),
        sa.Column("executes_at", instant),
        sa.Column("answered_at", instant),
        sa.Column("closed_at", instant),
        sa.Column("answer", JSONB),
        sa.Column("certificate", sa.Text),
        sa.Column("answer_event", sa.Uuid),
        sa.Column("package_bytes", sa.BigInteger),
        sa.Column("package_sha256", sa.Text),
        sa.Column("package_expires_at", instant),
        sa.Column("package_deleted_at", instant),
        sa.Column("downloads_left", sa.Integer),
        sa.UniqueConstraint("tenant", "ticket", name="one_request_a_ticket"),
    )
    op.create_index("request_of", "request", ["tenant", "principal"])
    op.create_index("request_executes_at", "request", ["executes_at"], postgresql_where="state = 'cooling_off'")
    op.create_index("request_deleted_at", "request", ["package_deleted_at"], postgresql_where="state = 'answered'")
    schema.tenant_table(op, "request", grants="SELECT, INSERT, UPDATE")
    schema.system_may(op, "request", "SELECT")

    op.create_table(
        "request_step",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("request", sa.Uuid, sa.ForeignKey("request.id"), nullable=False),
        sa.Column("store", sa.Text, nullable=False),
        sa.Column("label", JSONB, nullable=False),
        sa.Column("verbs", JSONB, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("next_at", instant),
        sa.Column("due_at", instant),
        sa.Column("due_on", sa.Date),
        sa.Column("done_at", instant),
        sa.Column("result", JSONB),
        sa.UniqueConstraint("request", "store", "verb", "round", name="one_step_a_round"),
    )
    op.create_index("request_step_due", "request_step", ["due_at"], postgresql_where="state = 'deferred'")
    schema.tenant_table(op, "request_step", grants="SELECT, INSERT, UPDATE")
    schema.system_may(op, "request_step", "SELECT")

    policy_table(op)
    idempotency.create(op)
    durable.create(op)
    sealing.create(op, "rights")
    ledger.create(op, "rights")
