"""A lake is swept by columns: what a person disputes stays, row by row, in files whose other rows go; and what remains of those is
what its map says: counts, or rows in which nobody can be found again."""

import errno
import os
import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import polars as pl
import pytest

from sample.cases import PRIVATE
from services.anonymizer.connectors.files import Files, formats, standing
from services.anonymizer.connectors.files.formats import Parquet
from services.anonymizer.connectors.files.lake import Lake
from services.anonymizer.contract import Action, StoreDrifted, StoreUnavailable, Swept
from services.anonymizer.datamap import DataMapFault
from services.anonymizer.rules.facts import Terms
from services.registry.contract import Period, PolicyBook
from tests.anonymizer.directly import NOW, TERMS, Guard, collected, connector, person

WRITTEN = Path("policy/stores/lake.yaml").read_text()
UNBUCKETED = WRITTEN.replace("    buckets: {column: caller, of: 8}\n", "")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DISPUTED, OTHER = "46700000001", "46700000002"
CALLS = 40  # of each of the two in one month: enough to remain as counts


ROWS = "{started_at: hour, kind: keep, caller: number, callee: number, area: keep, duration_ms: minutes}"


def remaining(what: str) -> str:
    """The lake's map, with other words about what remains."""
    return re.sub(r"remains: .*", f"remains: {{{what}}}", UNBUCKETED)


@pytest.fixture
def lake(tmp_path: Path) -> Files:
    return filled(connector(tmp_path, UNBUCKETED))


def filled(files: Files) -> Files:
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


async def test_a_lake_that_is_asked_once_gives_what_each_of_its_files_gives(
    lake: Files, monkeypatch: pytest.MonkeyPatch
):
    disputed, called = person(("msisdn", DISPUTED)), person(("msisdn", "46800000001"), ("msisdn", "46800000039"))
    read, asked = list[Path](), Parquet.read
    monkeypatch.setattr(Parquet, "read", lambda self, path, *told: read.append(path) or asked(self, path, *told))
    found = [
        await collected(lake, who) for who in (disputed, called, person(("msisdn", OTHER)), person(("msisdn", "467")))
    ]
    assert [len(rows) for rows in found] == [2 * CALLS, 4, CALLS, 0]
    assert len(read) == 2 + 2 + 1 + 0, "no file that names nobody is opened"
    monkeypatch.setattr(Parquet, "naming", lambda self, pieces, *_: pieces)
    assert found[:2] == [await collected(lake, who) for who in (disputed, called)]


async def test_a_file_that_goes_while_the_lake_is_asked_takes_no_other_with_it(
    lake: Files, monkeypatch: pytest.MonkeyPatch
):
    pieces = list(lake.format.pieces(lake.root))
    monkeypatch.setattr(Parquet, "pieces", lambda *_: iter([pieces[0].with_name("gone.parquet"), *pieces]))
    assert len(await collected(lake, person(("msisdn", DISPUTED)))) == 2 * CALLS


async def test_a_file_that_does_not_say_whom_it_names_is_told_and_not_passed_over(lake: Files):
    drifted = lake.root / "month=2026-12" / "bucket=00"
    drifted.mkdir(parents=True)
    calls_of(1, NOW, [OTHER]).drop("callee").write_parquet(drifted / "part-0.parquet")
    with pytest.raises(StoreDrifted):
        await collected(lake, person(("msisdn", DISPUTED)))


