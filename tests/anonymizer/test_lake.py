"""A lake is swept by columns: what a person disputes stays, row by row, in files whose other rows go."""

from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from sample.cases import PRIVATE
from services.anonymizer.connectors.files import Files
from services.anonymizer.contract import Action
from tests.anonymizer.directly import NOW, TERMS, Guard, connector, person

WRITTEN = Path("policy/stores/lake.yaml")
DISPUTED, OTHER = "46700000001", "46700000002"
CALLS = 40  # of each of the two in one month: enough to remain as counts


@pytest.fixture
def lake(tmp_path: Path) -> Files:
    files = connector(tmp_path, WRITTEN.read_text())
    files.root.mkdir(parents=True)
    for month in (24, 25):
        at = NOW - timedelta(days=30 * month)
        numbers = [DISPUTED, OTHER] * CALLS if month == 24 else [DISPUTED] * CALLS
        folder = files.root / f"month={at:%Y-%m}" / "bucket=00"
        folder.mkdir(parents=True)
        calls_of(month * 1000, at, numbers).write_parquet(folder / "part-0.parquet")
    return files


def calls_of(first: int, at: datetime, callers: list[str]) -> pl.DataFrame:
    n = len(callers)
    return pl.DataFrame(
        {
            "id": range(first, first + n),
            "tenant": [str(PRIVATE.id)] * n,
            "started_at": [at] * n,
            "duration_ms": [1000] * n,
            "kind": ["mobile_call"] * n,
            "caller": callers,
            "callee": [f"4680000{id:04}" for id in range(n)],
            "area": ["01"] * n,
            "agent_number": [None] * n,
            "invoice": [1] * n,  # billing holds nothing against it: paid
        },
        schema_overrides={"agent_number": pl.String},
    )


async def test_a_sweep_takes_every_row_but_the_frozen_ones_and_those_too_once_they_are_lifted(lake: Files):
    who = person(("msisdn", DISPUTED))
    frozen = await lake.freeze(uuid4(), who, TERMS)
    assert sum(one.count for one in frozen.outcomes if one.action == Action.freeze) == 2 * CALLS

    assert await _swept(lake) == CALLS
    assert _left(lake) == [DISPUTED] * 2 * CALLS

    await lake.unfreeze(uuid4(), who, TERMS)
    assert await _swept(lake) == 2 * CALLS
    assert _left(lake) == []


async def _swept(lake: Files) -> int:
    async def known() -> dict:
        return {}

    return sum([one.count async for piece in lake.sweep(uuid4(), TERMS, Guard(), known) for one in piece.swept])


def _left(lake: Files) -> list[str]:
    return [caller for path in lake.root.glob("month=*/*/*.parquet") for caller in pl.read_parquet(path)["caller"]]
