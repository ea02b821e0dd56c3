"""A small Nordtel, filled twice into a PostgreSQL of its own: the second time after the first was interrupted at the very end."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import asyncpg
import pyarrow.parquet as pq
import pytest

import sample
from ops import keys
from ops.home import Home
from ops.postgres import PORT, Postgres
from sample import stores
from sample.manifest import Manifest
from sample.tables import BILLING, CALLS, HELPDESK

TODAY = date(2027, 1, 15)
SUBSCRIBERS = 300
TABLES = {"billing": BILLING, "calls": CALLS, "helpdesk": HELPDESK}


@dataclass(frozen=True)
class Operator:
    home: Home
    postgres: Postgres
    manifest: Manifest
    first: dict
    second: dict

    @property
    def folder(self) -> Path:
        return self.home.path / "sample" / "stores"

    async def connect(self, store: str, role: str) -> asyncpg.Connection:
        password = self.home.secrets("anonymizer") / "stores" / f"{store}.{role}.password"
        return await asyncpg.connect(
            host=str(self.postgres.socket_dir),
            port=PORT,
            user=f"{store}_{role}",
            password=password.read_text().strip(),
            database=stores.database(store),
        )

    async def contents(self) -> dict:
        """Everything that stands anywhere: (store, where) → {record: {field: value}}, read as the verifier does."""
        everything = {}
        for store, tables in TABLES.items():
            connection = await self.connect(store, "verifier")
            for table in tables:
                rows = await connection.fetch(f"SELECT * FROM {table} ORDER BY id")
                everything[store, table] = {row["id"]: dict(row) for row in rows}
            await connection.close()
        lake = self.folder / "calls" / "lake"
        for path in sorted(lake.rglob("*.parquet")):
            rows = pq.ParquetFile(path).read().to_pylist()
            everything["lake", str(path.relative_to(lake))] = {row["id"]: row for row in rows}
        for store in ("recordings", "authlog"):
            for path in sorted(p for p in (self.folder / store).rglob("*") if p.is_file()):
                everything[store, str(path.relative_to(self.folder / store))] = _lines(path)
        return everything


def _lines(path: Path) -> dict:
    """A log has a record per line; a sidecar and a sound are one record."""
    if path.suffix == ".jsonl":
        return dict(enumerate(path.read_text().splitlines(), 1))
    return {1: path.read_text() if path.suffix == ".json" else path.read_bytes()}


@pytest.fixture(scope="package")
async def operator() -> AsyncIterator[Operator]:
    home = Home(Path(tempfile.mkdtemp(prefix="wardline-", dir="/tmp")))
    home.path.chmod(0o755)
    home.make()
    keys.make(home)
    postgres = Postgres(home)
    await asyncio.to_thread(postgres.start)
    try:
        contents = []
        for _ in range(2):
            (home.path / "sample" / "manifest.json").unlink(missing_ok=True)
            manifest = await sample.fill(home, postgres, subscribers=SUBSCRIBERS, today=TODAY)
            contents.append(await Operator(home, postgres, manifest, {}, {}).contents())
        yield Operator(home, postgres, manifest, *contents)
    finally:
        await asyncio.to_thread(postgres.remove)
        shutil.rmtree(home.path)
