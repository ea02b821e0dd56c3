"""The access register: grants, clearances, review campaigns. Rows are filled in as they are decided, and never deleted.

All of it belongs to the house; the system role reads it to answer what somebody may do this instant.
"""

from alembic import op

from chassis import schema

revision = "0004"
down_revision = "0003"

_TABLES = (
    """
    CREATE TABLE access_clearance (
        id          uuid PRIMARY KEY,
        tenant      uuid NOT NULL,
        person      uuid NOT NULL,
        clearance   text NOT NULL,
        evidence    text NOT NULL,
        recorded_by text NOT NULL,
        recorded_at timestamptz NOT NULL,
        valid_to    timestamptz NOT NULL,
        ended_at    timestamptz,
        ended_by    text,
        CHECK (recorded_by <> person::text)
    )
    """,
    "CREATE INDEX access_clearance_person ON access_clearance (person)",
    """
    CREATE TABLE access_grant (
        id            uuid PRIMARY KEY,
        tenant        uuid NOT NULL,
        person        uuid NOT NULL,
        role          text NOT NULL,
        system        text,
        facility      text,
        areas         text[] NOT NULL,
        organisation  uuid,
        purpose       text NOT NULL,
        justification text NOT NULL,
        clearance     uuid REFERENCES access_clearance,
        requested_by  text NOT NULL,
        requested_at  timestamptz NOT NULL,
        valid_from    timestamptz,
        valid_to      timestamptz NOT NULL,
        approved      boolean,
        decided_by    text,
        decided_at    timestamptz,
        decision      text,
        ended_by      text,
        ended_at      timestamptz,
        ended_for     text,
        CHECK ((system IS NULL) <> (facility IS NULL)),
        CHECK (decided_by NOT IN (person::text, requested_by)),
        CHECK (num_nulls(approved, decided_by, decided_at, decision) IN (0, 4)),
        CHECK (num_nulls(ended_by, ended_at, ended_for) IN (0, 3)),
        CHECK (NOT approved OR (valid_from IS NOT NULL AND valid_from < valid_to))
    )
    """,
    "CREATE INDEX access_grant_person ON access_grant (person)",
    "CREATE INDEX access_grant_open ON access_grant (valid_to) WHERE approved AND ended_at IS NULL",
    """
    CREATE TABLE access_review (
        id        uuid PRIMARY KEY,
        tenant    uuid NOT NULL,
        opened_at timestamptz NOT NULL,
        due_at    timestamptz NOT NULL,
        closed_at timestamptz
    )
    """,
    """
    CREATE TABLE access_review_item (
        review     uuid NOT NULL REFERENCES access_review,
        grant_id   uuid NOT NULL REFERENCES access_grant,
        tenant     uuid NOT NULL,
        kept       boolean,
        decided_by text,
        decided_at timestamptz,
        reason     text,
        PRIMARY KEY (review, grant_id)
    )
    """,
    "CREATE INDEX access_review_item_grant ON access_review_item (grant_id) WHERE decided_at IS NULL",
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
    for table in ("access_clearance", "access_grant", "access_review", "access_review_item"):
        schema.tenant_table(op, table, grants="SELECT, INSERT, UPDATE")
        schema.system_may(op, table, "SELECT")
