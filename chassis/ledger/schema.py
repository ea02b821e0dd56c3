"""The ledger's tables in a service's schema. They only grow: no role, the owner included, holds UPDATE or DELETE on them."""

from alembic.operations import Operations

from chassis.schema import append_only, shared_table, system_may

_TABLES = (
    # xid tells the sequencer which rows a snapshot could not see yet. `seq` and `xid` fill themselves: they may not be inserted,
    # or whoever took over a service could write an event that is never found.
    """
    CREATE TABLE event (
        id      uuid PRIMARY KEY,
        seq     bigint GENERATED ALWAYS AS IDENTITY,
        xid     xid8 NOT NULL DEFAULT pg_current_xact_id(),
        type    text NOT NULL,
        tenant  uuid NOT NULL,
        subject uuid,
        time    timestamptz NOT NULL,
        body    bytea NOT NULL
    )
    """,
    "CREATE INDEX event_xid ON event (xid)",
    """
    CREATE TABLE ledger_entry (
        position bigint PRIMARY KEY CHECK (position > 0),
        event_id uuid NOT NULL UNIQUE,
        leaf     bytea NOT NULL CHECK (octet_length(leaf) = 32)
    )
    """,
    # One row for each complete subtree of 256, 65,536, … leaves (level 1, 2, …): proofs read some hundred rows, never all.
    """
    CREATE TABLE ledger_node (
        level smallint NOT NULL CHECK (level > 0),
        index bigint NOT NULL,
        hash  bytea NOT NULL CHECK (octet_length(hash) = 32),
        PRIMARY KEY (level, index)
    )
    """,
    """
    CREATE TABLE ledger_checkpoint (
        size bigint PRIMARY KEY,
        root bytea NOT NULL CHECK (octet_length(root) = 32),
        note text NOT NULL,
        time timestamptz NOT NULL
    )
    """,
    "CREATE TABLE feed_cursor (name text PRIMARY KEY, position bigint NOT NULL, leaf text)",
)


def create(op: Operations, service: str) -> None:
    """Creates event, ledger_entry, ledger_node, ledger_checkpoint and feed_cursor, with their grants and policies."""
    for statement in _TABLES:
        op.execute(statement)
    append_only(op, "event")
    op.execute(f'REVOKE INSERT ON event FROM "{service}"')
    op.execute(f'GRANT INSERT (id, type, tenant, subject, time, body) ON event TO "{service}"')
    system_may(op, "event", "SELECT")
    for table in ("ledger_entry", "ledger_node", "ledger_checkpoint"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        system_may(op, table, "SELECT, INSERT")
    for table in ("event", "ledger_entry", "ledger_node", "ledger_checkpoint"):
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM CURRENT_USER")
    shared_table(op, "feed_cursor", "SELECT, INSERT, UPDATE")
    # A cursor belongs to no tenant, and neither does reading how far one is.
    op.execute(f'GRANT SELECT, INSERT, UPDATE ON feed_cursor TO "{service}_system"')


def cursors_name_their_leaf(op: Operations) -> None:
    """For a service whose tables were created before they did."""
    op.execute("ALTER TABLE feed_cursor ADD COLUMN IF NOT EXISTS leaf text")
