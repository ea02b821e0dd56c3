"""What every table of a service says about who may touch it; called by the services' own migrations.

A service's schema bears the service's name, and so do its roles: `<s>_owner` owns (it never logs in), `<s>` serves under row
level security, `<s>_system` works across tenants where a policy names the table. The migration connection has the schema as its
search path, so names are written plainly:

    def upgrade() -> None:
        op.create_table("notice", sa.Column("tenant", sa.Uuid, nullable=False), …)
        schema.tenant_table(op, "notice")
        schema.system_may(op, "notice", "SELECT")
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from alembic.config import Config
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

ALL_DML = "SELECT, INSERT, UPDATE, DELETE"

# The sub-select makes the setting one value per statement; written bare it is evaluated per row, 145 times slower.
OWN_TENANT = "tenant = (select current_setting('app.tenant')::uuid)"


def tenant_table(op: Operations, table: str, grants: str = ALL_DML) -> None:
    """A table with a column `tenant uuid not null`: each transaction sees and writes its own tenant's rows only."""
    service = service_of(op)
    op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
    op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
    op.execute(
        f'CREATE POLICY own_tenant ON "{table}" TO "{service}", "{service}_owner" '
        f"USING ({OWN_TENANT}) WITH CHECK ({OWN_TENANT})"
    )
    op.execute(f'GRANT {grants} ON "{table}" TO "{service}"')


def append_only(op: Operations, table: str) -> None:
    """A tenant table whose rows nobody changes or deletes once they are written."""
    tenant_table(op, table, grants="SELECT, INSERT")


def shared_table(op: Operations, table: str, grants: str = ALL_DML) -> None:
    """A table that belongs to no tenant (signed policy versions, feed cursors): grants, and no row level security."""
    op.execute(f'GRANT {grants} ON "{table}" TO "{service_of(op)}"')


def system_may(op: Operations, table: str, verbs: str) -> None:
    """Lets cross-tenant work do exactly these verbs ("SELECT, UPDATE") on every tenant's rows of this table."""
    system = f"{service_of(op)}_system"
    op.execute(f'GRANT {verbs} ON "{table}" TO "{system}"')
    for verb in (word.strip().upper() for word in verbs.split(",")):
        rows = {"INSERT": "WITH CHECK (true)", "UPDATE": "USING (true) WITH CHECK (true)"}.get(verb, "USING (true)")
        op.execute(f'CREATE POLICY system_{verb.lower()} ON "{table}" FOR {verb} TO "{system}" {rows}')


def service_of(op: Operations) -> str:
    """The service that is being migrated: its name is the schema's."""
    return op.get_bind().scalar(text("SELECT current_schema()"))


def migrations(package: str) -> Config:
    """Alembic's configuration for one service: our shared env.py, the service's own versions."""
    config = Config()
    folders = {
        "script_location": Path(__file__).parent / "migrations",
        "version_locations": _folder(package) / "migrations" / "versions",
    }
    for option, folder in folders.items():
        config.set_main_option(option, str(folder).replace("%", "%%"))  # a bare % would be interpolated
    config.set_main_option("path_separator", "newline")
    return config


@cache
def head(package: str) -> str | None:
    """The newest revision that this code knows for a service's package; None when it has no migrations."""
    return ScriptDirectory.from_config(migrations(package)).get_current_head()


async def at_head(connection: AsyncConnection | AsyncSession, package: str, service: str) -> bool:
    """Whether the database has exactly the shape this code was written for; a service is unready until it has."""
    known = await connection.scalar(text("SELECT to_regclass(:name)"), {"name": f'"{service}".alembic_version'})
    if known is None:
        return False
    return await connection.scalar(text(f'SELECT version_num FROM "{service}".alembic_version')) == head(package)


def _folder(package: str) -> Path:
    """Where a package's files lie, found without importing its modules."""
    return Path(find_spec(package).submodule_search_locations[0])
