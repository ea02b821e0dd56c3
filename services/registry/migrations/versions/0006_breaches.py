"""Breach, DPIA and LIA registers. Statements, notices and entries are only added; a breach is closed once.

`reminder` says what was reminded of, so that each reminder is given once however often the clock comes round.
"""

from alembic import op

from chassis import schema

revision = "0006"
down_revision = "0005"

_TABLES = (
    """
    CREATE TABLE breach (
        id          uuid PRIMARY KEY,
        tenant      uuid NOT NULL,
        aware_at    timestamptz NOT NULL,
        reported_by text NOT NULL,
        reported_at timestamptz NOT NULL,
        closed_at   timestamptz,
        closed_by   text,
        conclusion  text,
        CHECK (num_nulls(closed_at, closed_by, conclusion) IN (0, 3))
    )
    """,
    """
    CREATE TABLE breach_statement (
        id        uuid PRIMARY KEY,
        tenant    uuid NOT NULL,
        breach    uuid NOT NULL REFERENCES breach,
        body      bytea NOT NULL,
        stated_by text NOT NULL,
        stated_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX breach_statement_breach ON breach_statement (breach)",
    """
    CREATE TABLE breach_notice (
        id           uuid PRIMARY KEY,
        tenant       uuid NOT NULL,
        breach       uuid NOT NULL REFERENCES breach,
        clock        text NOT NULL,
        organisation uuid,
        told_at      timestamptz NOT NULL,
        reference    text NOT NULL,
        recorded_by  text NOT NULL,
        recorded_at  timestamptz NOT NULL,
        UNIQUE NULLS NOT DISTINCT (breach, clock, organisation)
    )
    """,
    """
    CREATE TABLE assessment_entry (
        id          uuid PRIMARY KEY,
        tenant      uuid NOT NULL,
        reference   text NOT NULL,
        body        bytea NOT NULL,
        recorded_by text NOT NULL,
        recorded_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX assessment_entry_reference ON assessment_entry (reference)",
    """
    CREATE TABLE reminder (
        tenant       uuid NOT NULL,
        about        uuid NOT NULL,
        clock        text NOT NULL,
        organisation uuid,
        kind         text NOT NULL,
        at           timestamptz NOT NULL,
        UNIQUE NULLS NOT DISTINCT (about, clock, organisation, kind)
    )
    """,
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
    schema.tenant_table(op, "breach", grants="SELECT, INSERT, UPDATE")
    for table in ("breach_statement", "breach_notice", "assessment_entry", "reminder"):
        schema.append_only(op, table)
    for table in ("breach", "breach_statement", "breach_notice", "assessment_entry", "reminder"):
        schema.system_may(op, table, "SELECT")