@pytest.fixture
def looked_through(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Each file that is read to be remembered; those of a test are at rest as soon as they are there."""
    monkeypatch.setattr(standing, "AT_REST", -1.0)
    looks, whole = list[Path](), Parquet._whole
    monkeypatch.setattr(Parquet, "_whole", lambda self, path, table: looks.append(path) or whole(self, path, table))
    return looks


async def test_a_small_file_is_read_once_and_gives_what_it_would_give_again(
    lake: Files, looked_through: list[Path], monkeypatch: pytest.MonkeyPatch
):
    disputed, called, nobody = (person(("msisdn", number)) for number in (DISPUTED, "46800000001", "467"))
    found = [await collected(lake, who) for who in (disputed, called, nobody)]
    assert [len(rows) for rows in found] == [2 * CALLS, 2, 0]
    assert looked_through == sorted(lake.format.pieces(lake.root))
    with monkeypatch.context() as patched:
        patched.setattr(Parquet, "_scan", lambda *_: pytest.fail("opened again"))
        assert [await collected(lake, who) for who in (disputed, called, nobody)] == found
    monkeypatch.setattr(standing, "MANY", 0)
    assert [await collected(lake, who) for who in (disputed, called, nobody)] == found


@pytest.mark.parametrize("how", ["renamed over", "written over", "written over, its time put back"])
async def test_who_comes_into_a_file_that_was_looked_through_is_found(
    lake: Files, looked_through: list[Path], how: str
):
    new, path = person(("msisdn", "46700000009")), min(lake.format.pieces(lake.root))
    assert await collected(lake, new) == []
    before, size = path.stat(), path.stat().st_size
    fresh = path.with_name("fresh") if how == "renamed over" else path
    number = ["46700000009"] * CALLS
    calls_of(25_000, NOW - timedelta(days=750), number).write_parquet(fresh)
    assert fresh.stat().st_size == size, "nothing tells by its size"
    if fresh != path:
        fresh.rename(path)
    elif "back" in how:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len(await collected(lake, new)) == CALLS
    assert len(await collected(lake, person(("msisdn", DISPUTED)))) == CALLS
    assert len(looked_through) == 2 + 1


async def test_who_is_erased_from_a_file_that_was_looked_through_is_gone_and_the_others_are_there(
    lake: Files, looked_through: list[Path]
):
    disputed, other = person(("msisdn", DISPUTED)), person(("msisdn", OTHER))
    for who in (disputed, other):
        assert await collected(lake, who)
    await lake.erase(uuid4(), disputed, TERMS, Guard(), None)
    assert await collected(lake, disputed) == [] and len(await collected(lake, other)) == CALLS


async def test_verification_looks_at_the_disk_and_not_at_what_is_remembered(
    lake: Files, looked_through: list[Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(standing, "_state", lambda path: (1,))  # as if nothing ever changed
    disputed = person(("msisdn", DISPUTED))
    assert await collected(lake, disputed)
    for path in lake.format.pieces(lake.root):
        pl.read_parquet(path).filter(pl.col("caller") != DISPUTED).write_parquet(path)
    assert (await lake.verify(disputed, TERMS, None)).remaining == 0


@pytest.mark.parametrize(
    "bound",
    [(standing, "AT_REST", 3600.0), (standing, "SMALL", 100), (standing, "MANY", 0), (formats, "_FEW", CALLS - 1)],
    ids=["just changed", "large", "one of many", "of many rows"],
)
async def test_a_file_that_may_not_be_remembered_is_read_each_time(
    lake: Files, looked_through: list[Path], monkeypatch: pytest.MonkeyPatch, bound: tuple[object, str, float]
):
    monkeypatch.setattr(*bound)
    for _ in range(2):
        assert len(await collected(lake, person(("msisdn", DISPUTED)))) == 2 * CALLS
    assert lake.format._standing._known == {}


async def test_a_lake_whose_numbers_are_no_texts_is_told_and_not_passed_over(lake: Files, looked_through: list[Path]):
    for path in lake.format.pieces(lake.root):
        pl.read_parquet(path).with_columns(pl.col("callee").cast(pl.Int64)).write_parquet(path)
    with pytest.raises(StoreDrifted):
        await collected(lake, person(("msisdn", "467")))


async def test_a_sweep_takes_every_row_but_the_frozen_ones_and_those_too_once_they_are_lifted(lake: Files):
    who = person(("msisdn", DISPUTED))
    frozen = await lake.freeze(uuid4(), who, TERMS)
    assert sum(one.count for one in frozen.outcomes if one.action == Action.freeze) == 2 * CALLS

    assert await _swept(lake) == CALLS
    assert _left(lake) == [DISPUTED] * 2 * CALLS

    await lake.unfreeze(uuid4(), who, TERMS)
    assert await _swept(lake) == 2 * CALLS
    assert _left(lake) == []


async def test_rows_may_remain_without_their_people_under_keys_that_nobody_has(tmp_path: Path):
    lake = filled(connector(tmp_path, remaining(f"rows: {ROWS}")))
    who = person(("msisdn", DISPUTED))
    await lake.freeze(uuid4(), who, TERMS)
    swept = await _pieces(lake)
    assert [(one.result, one.count, one.remains) for one in swept] == [("delinked", CALLS, CALLS)]
    [left] = (lake.root / ".wardline" / "delinked").glob("*/*.parquet")
    rows = pl.read_parquet(left)
    assert rows.columns == [
        "started_at",
        "kind",
        "caller",
        "caller_prefix",
        "callee",
        "callee_prefix",
        "area",
        "duration_ms",
    ]
    assert (rows["caller"].n_unique(), rows["callee"].n_unique()) == (1, CALLS)
    assert set(rows["caller_prefix"]) == {"46-70"} and not any(at.minute for at in rows["started_at"])
    assert not any(number.encode() in left.read_bytes() for number in (DISPUTED, OTHER))

    await lake.unfreeze(uuid4(), who, TERMS)
    await _pieces(lake)
    callers = {path: set(pl.read_parquet(path)["caller"]) for path in left.parents[1].glob("*/*.parquet")}
    assert len(callers) == 3 and len(set.union(*callers.values())) == 3, "one person has a name that outlives a file"


@pytest.mark.parametrize(("window", "names"), [("30 days", 2), ("60 days", 1), ("7 days", 2), ("12 hours", 2)])
async def test_a_person_has_another_pseudonym_after_the_book_s_window(tmp_path: Path, window: str, names: int):
    lake = connector(tmp_path, remaining(f"rows: {ROWS}"))
    lake.root.mkdir(parents=True)
    # Both within one window of sixty days, counted as windows are.
    at = datetime(1970, 1, 11, tzinfo=UTC) + timedelta(days=60 * (((NOW - timedelta(days=720)) - _EPOCH).days // 60))
    calls_of(1, at, [OTHER] * 5).vstack(calls_of(9, at + timedelta(days=31), [OTHER] * 5)).write_parquet(
        lake.root / "a.parquet"
    )
    limits = tuple(
        row.model_copy(update={"period": Period.model_validate(window)}) if row.key == "delinking_window" else row
        for row in TERMS.book.limits
    )
    book = PolicyBook.model_construct(**dict(TERMS.book) | {"limits": limits})
    await _pieces(lake, terms=replace(TERMS, book=book))
    [left] = (lake.root / ".wardline" / "delinked").glob("*/*.parquet")
    assert pl.read_parquet(left)["caller"].n_unique() == names


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("rows: {caller: keep}", "caller can't remain as it is"),
        ("rows: {id: keep}", "id can't remain as it is"),
        ("rows: {started_at: keep}", "started_at can't remain as it is"),
        ("rows: {cell: keep}", "the column cell is used but not declared"),
        ("texts: true", "texts cannot remain of a parquet store"),
        (
            "counts: {prefix: callee, area: area, type: kind, people: [caller]}, rows: {area: keep}",
            "counts, or texts, or rows",
        ),
    ],
)
def test_what_cannot_remain_is_refused_before_anything_starts(tmp_path: Path, said: str, fault: str):
    with pytest.raises(DataMapFault, match=fault):
        connector(tmp_path, remaining(said))


async def test_a_disk_that_is_full_where_rows_are_to_remain_leaves_every_file_as_it_was(tmp_path: Path, monkeypatch):
    lake, fsync = filled(connector(tmp_path, remaining(f"rows: {ROWS}"))), os.fsync
    before = {path: path.read_bytes() for path in lake.root.glob("month=*/*/*")}

    def full(number: int) -> None:
        if "delinked" in os.readlink(f"/proc/self/fd/{number}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable) as refused:
        await _pieces(lake)
    assert "is full" in refused.value.detail
    assert {path: path.read_bytes() for path in lake.root.glob("month=*/*/*")} == before
    assert list((lake.root / ".wardline" / "delinked").rglob("*.parquet*")) == []


async def _swept(lake: Files) -> int:
    return sum(one.count for one in await _pieces(lake))


async def _pieces(lake: Files, sweep: UUID | None = None, terms: Terms = TERMS) -> list[Swept]:
    async def known() -> dict:
        return {}

    return [one async for piece in lake.sweep(sweep or uuid4(), terms, Guard(), known) for one in piece.swept]


def _left(lake: Files) -> list[str]:
    return [caller for path in lake.root.glob("month=*/*/*.parquet") for caller in pl.read_parquet(path)["caller"]]


async def test_own_rows_are_looked_for_in_their_bucket_alone_and_those_of_the_other_party_everywhere(tmp_path: Path):
    files, at = connector(tmp_path, WRITTEN), NOW - timedelta(days=30)
    own, other = (zlib.crc32(number.encode()) % 8 for number in (DISPUTED, OTHER))
    assert own != other
    for first, bucket, caller in ((1, own, DISPUTED), (100, other, OTHER)):
        folder = files.root / f"month={at:%Y-%m}" / f"bucket={bucket:02}"
        folder.mkdir(parents=True)
        made = calls_of(first, at, [caller] * 3).with_columns(callee=pl.lit(DISPUTED if caller == OTHER else OTHER))
        made.write_parquet(folder / "part-0.parquet")
    who, read, reading = person(("msisdn", DISPUTED)), [], files.format.read
    files.format.read = lambda path, *told: read.append(path.parent.name) or reading(path, *told)
    assert len(await collected(files, who)) == 6 and len(read) == 2
    frozen = await files.freeze(uuid4(), who, TERMS)
    assert sum(one.count for one in frozen.outcomes) == 3 and read[2:] == [f"bucket={own:02}"]


async def test_a_row_restricted_between_the_plan_of_a_sweep_and_its_resumption_stays_and_is_counted_once(
    lake: Files, monkeypatch: pytest.MonkeyPatch
):
    sweep, who = uuid4(), person(("msisdn", DISPUTED))

    def killed(*_):
        raise OSError(errno.EIO, "killed")

    with monkeypatch.context() as patched, pytest.raises(StoreUnavailable):
        patched.setattr(Lake, "carry_out", killed)
        await _pieces(lake, sweep)
    await lake.freeze(uuid4(), who, TERMS)
    resumed = await _pieces(lake, sweep)
    assert sum(one.count for one in resumed) == CALLS
    assert _left(lake) == [DISPUTED] * 2 * CALLS, "what was planned and not yet gone stays"

    await lake.unfreeze(uuid4(), who, TERMS)
    later = await _pieces(lake)
    assert sum(one.count for one in later) == 2 * CALLS and _left(lake) == []
    # Too few people called here for any count to be released; how many rows they were made of is told.
    assert sum(one.lost for one in [*resumed, *later]) == 3 * CALLS
