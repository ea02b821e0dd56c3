"""SIGKILL at every effect of a sweep in turn: it ends as if nothing had happened, in the store, in what remains and in what is told."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest

from chassis import clock
from tests.anonymizer.conftest import House

ROOT = Path(__file__).parents[2]
KILLED = -9
FURTHER = {"lake": 1, "calls": 11, "helpdesk": 1}
"""By how many effects each run lives longer than the last: a transaction that only looks is one too."""


class Sweepers:
    def __init__(self, folder: Path) -> None:
        self.answer = folder / "answer.json"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.anonymizer.sweepers"],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, settings: dict[str, Any], store: str, sweep: str, now: datetime, dies_at: int = 0) -> int:
        told = {"settings": settings, "store": store, "sweep": sweep, "now": now.isoformat(), "dies_at": dies_at}
        print(json.dumps(told | {"answer": str(self.answer)}), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def told(self) -> list[dict[str, Any]]:
        return sorted(json.loads(self.answer.read_text()), key=json.dumps)


@contextmanager
def sweepers(folder: Path) -> Iterator[Sweepers]:
    running = Sweepers(folder)
    try:
        yield running
    finally:
        running.process.stdin.close()
        running.process.wait()
        running.process.stdout.close()


def lake_of(house: House) -> Path:
    return house.stores / "calls" / "lake"


async def seen(house: House, store: str) -> Any:
    """Everything that is in a store and beside it, but for the ids of steps."""
    if store == "lake":
        files = sorted(lake_of(house).rglob("*.parquet"))
        own = [path for path in files if ".wardline" in path.parts]
        return (
            {str(path.relative_to(lake_of(house))): pl.read_parquet(path).rows() for path in files if path not in own},
            sorted(row for path in own if "anonymous" in path.parts for row in pl.read_parquet(path).rows()),
            sorted(path.name for path in lake_of(house).rglob("*.new")),
        )
    tables = {"calls": ["call_record", "retained_call_record", "location_record"]}.get(
        store, ["ticket", "email_message", "chat", "chat_message"]
    )
    rows = {name: await house.rows(store, f"SELECT * FROM {name} ORDER BY id") for name in tables}
    left = await house.rows(
        store, "SELECT store_table, day::text, prefix, area, type, count FROM wardline.anonymous_count"
    )
    texts = await house.rows(store, "SELECT store_table, tenant::text, month, text FROM wardline.cleaned_text")
    return (
        {name: [tuple(row) for row in found] for name, found in rows.items()},
        sorted(map(tuple, left)),
        sorted(map(tuple, texts)),
    )


@contextmanager
def kept_aside(house: House, folder: Path) -> Iterator[Any]:
    """The lake as it was before; `put_back` brings it there again."""
    aside = folder / "lake"
    shutil.copytree(lake_of(house), aside)

    def put_back() -> None:
        shutil.rmtree(lake_of(house))
        shutil.copytree(aside, lake_of(house))

    yield put_back


async def copied(house: House, database: str, template: str) -> None:
    connection = await house.server.connect()
    try:
        for name in (database, template):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
                name,
            )
        await connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {database} TEMPLATE {template}")
    finally:
        await connection.close()


@pytest.mark.parametrize("store", ["lake", "calls", "helpdesk"])
async def test_a_sweep_that_is_killed_again_and_again_ends_as_if_nothing_had_happened(
    fresh_sweep_house: House, tmp_path: Path, store: str
):
    house, now = fresh_sweep_house, clock.now() + timedelta(days=40)
    settings = {name: value for name, value in house.settings.model_dump(mode="json").items() if value is not None}
    database = f"sample_{store}"
    with sweepers(tmp_path) as sweeping, kept_aside(house, tmp_path) as put_back:
        if store != "lake":
            await copied(house, f"{database}_before", database)
        before = await seen(house, store)
        assert sweeping.run(settings, store, str(uuid4()), now) == 0
        expected, told = await seen(house, store), sweeping.told()
        assert expected != before and told

        if store == "lake":
            put_back()
        else:
            await copied(house, database, f"{database}_before")
        assert await seen(house, store) == before
        sweep, dies_at = str(uuid4()), 1
        while sweeping.run(settings, store, sweep, now, dies_at) == KILLED:
            dies_at += FURTHER[store]
        assert dies_at > 5 * FURTHER[store], "it was hardly killed"
        assert (await seen(house, store), sweeping.told()) == (expected, told)
