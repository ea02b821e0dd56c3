"""Fills every store of the synthetic operator once. Killed on the way, the next run begins again from nothing."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq

from ops.home import Home
from sample import accounts, authlog, billing, calls, clients, helpdesk, recordings, stores
from sample.cases import SEED, SUBSCRIBERS
from sample.dates import TABLE_MONTHS, Calendar
from sample.manifest import Manifest
from sample.people import ALL_MONTHS, Crowd, crowd
from sample.tables import BILLING, CALLS, HELPDESK, LAKE, rows

Progress = Callable[[str], None]


@dataclass
class Filling:
    """What every store's loader needs: where, when, who, and the manifest they write into."""

    folder: Path
    calendar: Calendar
    people: Crowd
    manifest: Manifest

    @property
    def seed(self) -> int:
        return self.manifest.seed

    def count(self, what: str, rows: int) -> None:
        self.manifest.counts[what] = self.manifest.counts.get(what, 0) + rows

    async def copy(self, connection: asyncpg.Connection, store: str, table: str, some: pa.Table) -> None:
        self.count(f"{store}.{table}", await stores.copy(connection, table, some))


async def fill(
    home: Home,
    postgres: stores.Cluster,
    subscribers: int = SUBSCRIBERS,
    seed: int = SEED,
    today: date | None = None,
    progress: Progress = lambda line: None,
) -> Manifest:
    """Every store, its accounts and the manifest. Stores that are already filled are left alone, whatever is asked."""
    path = home.path / "sample" / "manifest.json"
    clients.make(home)
    accounts.make(home.path / "sample")
    if path.exists():
        return Manifest.read(path)
    folder = home.path / "sample" / "stores"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    calendar = Calendar(today or datetime.now(UTC).date())
    filling = Filling(folder, calendar, crowd(seed, subscribers), Manifest.start(seed, calendar, subscribers))
    for store in stores.STORES:
        await stores.create(home, postgres, store)
    # Side by side: while one database sorts its indexes, the rows of the next are drawn.
    async with asyncio.TaskGroup() as together:
        for store, load in (("calls", _calls), ("billing", _billing), ("helpdesk", _helpdesk)):
            together.create_task(_database(postgres, filling, store, load, progress))
    _recordings(filling)
    _authlog(filling)
    for store, what in (("lake", "rows"), ("recordings", "files"), ("authlog", "lines")):
        progress(f"{store}: {_total(filling, store):,} {what}")
    filling.manifest.write(path)
    return filling.manifest


def _total(filling: Filling, store: str) -> int:
    return sum(n for what, n in filling.manifest.counts.items() if what.startswith(store))


async def _database(postgres: stores.Cluster, filling: Filling, store: str, load: Callable, progress: Progress) -> None:
    connection = await postgres.connect(stores.database(store))
    try:
        async with connection.transaction():
            await stores.build(connection, store)
            await load(filling, connection)
            await stores.finish(connection, store)
    finally:
        await connection.close()
    progress(f"{store}: {_total(filling, store):,} rows")


async def _billing(filling: Filling, connection: asyncpg.Connection) -> None:
    for table, planted in billing.planted(filling.calendar).items():
        filling.manifest.note("billing", table, planted)
        await filling.copy(connection, "billing", table, rows(BILLING[table], planted))
    for table, drawn in billing.crowd_tables(filling.seed, filling.calendar, filling.people):
        await filling.copy(connection, "billing", table, drawn)


async def _helpdesk(filling: Filling, connection: asyncpg.Connection) -> None:
    planted = helpdesk.planted(filling.calendar)
    drawn = helpdesk.drawn(filling.seed, filling.calendar, filling.people)
    for table in helpdesk.TABLES:
        filling.manifest.note("helpdesk", table, planted[table])
        await filling.copy(connection, "helpdesk", table, rows(HELPDESK[table], planted[table] + drawn[table]))


async def _calls(filling: Filling, connection: asyncpg.Connection) -> None:
    for table in CALLS:
        await stores.add_months(connection, filling.calendar, table, calls.months_of(table))
    planted = calls.planted(filling.calendar, filling.seed)
    for table in CALLS:
        filling.manifest.note("calls", table, planted[table])
        await filling.copy(connection, "calls", table, rows(CALLS[table], planted[table]))
    known = calls.numbers(filling.people)
    for age in range(ALL_MONTHS - 1, -1, -1):
        drawn = calls.month(filling.seed, filling.calendar, filling.people, known, age)
        if age >= TABLE_MONTHS:
            _lake(filling, age, drawn.select(LAKE.names), planted["lake"])
            continue
        for table, some in calls.copies(age, drawn):
            await filling.copy(connection, "calls", table, some)
    await connection.execute((stores.DDL / "calls_indexes.sql").read_text())


def _lake(filling: Filling, age: int, drawn: pa.Table, planted: list[dict]) -> None:
    """One month's buckets, a file each."""
    begin, end = filling.calendar.month(age), filling.calendar.month(age - 1)
    due = [row for row in planted if begin <= row["started_at"] < end]
    for number, some in _buckets(pa.concat_tables([rows(LAKE, due), drawn])):
        path = Path(f"month={begin:%Y-%m}") / f"bucket={number:02}" / "part-0.parquet"
        file = filling.folder / "calls" / "lake" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(some, file)
        filling.manifest.note("lake", str(path), (row for row in due if calls.bucket(row["caller"]) == number))
        filling.count("lake", len(some))


def _buckets(some: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    number = pa.array([calls.bucket(caller) for caller in some["caller"].to_pylist()])
    for wanted in range(calls.BUCKETS):
        yield wanted, some.filter(pa.compute.equal(number, wanted))


def _recordings(filling: Filling) -> None:
    planted = recordings.planted(filling.calendar)
    every = [*planted, *recordings.drawn(filling.seed, filling.calendar, filling.people)]
    recordings.write(filling.folder / "recordings", every)
    for recording in planted:
        for stem in recording.stems():
            filling.manifest.note("recordings", f"{stem}.json", [recording.sidecar()], record=None)
    filling.count("recordings", sum(2 * len(recording.stems()) for recording in every))


def _authlog(filling: Filling) -> None:
    for age in authlog.days():
        day = authlog.lines(filling.seed, filling.calendar, filling.people, age)
        authlog.write(filling.folder / "authlog", filling.calendar, age, day)
        filling.manifest.note("authlog", f"{filling.calendar.day(age):%Y-%m-%d}.jsonl", day, record=None)
        filling.count("authlog", len(day))
