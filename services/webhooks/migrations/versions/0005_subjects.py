"""What an endpoint may hear. One registered before goes on hearing what it named; what one that named nothing may hear, nobody knows:
it hears nothing until it is registered again."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0005"
down_revision = "0004"

_KNOWN = """
UPDATE endpoint SET subjects = '{recording,consent,rights,registry,anonymizer}' WHERE types <> '{}'"""
_UNKNOWN = "UPDATE endpoint SET state = 'disabled', problem = 'register_again' WHERE types = '{}' AND state = 'active'"


def upgrade() -> None:
    op.add_column("endpoint", sa.Column("subjects", ARRAY(sa.Text), nullable=False, server_default="{}"))
    op.execute("ALTER TABLE endpoint NO FORCE ROW LEVEL SECURITY")
    op.execute(_KNOWN)
    op.execute(_UNKNOWN)
    op.execute("ALTER TABLE endpoint FORCE ROW LEVEL SECURITY")
