"""Authorities, orders and their versions, tasks, duties, reviews, holds, sealed packages and their deliveries."""

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

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _authorities()
    _orders()
    _four_eyes()
    _holds()
    _packages()
    policy_table(op)
    sealing.create(op, schema.service_of(op))
    idempotency.create(op)
    durable.create(op)
    ledger.create(op, schema.service_of(op))


def _column(name: str, type: type[sa.types.TypeEngine] | sa.types.TypeEngine, **more: bool) -> sa.Column:
    return sa.Column(name, type, **({"nullable": False} | more))


def _key(name: str, type: type[sa.types.TypeEngine]) -> sa.Column:
    return sa.Column(name, type, primary_key=True)


def _of_order() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant", "order_id"], ["disclosure_order.tenant", "disclosure_order.id"])


def _authorities() -> None:
    op.create_table(
        "authority",
        _key("tenant", sa.Uuid),
        _key("id", sa.Text),
        _column("name", sa.Text),
        _column("country", sa.Text),
        _column("kind", sa.Text),
        _column("clients", JSONB),
        _column("instruments", JSONB),
        _column("jwks", JSONB),
        _column("encryption_key", JSONB),
        _column("callback_number", sa.Text),
        _column("expires_at", _MOMENT),
        _column("registered_by", sa.Text),
        _column("registered_at", _MOMENT),
        sa.Column("confirmed_by", sa.Text),
        sa.Column("confirmed_at", _MOMENT),
        sa.CheckConstraint("confirmed_by <> registered_by", name="verified_by_two_persons"),
    )
    schema.tenant_table(op, "authority", grants="SELECT, INSERT, UPDATE")
    op.create_table("authority_client", _key("tenant", sa.Uuid), _key("client", sa.Text), _column("authority", sa.Text))
    schema.append_only(op, "authority_client")


