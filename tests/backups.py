"""A service's database as an older backup has it."""

import os
import subprocess
from pathlib import Path

import asyncpg

from ops.postgres import PORT, SUPERUSER, Postgres, installation


def back_up(server: Postgres, database: str, schema: str, file: Path) -> None:
    _run(server, "pg_dump", "--format=custom", f"--schema={schema}", f"--file={file}", database)


async def restore(server: Postgres, database: str, schema: str, file: Path) -> None:
    """While nobody of that service is there."""
    admin = await server.connect(database)
    await admin.execute(f'DROP SCHEMA "{schema}" CASCADE')
    await admin.close()
    _run(server, "pg_restore", "--exit-on-error", f"--dbname={database}", str(file))


def _run(server: Postgres, program: str, *arguments: str) -> None:
    password = (server.home.secrets("postgres") / "superuser.password").read_text().strip()
    there = ["--host", str(server.socket_dir), "--port", str(PORT), "--username", SUPERUSER]
    command = [str(installation() / "bin" / program), *there, *arguments]
    subprocess.run(command, env=os.environ | {"PGPASSWORD": password}, check=True)


async def lose_what_came_after(admin: asyncpg.Connection, schema: str, position: int) -> None:
    """Of the ledger alone; its sequencer goes on from there."""
    gone = f'(SELECT event_id FROM "{schema}".ledger_entry WHERE position > $1)'
    async with admin.transaction():
        for table, which in (
            ("event", f"id IN {gone}"),
            ("ledger_entry", "position > $1"),
            ("ledger_node", "(index + 1) * 256 ^ level > $1"),
            ("ledger_checkpoint", "size > $1"),
        ):
            await admin.execute(f'DELETE FROM "{schema}".{table} WHERE {which}', position)
