"""SIGKILL at every effect of a sweep in turn: it ends as if nothing had happened, in the store, in what remains and in what is told."""

import json
import re
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
from tests.anonymizer.test_lake import ROWS

ROOT = Path(__file__).parents[2]
KILLED = -9
FURTHER = {"lake": 3, "lake of rows": 5, "calls": 29, "helpdesk": 5}
"""By how many effects each run lives longer than the last: a transaction that only looks is one too."""

HOW = {
    "lake": {("files", "anonymous")},
    "lake of rows": {("files", "delinked")},
    "calls": {("partition", "deleted"), ("partition", "anonymous"), ("swap", "anonymous")},
    "helpdesk": {("redact", "delinked"), ("delete", "deleted")},
}
"""What each of them is to go through: the ways in which rows go, and what remains of them."""


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


@pytest.fixture(scope="module")
def sweeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweepers]:
    running = Sweepers(tmp_path_factory.mktemp("sweepers"))
    try:
        yield running
    finally:
        running.process.stdin.close()
        running.process.wait()
        running.process.stdout.close()


def lake_of(house: House) -> Path:
    return house.stores / "calls" / "lake"


async def seen(house: House, store: str) -> Any:
    """Everything that is in a store and beside it, but for the ids of steps and the keys of pseudonyms."""
    if store == "lake":
        files = sorted(lake_of(house).rglob("*.parquet"))
        own = [path for path in files if ".wardline" in path.parts]
        return (
            {str(path.relative_to(lake_of(house))): pl.read_parquet(path).rows() for path in files if path not in own},
            sorted(row for path in own if "anonymous" in path.parts for row in pl.read_parquet(path).rows()),
            sorted(without_keys(pl.read_parquet(path)) for path in own if "delinked" in path.parts),
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


def without_evidence(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Its digest is salted: another one each time."""
    return [one | {"evidence_sha256": None} for one in told]


def without_keys(rows: pl.DataFrame) -> list[tuple]:
    """Each pseudonym as the row in which it stood first."""
    for column in ("caller", "callee"):
        first = {value: n for n, value in reversed(list(enumerate(rows[column])))}
        rows = rows.with_columns(pl.Series(column, [first[value] for value in rows[column]]))
    return rows.rows()


def map_in_which_rows_remain(folder: Path) -> Path:
    shutil.copytree(ROOT / "policy" / "stores", folder)
    lake = folder / "lake.yaml"
    lake.write_text(re.sub(r"remains: .*", f"remains: {{rows: {ROWS}}}", lake.read_text()))
    return folder


@contextmanager
def kept_aside(house: House, folder: Path) -> Iterator[Any]:
    """The lake as it was before; `put_back` brings it there again."""
    aside = folder / "lake"
    shutil.copytree(lake_of(house), aside)

    def put_back() -> None:
        shutil.rmtree(lake_of(house))
        shutil.copytree(aside, lake_of(house))

    yield put_back
    put_back()


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


@pytest.mark.parametrize("of", ["lake", "lake of rows", "calls", "helpdesk"])
async def test_a_sweep_that_is_killed_again_and_again_ends_as_if_nothing_had_happened(
    fresh_sweep_house: House, sweeping: Sweepers, tmp_path: Path, of: str
):
    house, now, store = fresh_sweep_house, clock.now() + timedelta(days=40), of.split()[0]
    settings = {name: value for name, value in house.settings.model_dump(mode="json").items() if value is not None}
    if of == "lake of rows":
        settings["data_map"] = str(map_in_which_rows_remain(tmp_path / "map"))
    database = f"sample_{store}"
    with kept_aside(house, tmp_path) as put_back:
        if store != "lake":
            await copied(house, f"{database}_before", database)
        before = await seen(house, store)
        assert sweeping.run(settings, store, str(uuid4()), now) == 0
        expected, told = await seen(house, store), without_evidence(sweeping.told())
        assert expected != before and told

        if store == "lake":
            put_back()
        else:
            await copied(house, database, f"{database}_before")
        assert await seen(house, store) == before
        sweep, dies_at = str(uuid4()), 1
        while sweeping.run(settings, store, sweep, now, dies_at) == KILLED:
            dies_at += FURTHER[of]
        assert dies_at > 3 * FURTHER[of], "it was hardly killed"
        assert (await seen(house, store), without_evidence(sweeping.told())) == (expected, told)
        assert HOW[of] <= {(one["how"], one["result"]) for one in told}
