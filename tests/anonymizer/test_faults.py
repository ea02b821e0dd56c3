"""Stores that fail: shapes that changed, disks that are full, two jobs at once. Each has its own words, and nothing is half done."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import orjson
import polars as pl
import pytest

from chassis.identifiers import BadIdentifier
from sample.cases import PRIVATE
from services.anonymizer.connectors.files import Files
from services.anonymizer.contract import IdentifierType, StoreDrifted, StoreUnavailable
from services.anonymizer.rules.person import normalised
from tests.anonymizer.directly import NOW, TERMS, Guard, ago, collected, connector, person
from tests.anonymizer.test_full_disk import MAP as LOGS
from tests.anonymizer.test_lake import UNBUCKETED, calls_of

ANNA = person(("email", "anna@epost.example"), ("msisdn", "46701740605"))


def login(who: str, **more: object) -> dict[str, object]:
    return {"time": ago(days=1), "tenant": str(PRIVATE.id), "email": f"{who}@epost.example"} | more


def logs(tmp_path: Path, *lines: dict[str, object] | str) -> tuple[Files, Path]:
    path = tmp_path / "logs" / "2027-01-19.jsonl"
    path.parent.mkdir()
    path.write_text("".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in lines))
    return connector(tmp_path, LOGS), path


def lake(tmp_path: Path, frame: pl.DataFrame | None = None) -> tuple[Files, Path]:
    files = connector(tmp_path, UNBUCKETED)
    path = files.root / "month=2027-01" / "bucket=00" / "part-0.parquet"
    path.parent.mkdir(parents=True)
    calls = calls_of(1, NOW, ["46701740605", "46701740606"]) if frame is None else frame
    calls.write_parquet(path)
    return files, path


def beside(path: Path) -> list[str]:
    return [one.name for one in path.parent.iterdir() if one.name != ".wardline"]


@pytest.mark.parametrize(
    "changed",
    [
        '{"time": "2027-01-19T12:00:00Z", "tenant": "',
        {"at": ago(days=1), "tenant": str(PRIVATE.id), "email": "anna@epost.example"},
        login("anna", tenant=None),
        login("anna", time="yesterday"),
        login("anna", time="2027-01-19T12:00:00"),
        "[1, 2]\n",
        login("46701740605", email=46701740605),
        login("anna", email=["anna@epost.example"]),
        login("anna", email={"work": "anna@epost.example"}),
    ],
    ids=[
        "a line cut off",
        "no time",
        "nobody's",
        "no date",
        "a time without its zone",
        "no record",
        "a name that is a number",
        "many names",
        "a name in parts",
    ],
)
async def test_a_log_whose_lines_changed_is_said_and_nothing_is_done(tmp_path: Path, changed: dict[str, object] | str):
    files, path = logs(tmp_path, login("anna"), login("bo"), changed)
    before = path.read_bytes()
    with pytest.raises(StoreDrifted):
        await files.verify(ANNA, TERMS, None)
    if "anna" in str(changed):
        with pytest.raises(StoreDrifted):
            await files.erase(uuid4(), ANNA, TERMS, Guard(), None)
    assert path.read_bytes() == before


@pytest.mark.parametrize("harm", ["a column is gone", "a type is another", "half of it"])
async def test_a_lake_whose_files_changed_is_said_and_nothing_is_done(tmp_path: Path, harm: str):
    frame = calls_of(1, NOW, ["46701740605"])
    frame = {"a column is gone": frame.drop("callee"), "a type is another": frame.with_columns(caller=7)}.get(
        harm, frame
    )
    files, path = lake(tmp_path, frame)
    if harm == "half of it":
        path.write_bytes(path.read_bytes()[:-100])
    before = path.read_bytes()
    with pytest.raises(StoreDrifted):
        await files.erase(uuid4(), ANNA, TERMS, Guard(), None)
    assert path.read_bytes() == before


@pytest.mark.parametrize("store", ["logs", "lake"])
async def test_a_disk_that_is_really_full_leaves_the_file_as_it_was(tmp_path: Path, store: str):
    """The kernel's own full device stands where the new content would."""
    files, path = logs(tmp_path, login("anna"), login("bo")) if store == "logs" else lake(tmp_path)
    before, step = path.read_bytes(), uuid4()
    path.with_name(f".{path.name}.new").symlink_to("/dev/full")
    with pytest.raises(StoreUnavailable) as refused:
        await files.erase(step, ANNA, TERMS, Guard(), None)
    assert "is full" in refused.value.detail
    assert path.read_bytes() == before and beside(path) == [path.name]
    done = await files.erase(step, ANNA, TERMS, Guard(), None)
    assert [one.count for one in done.outcomes] == [1] and await collected(files, ANNA) == []


