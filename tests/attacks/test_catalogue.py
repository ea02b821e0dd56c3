"""What PostgreSQL itself says about who may touch what: asked of its catalogue, and then tried with the roles' own passwords."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from ops.catalogue import SERVICES, Process
from tests.nordtel import Nordtel

each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
DATABASES = sorted({service.database or "" for service in SERVICES})

TENANT_TABLES = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relkind,
       (SELECT array_agg(p.polname || ': ' || coalesce(pg_get_expr(p.polqual, c.oid), '')) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')"""
ADD_AN_EVENT = "INSERT INTO {}.event (id, type, tenant, time, body) VALUES ($1, 'a.b', $2, now(), '{{}}')"
GRANTS = """
SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants
WHERE table_schema = $1 AND grantee NOT LIKE '%\\_owner' AND grantee <> 'postgres'"""


@each_service
async def test_every_table_with_a_tenant_is_under_forced_row_level_security(nordtel: Nordtel, service: Process):
    async with superuser(nordtel, service.database) as connection:
        tables = await connection.fetch(TENANT_TABLES, service.schema)
    assert tables
    for table in tables:
        assert table["relkind"] in (b"r", b"p"), f"{table['relname']} is a view, which would see every tenant"
        assert table["relrowsecurity"] and table["relforcerowsecurity"], table["relname"]
        own = [policy for policy in table["policies"] or () if policy and policy.startswith("own_tenant: ")]
        # The sub-select: one value for each statement, and an error where no tenant was set.
        assert len(own) == 1 and "( SELECT (current_setting('app.tenant'" in own[0], (
            table["relname"],
            table["policies"],
        )


@each_service
async def test_nobody_truncates_and_nobody_changes_the_past(nordtel: Nordtel, service: Process):
    async with superuser(nordtel, service.database) as connection:
        grants = await connection.fetch(GRANTS, service.schema)
        given = {(g["grantee"], g["table_name"], g["privilege_type"]) for g in grants}
        assert {grantee for grantee, _, _ in given} == {service.name, f"{service.name}_system"}
        assert not [g for g in given if g[2] in ("TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")]
        past = [g for g in given if g[1] in ("event", "ledger_entry") and g[2] not in ("SELECT", "INSERT")]
        assert past == []


async def test_those_who_log_in_have_no_power_of_their_own(nordtel: Nordtel):
    async with superuser(nordtel) as connection:
        roles = await connection.fetch("SELECT * FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres'")
        members = await connection.fetch(
            "SELECT member::regrole::text AS member, roleid::regrole::text AS role FROM pg_auth_members WHERE roleid::regrole::text !~ '^pg_'"
        )
    for role in roles:
        powers = [p for p in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication") if role[p]]
        assert powers == [], role["rolname"]
    owners = {role["rolname"] for role in roles if role["rolname"].endswith("_owner")}
    assert not [role["rolname"] for role in roles if role["rolcanlogin"] and role["rolname"] in owners]
    # Only migrators may become an owner; a month of calls may be dropped by who owns nothing else.
    joined = {(row["member"], row["role"]) for row in members}
    assert {member for member, role in joined if role in owners} <= {f"{s.name}_migrator" for s in SERVICES}
    assert joined - {(f"{s.name}_migrator", f"{s.name}_owner") for s in SERVICES} == {
        ("calls_wardline", "calls_tables")
    }


@each_service
async def test_a_service_reads_no_other_schema(nordtel: Nordtel, service: Process):
    for role, file in ((service.name, "db"), (f"{service.name}_system", "db_system")):
        async with logged_in(nordtel, service, role, file, service.database or "") as connection:
            await connection.fetch(f"SELECT * FROM {service.schema}.feed_cursor")
            for other in SERVICES:
                for table in ("event", "idempotency", "feed_cursor") if other != service else ():
                    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError)):
                        await connection.fetch(f"SELECT * FROM {other.schema}.{table}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("CREATE TABLE public.mine (id int)")


@each_service
async def test_a_database_refuses_the_roles_of_the_other(nordtel: Nordtel, service: Process):
    """Disclosure's has the orders; nobody of the public services gets a connection, nor disclosure to theirs; nobody to a store's."""
    for database in (*DATABASES, "sample_billing", "sample_calls", "sample_helpdesk"):
        for role, file in ((service.name, "db"), (f"{service.name}_system", "db_system")):
            if database != service.database:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with logged_in(nordtel, service, role, file, database):
                        pass


@each_service
async def test_without_a_tenant_a_service_sees_no_row_and_with_another_s_only_that_one_s(
    nordtel: Nordtel, service: Process
):
    async with (
        logged_in(nordtel, service, service.name, "db", service.database or "") as connection,
        connection.transaction(),
    ):
        await connection.execute("SELECT set_config('app.tenant', $1, true)", str(uuid4()))
        assert await connection.fetchval(f"SELECT count(*) FROM {service.schema}.event") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(ADD_AN_EVENT.format(service.schema), uuid4(), uuid4())
    # Adding and not counting: an empty table is counted without a look at any row, and so at any tenant.
    async with logged_in(nordtel, service, service.name, "db", service.database or "") as connection:
        with pytest.raises((asyncpg.UndefinedObjectError, asyncpg.InvalidTextRepresentationError)):
            await connection.execute(ADD_AN_EVENT.format(service.schema), uuid4(), uuid4())


@asynccontextmanager
async def superuser(nordtel: Nordtel, database: str | None = None) -> AsyncIterator[asyncpg.Connection]:
    connection = await nordtel.stack.postgres.connect(database or "wardline")
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def logged_in(nordtel: Nordtel, service: Process, role: str, file: str, database: str) -> AsyncIterator[Any]:
    password = (nordtel.stack.home.secrets(service.name) / f"{file}.password").read_text().strip()
    postgres = nordtel.stack.postgres
    connection = await asyncpg.connect(
        host=str(postgres.socket_dir), port=5432, user=role, password=password, database=database, timeout=10
    )
    try:
        yield connection
    finally:
        await connection.close()
