"""The three PostgreSQL stores: a database each, a role that owns it, one that works in it and one that only reads."""

import io
import secrets
from pathlib import Path
from typing import Protocol

import asyncpg
import pyarrow as pa
import pyarrow.csv

from ops.home import ROOT, Home
from ops.keys import write_once
from ops.postgres import create_database, create_role
from sample.dates import Calendar

STORES = ("billing", "calls", "helpdesk")
DDL = Path(__file__).parent / "ddl"
JOURNAL = ROOT / "services" / "anonymizer" / "store_schema.sql"


class Cluster(Protocol):
    """What the sample needs of a PostgreSQL: a superuser's connection. `ops.postgres.Postgres` is one."""

    async def connect(self, database: str = "postgres") -> asyncpg.Connection: ...


def database(store: str) -> str:
    return f"sample_{store}"


async def create(home: Home, postgres: Cluster, store: str) -> None:
    """The store, empty: whatever an interrupted run left of it is dropped."""
    admin = await postgres.connect()
    try:
        await admin.execute(f"DROP DATABASE IF EXISTS {database(store)} WITH (FORCE)")
        await create_role(admin, f"{store}_owner")
        for role in ("wardline", "verifier"):
            await create_role(admin, f"{store}_{role}", password=_password(home, store, role))
        if store == "calls":
            await create_role(admin, "calls_tables")
            await admin.execute("GRANT calls_tables TO calls_wardline")
        await create_database(admin, database(store), owner=f"{store}_owner")
        await admin.execute(f"GRANT CONNECT ON DATABASE {database(store)} TO {store}_wardline, {store}_verifier")
    finally:
        await admin.close()


def _password(home: Home, store: str, role: str) -> str:
    path = home.secrets("anonymizer") / "stores" / f"{store}.{role}.password"
    write_once(path, lambda: secrets.token_urlsafe(24).encode())
    return path.read_text().strip()


async def build(connection: asyncpg.Connection, store: str) -> None:
    """The store's tables, as their owner."""
    owner = tables_owner(store)
    await connection.execute(f"GRANT CREATE ON SCHEMA public TO {owner}; SET ROLE {owner}")
    await connection.execute((DDL / f"{store}.sql").read_text())


async def add_months(connection: asyncpg.Connection, calendar: Calendar, table: str, months: int) -> None:
    """Partitions of this month and the `months - 1` before."""
    for age in range(months):
        begin, end = calendar.month(age), calendar.month(age - 1)
        await connection.execute(
            f"CREATE TABLE {table}_{begin:%Y%m} PARTITION OF {table} "
            f"FOR VALUES FROM ('{begin:%Y-%m-%d}Z') TO ('{end:%Y-%m-%d}Z')"
        )


async def copy(connection: asyncpg.Connection, table: str, rows: pa.Table) -> int:
    """The rows as one COPY: Arrow writes them as text faster than they could be handed over one by one."""
    if not len(rows):
        return 0
    text = io.BytesIO()
    pa.csv.write_csv(rows, text, pa.csv.WriteOptions(include_header=False))
    text.seek(0)
    await connection.copy_to_table(table, source=text, columns=rows.column_names, format="csv")
    return len(rows)


async def finish(connection: asyncpg.Connection, store: str) -> None:
    """Grants, Wardline's own schema, and the planner's statistics."""
    owner = f"{store}_owner"
    grants = (DDL / "grants.sql").read_text().replace("STORE", store)
    await connection.execute(f"RESET ROLE; {grants}")
    if JOURNAL.exists():
        await connection.execute(f"SET ROLE {owner}; SET search_path = wardline")
        await connection.execute(JOURNAL.read_text())
        await connection.execute("RESET ROLE; RESET search_path")
    await connection.execute("ANALYZE")


def tables_owner(store: str) -> str:
    return "calls_tables" if store == "calls" else f"{store}_owner"