def _orders() -> None:
    op.create_table(
        "disclosure_order",
        _key("tenant", sa.Uuid),
        _key("id", sa.Uuid),
        _column("authority", sa.Text),
        _column("instrument", sa.Text),
        _column("reference", sa.Text),
        _column("status", sa.Text),
        sa.Column("stage", sa.Text),
        _column("generation", sa.Integer),
        _column("order_hash", sa.Text),
        _column("emergency", sa.Boolean),
        _column("approvals_needed", sa.Integer),
        _column("received_at", _MOMENT),
        _column("served_at", _MOMENT),
        sa.Column("due_at", _MOMENT),
        _column("errors", JSONB),
        _column("policy_version", sa.Text),
        _column("beyond_cap", sa.Boolean),
        sa.CheckConstraint("approvals_needed > 0", name="somebody_approves"),
    )
    # Two submissions of one reference at the same moment: the second waits here, and loses.
    op.create_index(
        "one_order_a_reference",
        "disclosure_order",
        ["tenant", "authority", "instrument", "reference"],
        unique=True,
        postgresql_where=sa.text("status IN ('AwaitingApproval', 'Approved')"),
    )
    schema.tenant_table(op, "disclosure_order", grants="SELECT, INSERT, UPDATE")
    op.create_table(
        "order_version",
        _key("tenant", sa.Uuid),
        _key("order_id", sa.Uuid),
        _key("generation", sa.Integer),
        _column("order_hash", sa.Text),
        _column("sealed", sa.LargeBinary),
        _column("entered_by", sa.Text),
        _column("client", sa.Text),
        _column("at", _MOMENT),
        _of_order(),
    )
    schema.append_only(op, "order_version")
    op.create_table(
        "task",
        _key("tenant", sa.Uuid),
        _key("id", sa.Uuid),
        _column("order_id", sa.Uuid),
        _column("kind", sa.Text),
        _column("category", sa.Text),
        sa.Column("subtype", sa.Text),
        _column("target", sa.Integer),
        _column("period_from", _MOMENT),
        _column("period_to", _MOMENT),
        _column("status", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("rows", sa.BigInteger),
        sa.Column("hold", sa.Uuid),
        _of_order(),
    )
    op.create_index("task_of", "task", ["tenant", "order_id"])
    op.create_index("task_held", "task", ["tenant", "hold"], postgresql_where=sa.text("hold IS NOT NULL"))
    schema.tenant_table(op, "task")


def _four_eyes() -> None:
    """One person, one duty in an order: a second duty is a second row with the same key, and rows are never changed."""
    op.create_table(
        "order_duty",
        _key("tenant", sa.Uuid),
        _key("order_id", sa.Uuid),
        _key("person", sa.Text),
        _column("duty", sa.Text),
        _column("at", _MOMENT),
        sa.CheckConstraint("duty IN ('intake', 'approver', 'collector', 'releaser')", name="known_duty"),
        _of_order(),
    )
    schema.append_only(op, "order_duty")
    op.create_table(
        "review",
        _key("tenant", sa.Uuid),
        _key("order_id", sa.Uuid),
        _key("order_hash", sa.Text),
        _key("actor", sa.Text),
        _column("verdict", sa.Text),
        sa.Column("reason_code", sa.Text),
        _column("at", _MOMENT),
        sa.CheckConstraint("verdict IN ('approve', 'reject')", name="known_verdict"),
        _of_order(),
    )
    schema.append_only(op, "review")


def _holds() -> None:
    op.create_table(
        "hold",
        _key("tenant", sa.Uuid),
        _key("id", sa.Uuid),
        _column("order_id", sa.Uuid),
        _column("index", sa.LargeBinary),
        _column("sealed", sa.LargeBinary),
        _column("categories", JSONB),
        _column("period_from", _MOMENT),
        _column("period_to", _MOMENT),
        _column("state", sa.Text),
        _column("placed_at", _MOMENT),
        _column("expires_at", _MOMENT),
        sa.Column("ended_at", _MOMENT),
        sa.CheckConstraint("state IN ('provisional', 'active', 'ending', 'ended')", name="known_state"),
        _of_order(),
    )
    living = sa.text("state IN ('provisional', 'active')")
    op.create_index("hold_index", "hold", ["index"], postgresql_where=living)
    op.create_index("hold_expires", "hold", ["expires_at"], postgresql_where=living)
    schema.tenant_table(op, "hold", grants="SELECT, INSERT, UPDATE")
    # An order names a number, not a customer organisation: holds are asked across tenants.
    schema.system_may(op, "hold", "SELECT")
    op.create_table(
        "settlement",
        _key("tenant", sa.Uuid),
        _key("step", sa.Uuid),
        _key("store", sa.Text),
        _column("preserved", JSONB),
        _column("at", _MOMENT),
    )
    schema.append_only(op, "settlement")


def _packages() -> None:
    op.create_table(
        "sealed_package",
        _key("tenant", sa.Uuid),
        _key("id", sa.Uuid),
        _column("order_id", sa.Uuid),
        _column("order_hash", sa.Text),
        _column("root", sa.Text),
        _column("sha256", sa.Text),
        _column("length", sa.BigInteger),
        _column("recipient_kid", sa.Text),
        _column("collected_by", sa.Text),
        _column("sealed_at", _MOMENT),
        _column("content", sa.LargeBinary),
        _of_order(),
        sa.UniqueConstraint("tenant", "order_id", "order_hash", name="one_package_an_order"),
    )
    schema.append_only(op, "sealed_package")
    op.create_table(
        "package_release",
        _key("tenant", sa.Uuid),
        _key("package", sa.Uuid),
        _column("collected_by", sa.Text),
        _column("released_by", sa.Text),
        _column("at", _MOMENT),
        sa.CheckConstraint("released_by <> collected_by", name="a_third_person_releases"),
        sa.ForeignKeyConstraint(["tenant", "package"], ["sealed_package.tenant", "sealed_package.id"]),
    )
    schema.append_only(op, "package_release")
    op.create_table(
        "delivery",
        _key("tenant", sa.Uuid),
        _key("id", sa.Uuid),
        _column("package", sa.Uuid),
        _column("what", sa.Text),
        _column("client", sa.Text),
        _column("at", _MOMENT),
        sa.ForeignKeyConstraint(["tenant", "package"], ["sealed_package.tenant", "sealed_package.id"]),
        sa.CheckConstraint("what IN ('delivered', 'Acknowledged', 'Received')", name="known_delivery"),
    )
    op.create_index("delivery_of", "delivery", ["tenant", "package"])
    schema.append_only(op, "delivery")
