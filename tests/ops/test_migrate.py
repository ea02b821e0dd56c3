"""Migrations make a service's schema so that its roles can do what they must and nothing else."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis import schema
from ops import migrate
from ops.catalogue import Process
from ops.postgres import Postgres

FIRST = """
import sqlalchemy as sa
from alembic import op
from chassis import schema
revision, down_revision = "0001", None

def upgrade():
    op.create_table("note", sa.Column("id", sa.Uuid, primary_key=True), sa.Column("tenant", sa.Uuid, nullable=False))
    schema.tenant_table(op, "note")
    schema.system_may(op, "note", "SELECT")
    op.create_table("fact", sa.Column("id", sa.Uuid, primary_key=True), sa.Column("tenant", sa.Uuid, nullable=False))
    schema.append_only(op, "fact")
    op.create_table("cursor", sa.Column("feed", sa.Text, primary_key=True), sa.Column("after", sa.BigInteger))
    schema.shared_table(op, "cursor")
"""
SECOND = """
from alembic import op
revision, down_revision = "0002", "0001"

def upgrade():
    op.execute("ALTER TABLE note ADD COLUMN words text")
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A service of its own in a database of its own; `consent` only lends its secrets."""
    folder = tmp_path_factory.mktemp("toy")
    versions = folder / "toy_service" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "toy_service" / "__init__.py").touch()
    (versions / "0001_first.py").write_text(FIRST)
    sys.path.insert(0, str(folder))
    yield Process("consent", "toy_service", "toy_service.app:create_app", 0, "toy")
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def cluster(server: Postgres) -> migrate.Cluster:
    return migrate.Cluster(str(server.socket_dir), server.home.path / "secrets")


@pytest.fixture
async def roles(toy: Process, cluster: migrate.Cluster) -> AsyncIterator["Roles"]:
    await migrate.migrate(cluster, [toy], say=lambda _: None)
    roles = Roles(cluster)
    yield roles
    for connection in roles.opened:
        await connection.close()


class Roles:
    def __init__(self, cluster: migrate.Cluster) -> None:
        self.cluster = cluster
        self.opened: list[asyncpg.Connection] = []

    async def login(self, role: str, password: str, folder: str = "consent") -> asyncpg.Connection:
        where: dict[str, Any] = {"host": self.cluster.host, "port": self.cluster.port, "database": "toy"}
        secret = self.cluster.password(folder, password)
        settings = {"search_path": "consent"}
        self.opened.append(await asyncpg.connect(**where, user=role, password=secret, server_settings=settings))
        return self.opened[-1]

    async def serving(self, tenant: UUID) -> asyncpg.Connection:
        connection = await self.login("consent", "db")
        await connection.execute("SELECT set_config('app.tenant', $1, false)", str(tenant))
        return connection

    async def system(self) -> asyncpg.Connection:
        return await self.login("consent_system", "db_system")


async def test_migrating_twice_says_so_once(toy: Process, cluster: migrate.Cluster, roles: Roles) -> None:
    said: list[str] = []
    await migrate.migrate(cluster, [toy], said.append)
    assert said == []


async def test_each_tenant_sees_and_writes_its_own_rows_only(roles: Roles) -> None:
    mine, yours = await roles.serving(uuid4()), await roles.serving(uuid4())
    own = UUID(await mine.fetchval("SELECT current_setting('app.tenant')"))
    await mine.execute("INSERT INTO note VALUES ($1, $2)", uuid4(), own)
    assert await yours.fetchval("SELECT count(*) FROM note WHERE tenant = $1", own) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await yours.execute("INSERT INTO note VALUES ($1, $2)", uuid4(), own)
    assert await yours.execute("DELETE FROM note WHERE tenant = $1", own) == "DELETE 0"


ACTIVITY = (
    "SELECT xact_commit FROM pg_stat_database",
    "SELECT pg_stat_get_db_xact_commit(oid) FROM pg_database",
    "SELECT pg_stat_get_db_numbackends(oid) FROM pg_database",
    "SELECT datname, usename FROM pg_stat_activity",
    "SELECT pg_stat_get_backend_dbid(1)",
    "SELECT database FROM pg_locks",
    "SELECT pg_database_size('postgres')",
)


@pytest.mark.parametrize("question", ACTIVITY)
async def test_no_service_reads_how_busy_another_s_database_is(roles: Roles, question: str) -> None:
    for secret in ("db", "db_system"):
        role = "consent" if secret == "db" else "consent_system"
        connection = await roles.login(role, secret)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(question)


async def test_no_tenant_means_no_rows(roles: Roles) -> None:
    connection = await roles.login("consent", "db")
    with pytest.raises(asyncpg.UndefinedObjectError):
        await connection.execute("INSERT INTO note VALUES ($1, $2)", uuid4(), uuid4())


@pytest.mark.parametrize("forbidden", ["UPDATE fact SET id = id", "DELETE FROM fact", "TRUNCATE fact", "TRUNCATE note"])
async def test_what_is_written_to_an_append_only_table_stays(roles: Roles, forbidden: str) -> None:
    connection = await roles.serving(uuid4())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(forbidden)


async def test_the_system_role_does_what_it_was_granted_for_every_tenant_and_no_more(roles: Roles) -> None:
    serving, system = await roles.serving(tenant := uuid4()), await roles.system()
    await serving.execute("INSERT INTO note VALUES ($1, $2)", uuid4(), tenant)
    assert await system.fetchval("SELECT count(*) FROM note WHERE tenant = $1", tenant) == 1
    for forbidden in ("DELETE FROM note", "SELECT * FROM fact", "UPDATE note SET id = id"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await system.execute(forbidden)


@pytest.mark.parametrize(
    "forbidden", ["CREATE TABLE mine ()", "ALTER TABLE note DISABLE ROW LEVEL SECURITY", "DROP TABLE note"]
)
async def test_a_serving_role_cannot_change_the_schema(roles: Roles, forbidden: str) -> None:
    connection = await roles.serving(uuid4())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(forbidden)


async def test_the_owner_cannot_log_in_and_is_bound_by_the_policies_too(roles: Roles) -> None:
    serving = await roles.serving(tenant := uuid4())
    await serving.execute("INSERT INTO note VALUES ($1, $2)", uuid4(), tenant)
    migrator = await roles.login("consent_migrator", "consent", folder="migrate")
    assert not await migrator.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'consent_owner'")
    await migrator.execute("SET ROLE consent_owner")
    await migrator.execute("SELECT set_config('app.tenant', $1, false)", str(uuid4()))
    assert await migrator.fetchval("SELECT count(*) FROM note") == 0


async def test_a_service_is_unready_until_the_schema_has_the_head_it_expects(
    toy: Process, cluster: migrate.Cluster, roles: Roles
) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        connect_args={
            "host": cluster.host,
            "database": "toy",
            "user": "consent",
            "password": cluster.password("consent", "db"),
        },
    )
    async with engine.connect() as connection:
        assert await schema.at_head(connection, toy.package, "consent")
        assert not await schema.at_head(connection, toy.package, "elsewhere")
        Path(sys.path[0], "toy_service/migrations/versions/0002_second.py").write_text(SECOND)
        schema.head.cache_clear()
        assert not await schema.at_head(connection, toy.package, "consent")
    said: list[str] = []
    await migrate.migrate(cluster, [toy], said.append)
    assert said == ["consent: now at 0002"]
    async with engine.connect() as connection:
        assert await schema.at_head(connection, toy.package, "consent")
