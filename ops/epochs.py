"""A new epoch of the keys that wrap people's keys, so that erasure reaches the backups too.

A backup still holds the wrapped key of somebody erased since. It opens with the key of its epoch, a file outside the database: once
every live key lies under the newest epoch and no backup is older than that one, the earlier epochs' files are destroyed.
When an epoch ended, its successor's file says; how long backups are kept, the policy book does (`key_epoch`).
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg

from chassis.sealing import Sealer
from ops.catalogue import SERVICES, Process
from ops.keys import write_once
from ops.migrate import Cluster
from services.registry.contract import Period

_AT_ONCE = 1000
_LOCKED = 0.1  # seconds until a key that somebody is reading is looked for again


async def begin(
    cluster: Cluster, kept: Period, services: Iterable[Process] = SERVICES, say: Callable[[str], None] = print
) -> None:
    """One more epoch for each service that seals; what no backup needs any more is destroyed. Processes may be running."""
    for service in services:
        if service.database:
            connection = await _as_system(cluster, service)
            try:
                if await connection.fetchval("SELECT to_regclass('subject_key') IS NOT NULL"):
                    say(f"{service.name}: {await _one_more(connection, cluster.secrets / service.name, kept)}")
            finally:
                await connection.close()


async def _one_more(connection: asyncpg.Connection, folder: Path, kept: Period) -> str:
    """What was done, in words. An epoch whose file is destroyed has no key left under it, for the first loop ends only then."""
    newest = max(_epochs(folder)) + 1
    write_once(folder / "epochs" / f"{newest}.key", lambda: secrets.token_bytes(32))
    sealer, moved = Sealer(folder / "epochs", (folder / "index.key").read_bytes()), 0
    while await connection.fetchval("SELECT EXISTS (SELECT FROM subject_key WHERE epoch < $1)", newest):
        async with connection.transaction():
            now_moved = await sealer.rewrap(connection, _AT_ONCE)
        moved += now_moved
        await asyncio.sleep(0 if now_moved else _LOCKED)
    over = [epoch for epoch in _epochs(folder) if _is_over(folder, epoch, kept)]
    for epoch in over:
        (folder / "epochs" / f"{epoch}.key").unlink()
    gone = ", ".join(map(str, over)) or "none yet"
    return f"epoch {newest} began, {moved:,} keys of people lie under it now; epochs destroyed: {gone}"


def _is_over(folder: Path, epoch: int, kept: Period) -> bool:
    """Whether the last backup with keys under this epoch is gone: it was made before the next epoch began."""
    following = folder / "epochs" / f"{epoch + 1}.key"
    if not following.exists():
        return False
    began = datetime.fromtimestamp(following.stat().st_mtime, UTC)
    return kept.after(began, ZoneInfo("UTC")) <= datetime.now(UTC)


def _epochs(folder: Path) -> list[int]:
    return sorted(int(file.stem) for file in (folder / "epochs").glob("*.key"))


async def _as_system(cluster: Cluster, service: Process) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=cluster.host,
        port=cluster.port,
        database=service.database,
        user=f"{service.name}_system",
        password=cluster.password(service.name, "db_system"),
        server_settings={"search_path": service.name},
        timeout=10,
    )


def main(cluster: Cluster, kept: Period) -> None:
    asyncio.run(begin(cluster, kept))
