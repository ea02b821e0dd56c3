"""Direct transfer of a portability package: other operators, what is on its way to us, and to whom a request's package went."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis import schema

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "other_operator",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("signing", JSONB, nullable=False),
        sa.Column("sealing", JSONB, nullable=False),
        sa.Column("registered_by", sa.Text, nullable=False),
        sa.Column("registered_at", _MOMENT, nullable=False),
    )
    schema.tenant_table(op, "other_operator")
    op.create_table(
        "reception",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Uuid, nullable=False),
        sa.Column("principal", sa.Uuid, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("code", sa.LargeBinary),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=False),
        sa.Column("ends_at", _MOMENT, nullable=False),
        sa.Column("received_at", _MOMENT),
        sa.Column("parts", sa.Integer),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("sha256", sa.Text),
        sa.Column("content_key", sa.Text),
    )
    op.create_index("reception_ends", "reception", ["ends_at"], postgresql_where=sa.text("state <> 'closed'"))
    op.create_index("reception_of", "reception", ["tenant", "principal"])
    schema.tenant_table(op, "reception")
    # Another operator knows a reception and no tenant; and what is over is looked for across all of them.
    schema.system_may(op, "reception", "SELECT")
    op.add_column("request", sa.Column("transfer_to", sa.Text))
    op.add_column("request", sa.Column("transfer", sa.LargeBinary))
