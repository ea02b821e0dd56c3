"""The living register: dated rows that nobody changes, and what customers were told of changes and objected."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "register_entry",
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("valid_to", sa.Date),
        sa.Column("known_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("recorded_by", sa.Text, nullable=False),
        sa.Column("event", sa.Uuid, nullable=False),
    )
    # The row that counts for a key on a day is the first of this order.
    counting = [sa.text("valid_from DESC"), sa.text("known_from DESC")]
    op.create_index("register_entry_counting", "register_entry", ["kind", "key", *counting])
    schema.append_only(op, "register_entry")
    schema.system_may(op, "register_entry", "SELECT")

    op.create_table(
        "change_notice",
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("change", sa.Uuid, nullable=False),
        sa.Column("contract", sa.Text, nullable=False),
        sa.Column("window", sa.Text, nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("objections_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.Uuid, nullable=False),
        sa.Column("mail_state", sa.Text),
        sa.Column("mail_at", sa.DateTime(timezone=True)),
        sa.Column("mail_proof", sa.Text),
        sa.UniqueConstraint("tenant", "change", "contract", name="told_once"),
    )
    op.create_index("change_notice_event", "change_notice", ["tenant", "event"])
    schema.tenant_table(op, "change_notice", grants="SELECT, INSERT, UPDATE")
    schema.system_may(op, "change_notice", "SELECT")

    op.create_table(
        "notice_delivery",
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("notice", sa.Uuid, nullable=False),
        sa.Column("delivery", sa.Uuid, nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("notice", "delivery"),
    )
    schema.append_only(op, "notice_delivery")
    schema.system_may(op, "notice_delivery", "SELECT")

    op.create_table(
        "objection",
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("change", sa.Uuid, nullable=False),
        sa.Column("grounds", sa.Text, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("resolution", sa.Text),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("resolved_by", sa.Text),
    )
    op.create_index("objection_change", "objection", ["change"])
    schema.tenant_table(op, "objection", grants="SELECT, INSERT, UPDATE")
    schema.system_may(op, "objection", "SELECT")