@pytest.mark.parametrize("store", ["logs", "lake"])
async def test_a_sweep_that_finds_the_disk_full_leaves_the_file_as_it_was_and_goes_on_when_there_is_room(
    tmp_path: Path, store: str
):
    if store == "logs":
        files, path = logs(tmp_path, login("anna", time=ago(days=60)), login("bo"))
    else:
        over, unbilled = (calls_of(n, NOW - timedelta(days=n * 600), ["46701740605"]) for n in (2, 1))
        unbilled = unbilled.with_columns(invoice=pl.lit(None, pl.Int64))
        files, path = lake(tmp_path, pl.concat([over, unbilled]))
    before, sweep = path.read_bytes(), uuid4()
    path.with_name(f".{path.name}.new").symlink_to("/dev/full")
    with pytest.raises(StoreUnavailable) as refused:
        [piece async for piece in files.sweep(sweep, TERMS, Guard(), dict)]
    assert "is full" in refused.value.detail
    assert path.read_bytes() == before and beside(path) == [path.name]
    [piece] = [piece async for piece in files.sweep(sweep, TERMS, Guard(), dict)]
    assert [one.count for one in piece.swept] == [1] and path.read_bytes() != before


@pytest.mark.parametrize("store", ["logs", "lake"])
async def test_two_erasures_of_one_person_at_once_in_files_are_one(tmp_path: Path, store: str):
    files, path = logs(tmp_path, login("anna"), login("bo")) if store == "logs" else lake(tmp_path)
    done = await asyncio.gather(*(files.erase(uuid4(), ANNA, TERMS, Guard(), None) for _ in range(4)))
    assert sorted(sum(one.count for one in each.outcomes) for each in done) == [0, 0, 0, 1]
    assert await collected(files, ANNA) == []
    if store == "logs":
        assert [orjson.loads(line)["email"] for line in path.read_bytes().splitlines()] == ["bo@epost.example"]


async def test_a_new_file_is_not_left_behind_when_holds_cannot_be_read(tmp_path: Path):
    files, path = logs(tmp_path, login("anna"), login("bo"))

    class Silent(Guard):
        async def held(self, step=None):
            raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        await files.erase(uuid4(), ANNA, TERMS, Silent(), None)
    assert beside(path) == [path.name]
    assert len(await collected(files, ANNA)) == 1


async def test_a_number_that_is_none_is_nobody_s_and_stops_nothing(tmp_path: Path):
    """A SIP address, a short code, a hidden number: shown as they are, and never taken for anybody."""
    callees = ["sip:anna@voip.example", "112", "anonymous", "", "46701740605"]
    calls = calls_of(1, NOW, ["46701740605"] * 4 + ["46701740606"]).with_columns(callee=pl.Series(callees))
    files, path = lake(tmp_path, calls)
    assert len(await collected(files, ANNA)) == 5
    effect = await files.erase(uuid4(), ANNA, TERMS, Guard(), None)
    assert {(str(one.action), one.count) for one in effect.outcomes} == {("erase", 4), ("redact", 1)}
    assert pl.read_parquet(path)["callee"].to_list() == [None]
    assert (await files.verify(ANNA, TERMS, None)).remaining == 0


@pytest.mark.parametrize("number", ["anonymous", "sip:anna@voip.example", "0701740605 / 0701740606"])
def test_nobody_is_known_by_what_is_no_number_and_the_refusal_does_not_repeat_it(number: str):
    with pytest.raises(BadIdentifier) as refused:
        normalised(IdentifierType.msisdn, number)
    assert number not in refused.value.detail


@pytest.mark.parametrize(
    ("written", "over"),
    [
        ("2026-03-27T12:00:00+01:00", datetime(2026, 4, 3, 22, tzinfo=UTC)),
        ("2026-10-20T12:00:00+02:00", datetime(2026, 10, 27, 23, tzinfo=UTC)),
        ("2026-10-24T23:30:00Z", datetime(2026, 11, 1, 23, tzinfo=UTC)),
    ],
    ids=["summer time began", "summer time ended", "a day later than in UTC"],
)
async def test_the_last_day_ends_at_the_operator_s_midnight_also_when_clocks_change(
    tmp_path: Path, written: str, over: datetime
):
    files, _ = logs(tmp_path, login("anna", time=written))
    for now, count in ((over - timedelta(microseconds=1), 0), (over, 1)):
        assert len(await files.simulate(replace(TERMS, now=now))) == count
