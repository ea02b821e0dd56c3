"""Gives every service its roles, database and schema, then brings the schema to the head its code expects.

Setting up (roles, databases, schemas) needs the superuser; each service's tables are then made by `<s>_migrator`, who may do
nothing but become the schema's owner. Repeating all of it changes nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from chassis import schema
from ops.catalogue import SERVICES, Process
from ops.home import CannotRun
from ops.postgres import PORT, as_superuser, create_database, create_role, hide_activity, quoted


@dataclass(frozen=True)
class Cluster:
    """Where the server is (socket directory or host) and where the passwords lie, one folder per process."""

    host: str
    secrets: Path
    port: int = PORT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], secrets: Path) -> "Cluster":
        host = environment.get("WARDLINE_DATABASE_HOST")
        if not host:
            raise CannotRun(
                "WARDLINE_DATABASE_HOST is not set: it names the PostgreSQL server or its socket directory."
            )
        return cls(host, secrets, int(environment.get("WARDLINE_DATABASE_PORT", PORT)))

    def password(self, process: str, name: str) -> str:
        return (self.secrets / process / f"{name}.password").read_text().strip()

    async def as_superuser(self, database: str = "postgres") -> asyncpg.Connection:
        return await as_superuser(self.host, self.port, self.secrets, database)


async def migrate(cluster: Cluster, services: Iterable[Process] = SERVICES, say: Callable[[str], None] = print) -> None:
    wanted = [service for service in services if service.database]
    await _set_up(cluster, wanted)
    for service in wanted:
        revision = await _upgrade(cluster, service)
        if revision:
            say(f"{service.name}: now at {revision}")


async def _set_up(cluster: Cluster, services: list[Process]) -> None:
    async with AsyncExitStack() as stack:
        admin = await cluster.as_superuser()
        stack.push_async_callback(admin.close)
        await hide_activity(admin)
        await admin.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
        for database in sorted({service.database for service in services if service.database}):
            await create_database(admin, database)
            there = await cluster.as_superuser(database)
            stack.push_async_callback(there.close)
            await there.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            await hide_activity(there)
            for service in services:
                if service.database == database:
                    await _roles(cluster, admin, service)
                    await _schema(there, service.name, database)


async def _roles(cluster: Cluster, admin: asyncpg.Connection, service: Process) -> None:
    name = service.name
    await create_role(admin, f"{name}_owner")
    await create_role(admin, name, password=cluster.password(name, "db"))
    await create_role(admin, f"{name}_system", password=cluster.password(name, "db_system"))
    await create_role(admin, f"{name}_migrator", password=cluster.password("migrate", name), inherit=False)
    await admin.execute(f"GRANT {quoted(name + '_owner')} TO {quoted(name + '_migrator')}")


async def _schema(there: asyncpg.Connection, name: str, database: str) -> None:
    owner, working = quoted(f"{name}_owner"), f"{quoted(name)}, {quoted(name + '_system')}"
    everyone = f"{working}, {quoted(name + '_migrator')}"
    async with there.transaction():
        await there.execute(f"GRANT CONNECT ON DATABASE {quoted(database)} TO {everyone}")
        await there.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)} AUTHORIZATION {owner}")
        await there.execute(f"GRANT USAGE ON SCHEMA {quoted(name)} TO {everyone}")
        # Drawing the next number reveals nothing; what a row may be is for the table's own grants and policies to say.
        await there.execute(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {quoted(name)} GRANT USAGE ON SEQUENCES TO {working}"
        )


async def _upgrade(cluster: Cluster, service: Process) -> str | None:
    """The revision the schema was brought to; None when it was there already or the service has no migrations."""
    head = schema.head(service.package)
    if head is None:
        return None
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        connect_args={
            "host": cluster.host,
            "port": cluster.port,
            "database": service.database,
            "user": f"{service.name}_migrator",
            "password": cluster.password("migrate", service.name),
            # A migration that cannot have its lock gives up instead of queueing every request behind itself.
            "server_settings": {"search_path": service.name, "lock_timeout": "5s", "timezone": "UTC"},
        },
    )
    async with engine.connect() as connection:
        await connection.execute(text(f"SET ROLE {quoted(service.name + '_owner')}"))
        if await schema.at_head(connection, service.package, service.name):
            return None
        await connection.run_sync(_run_alembic, service)
        await connection.execute(
            text(f"GRANT SELECT ON alembic_version TO {quoted(service.name)}, {quoted(service.name + '_system')}")
        )
        await connection.commit()
    return head


def _run_alembic(connection: Connection, service: Process) -> None:
    config = schema.migrations(service.package)
    config.attributes.update(connection=connection, schema=service.name)
    command.upgrade(config, "head")


def main(cluster: Cluster, services: Iterable[Process] = SERVICES, say: Callable[[str], None] = print) -> None:
    asyncio.run(migrate(cluster, services, say))
