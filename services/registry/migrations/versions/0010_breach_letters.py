"""How a customer organisation was told of a breach: the words of the notice, and what proves that it arrived."""

from alembic import op

from chassis import schema

revision = "0010"
down_revision = "0009"

_TABLE = """
CREATE TABLE breach_letter (
    tenant     uuid NOT NULL,
    id         uuid PRIMARY KEY,
    breach     uuid NOT NULL,
    clock      text NOT NULL,
    statement  integer NOT NULL,
    contract   text NOT NULL,
    subject    text NOT NULL,
    body       text NOT NULL,
    written_at timestamptz NOT NULL,
    event      uuid NOT NULL,
    mail_to    text,
    mail_state text,
    mail_at    timestamptz,
    mail_proof text,
    UNIQUE (breach, tenant, contract, statement)
)"""


def upgrade() -> None:
    op.execute(_TABLE)
    op.execute("CREATE INDEX breach_letter_event ON breach_letter (tenant, event)")
    schema.tenant_table(op, "breach_letter", grants="SELECT, INSERT, UPDATE")
    schema.system_may(op, "breach_letter", "SELECT")
