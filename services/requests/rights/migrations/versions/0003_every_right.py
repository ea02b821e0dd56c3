"""What the other rights need: what they are about, who decides what, and organisations that decide themselves."""

import sqlalchemy as sa
from alembic import op

from chassis import schema

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.add_column("request", sa.Column("party", sa.Text, nullable=False, server_default="operator"))
    for name in ("ground", "purpose", "outcome", "refusal"):
        op.add_column("request", sa.Column(name, sa.Text))
    for name in ("changes", "reason"):
        op.add_column("request", sa.Column(name, sa.LargeBinary))
    for name in ("part_of", "duplicate_of"):
        op.add_column("request", sa.Column(name, sa.Uuid))
    op.create_index("request_part_of", "request", ["part_of"], postgresql_where="part_of IS NOT NULL")
    # One tick looks for each of these; an answer's copies go at `package_deleted_at`, whatever they are.
    op.create_index("request_lifted_at", "request", ["executes_at"], postgresql_where="state = 'answered'")

    op.create_table(
        "request_task",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("request", sa.Uuid, sa.ForeignKey("request.id"), nullable=False),
        sa.Column("matter", sa.Text, nullable=False),
        sa.Column("party", sa.Text, nullable=False),
        sa.Column("eyes", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("due_on", sa.Date, nullable=False),
        sa.Column("verdict", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("text", sa.LargeBinary),
        sa.Column("digest", sa.Text),
        sa.Column("proposed_by", sa.Text),
        sa.Column("proposed_at", instant),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_at", instant),
        sa.CheckConstraint("eyes = 1 OR state <> 'decided' OR decided_by <> proposed_by", name="two_people"),
    )
    op.create_index("request_task_of", "request_task", ["request"])
    op.create_index(
        "one_open_task",
        "request_task",
        ["request"],
        unique=True,
        postgresql_where="state IN ('open', 'proposed')",
    )
    schema.tenant_table(op, "request_task", grants="SELECT, INSERT, UPDATE")

    op.create_table(
        "controller",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("contact", sa.Text, nullable=False),
        sa.Column("named_by", sa.Text, nullable=False),
        sa.Column("named_at", instant, nullable=False),
    )
    schema.tenant_table(op, "controller", grants="SELECT, INSERT, UPDATE")
