"""One person among a million rows: found and erased; and ten million rows of one person, streamed and packed without being held.

The stores are the sample operator's own; a lake is made under /tmp, bucketed as the sample's is. What is found is read through the
product's connectors, in this process: how long a store takes to give one person's rows, without HTTP, ledger and principals.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import UUID, uuid4

import asyncpg
import uvloop

from benchmarks import calls
from benchmarks.house import House
from benchmarks.lake import SCALE
from benchmarks.requests import Desk
from benchmarks.row import ROUNDS, Row, watched
from sample.cases import PRIVATE
from services.anonymizer import datamap
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.connectors.files import Files
from services.anonymizer.connectors.postgresql import PostgreSQL
from services.anonymizer.connectors.protocol import Connector
from services.anonymizer.contract import CollectionRequest, IdentifierType, StepRequest, StepState, Verb
from services.anonymizer.rules.person import Known, Person
from services.anonymizer.settings import Settings
from services.registry.books import read_book

SMALL, FEW, MANY = 1_000, 10, 10_000_000
FIRST_SMALL, FIRST_FEW, OF_MANY, FIRST_ACCESS, OF_PACKAGE = (
    46_742_000_000,
    46_743_000_000,
    46_744_000_000,
    46_745_000_000,
    46_746_000_000,
)
REQUESTS = 1 + 5 * ROUNDS
LAKE_ROWS, BUCKETS, LAKE_PEOPLE = 1_000_000, 64, 100_000
CHUNK = 1_000_000

_PLANT = """
INSERT INTO call_record (id, tenant, started_at, duration_ms, kind, caller, callee, area, invoice, withheld)
SELECT n, $1::uuid, $2::timestamptz + (n % 86400) * interval '1 second', 60000 + $8 * (hashint8(n) & 1048575), 'mobile_call',
       ($3::bigint + n / $4::bigint % $5::bigint)::text, (46740999999 - $8 * (hashint8(n) & 8388607))::text, '01',
       900000000000 + n % 27, false
FROM generate_series($6::bigint, $7::bigint) n"""
_PACKAGED = "SELECT answer->'found' FROM rights.request WHERE id = $1 AND state = 'answered'"


def access_1k(house: House) -> Row:
    """From the helpdesk's request over the internal edge to the finished package of somebody with 1,000 calls in a million, over all
    stores. Milliseconds; `first_ms`: of the first request, which opens connections."""
    return uvloop.run(_access_1k(house))


async def _access_1k(house: House) -> Row:
    await calls._plant_once(house)
    await _plant(house, FIRST_ACCESS, REQUESTS, SMALL)
    desk, ours, theirs = await asyncio.to_thread(Desk, house), [], []
    looking, connection = await asyncpg.connect(**house.superuser()), await calls._connect(house)
    async with _anonymizer(house) as anonymizer:
        people = [await anonymizer.person(FIRST_ACCESS + n) for n in range(REQUESTS)]
    for n, person in enumerate(people):
        began = time.perf_counter()
        request = await asyncio.to_thread(desk.open, person)
        while (found := await looking.fetchval(_PACKAGED, UUID(request))) is None:
            await asyncio.sleep(0.002)
        ours.append(1000 * (time.perf_counter() - began))
        if sum(sum(store["counts"].values()) for store in json.loads(found)) < SMALL:
            raise RuntimeError(f"the package speaks of fewer than {SMALL} rows: {found}")
        theirs.append(1000 * await calls.selected(connection, str(FIRST_ACCESS + n), SMALL))
    await looking.close()
    await connection.close()
    beside = f"SELECT of the {SMALL:,} rows and json.dumps in one process"
    more = {"first_ms": ours[0], "slowest_ms": max(ours[1:])}
    return Row("access_1k", median(ours[1:]), median(theirs[1:]), "ms", 0, beside, more)


def erase_1k(house: House) -> Row:
    """One erase step over HTTP: rules decided for each row, holds asked for twice, journal, settlement and event."""
    return uvloop.run(_erase_1k(house))


async def _erase_1k(house: House) -> Row:
    await calls._plant_once(house)
    people = 2 + 2 * ROUNDS
    await _plant(house, FIRST_SMALL, people, SMALL)
    ours, theirs, connection = [], [], await calls._connect(house)
    with watched(house.pids("anonymizer")) as peak:
        async with _anonymizer(house) as anonymizer:
            for n in range(1 + ROUNDS):  # the first opens connections
                person = await anonymizer.person(FIRST_SMALL + 2 * n)
                wish, began = StepRequest(verb=Verb.erase, store="calls", principal=person), time.perf_counter()
                result = await anonymizer.client.step(uuid4(), wish, tenant=PRIVATE.id)
                ours.append(time.perf_counter() - began)
                if result.state != StepState.done or sum(one.count for one in result.outcomes) != SMALL:
                    raise RuntimeError(f"not all of {SMALL} rows were erased: {result.outcomes}")
                began = time.perf_counter()
                await connection.execute("DELETE FROM call_record WHERE caller = $1", str(FIRST_SMALL + 2 * n + 1))
                theirs.append(time.perf_counter() - began)
    await connection.close()
    beside = f"one DELETE of {SMALL:,} rows, same table of a million"
    return Row("erase_1k", median(ours[1:]), median(theirs[1:]), "s", peak.highest, beside)


def find(house: House) -> Row:
    """Both parties' rows of somebody with ten calls in a million, decoded and streamed. Milliseconds."""
    return uvloop.run(_find(house))


async def _find(house: House) -> Row:
    await calls._plant_once(house)
    people = 1 + 10 * ROUNDS
    await _plant(house, FIRST_FEW, people, FEW)
    store = PostgreSQL(datamap.load(Path("policy/stores")).stores["calls"], _settings(house))
    connection, theirs = await calls._connect(house), []
    ours = [await found(store, FIRST_FEW + n, FEW) for n in range(people)][1:]
    for n in range(people):
        began = time.perf_counter()
        await connection.fetch("SELECT * FROM call_record WHERE $1 IN (caller, callee)", str(FIRST_FEW + n))
        theirs.append(1000 * (time.perf_counter() - began))
    await connection.close()
    await store.close()
    beside = "SELECT of the same rows over a connection that is open"
    return Row("find", median(ours), median(theirs[1:]), "ms", 0, beside, {"slowest_ms": max(ours)})


def find_lake(house: House) -> Row:
    """Somebody's own rows among a million in one month of a lake in 64 buckets: one bucket is read. `both_ms`: also where others
    called them, which may be in every bucket."""
    return uvloop.run(_find_lake())


async def _find_lake() -> Row:
    import polars as pl

    with tempfile.TemporaryDirectory(prefix="wardline-bench-", dir="/tmp") as folder:
        store = datamap.load(Path("policy/stores")).stores["lake"]
        store = store.model_copy(update={"location": datamap.Location(folder="lake")})
        table = store.tables["call_record"].model_copy(update={"buckets": datamap.Buckets(column="caller", of=BUCKETS)})
        store = store.model_copy(update={"tables": {"call_record": table}})
        files = Files(store, Settings(home=Path(folder), secrets_dir=Path(folder), **_NOWHERE))
        _write_lake(files.root)
        people = [46_700_000_000 + 37 * n for n in range(1, 2 + 10 * ROUNDS)]
        ours = [await found(files, number, None, portable=True) for number in people][1:]
        both = [await found(files, number, None) for number in people[: 1 + ROUNDS]][1:]
        theirs = []
        for number in people[: 1 + ROUNDS]:
            began = time.perf_counter()
            pl.scan_parquet(files.root, hive_partitioning=False).filter(pl.col("caller") == str(number)).collect()
            theirs.append(1000 * (time.perf_counter() - began))
    beside = "Polars over all files of that month"
    more = {"slowest_ms": max(ours), "both_ms": median(both)}
    return Row("find_lake", median(ours), median(theirs[1:]), "ms", 0, beside, more)


def collect_10m(house: House) -> Row:
    """Ten million rows of one person over HTTP from the anonymizer to a reader that counts them. MB that the anonymizer grows by."""
    return uvloop.run(_collect_10m(house))


async def _collect_10m(house: House) -> Row:
    rows = int(MANY * float(os.environ.get(SCALE, "1")))
    await _plant(house, OF_MANY, 1, rows)
    async with _anonymizer(house) as anonymizer:
        person, read, lines = await anonymizer.person(OF_MANY), 0, 0
        wish = CollectionRequest(step=uuid4(), store="calls", principal=person)
        with watched(house.pids("anonymizer")) as peak:
            began = time.perf_counter()
            async with anonymizer.client.collect(wish, tenant=PRIVATE.id) as stream:
                async for chunk in stream:
                    read, lines, last = read + len(chunk), lines + chunk.count(b"\n"), chunk
            seconds = time.perf_counter() - began
    if lines < rows or b'"end":true' not in last:
        raise RuntimeError(f"{lines} lines of {rows} rows")
    more = {"rows": rows, "read_mb": read / 1e6, "seconds": seconds, "rows_per_s": rows / seconds}
    return Row("collect_10m", peak.growth, read / 1e6, "MB", peak.highest, "all that was read, held at once", more)


def package_10m(house: House) -> Row:
    """The whole way of ten million rows of one person, from the helpdesk's request to the locked package. MB that rights and the
    anonymizer grow by, with whatever processes they start meanwhile."""
    return uvloop.run(_package_10m(house))


async def _package_10m(house: House) -> Row:
    rows = int(MANY * float(os.environ.get(SCALE, "1")))
    await _plant(house, OF_PACKAGE, 1, rows, varied=True)
    desk, looking = await asyncio.to_thread(Desk, house), await asyncpg.connect(**house.superuser())
    async with _anonymizer(house) as anonymizer:
        person = await anonymizer.person(OF_PACKAGE)
    with watched(house.pids("rights", "anonymizer"), family=True) as peak:
        began = time.perf_counter()
        request = UUID(await asyncio.to_thread(desk.open, person))
        while (found := await looking.fetchval(_PACKAGED, request)) is None:
            await asyncio.sleep(1)
        seconds = time.perf_counter() - began
    size = await looking.fetchval("SELECT package_bytes FROM rights.request WHERE id = $1", request)
    await looking.close()
    counted = sum(sum(store["counts"].values()) for store in json.loads(found))
    if counted < rows:
        raise RuntimeError(f"the package speaks of {counted} of {rows} rows")
    more = {"rows": counted, "package_mb": size / 1e6, "seconds": seconds, "rows_per_s": rows / seconds}
    return Row("package_10m", peak.growth, size / 1e6, "MB", peak.highest, "the package, held at once", more)


# --- what they rest on ---------------------------------------------------------------------------------------------------

_NOWHERE = {"issuer": "https://nobody.invalid", "jwks_url": "https://nobody.invalid", "environment": "development"}


def _settings(house: House) -> Settings:
    place = house.superuser()["host"]
    secrets = house.home.secrets("anonymizer")
    return Settings(home=house.home.path, secrets_dir=secrets, database_host=place, **_NOWHERE)


async def found(store: Connector, number: int, rows: int | None, portable: bool = False) -> float:
    """Milliseconds until the last line. Raises when another number of rows came."""
    person = Person(UUID(int=0), PRIVATE.id, (Known(IdentifierType.msisdn, str(number)),))
    book, began = read_book(Path("policy/book.yaml")), time.perf_counter()
    chunks = b"".join([chunk async for chunk in store.collect([person], book, portable)])
    seconds = time.perf_counter() - began
    if rows is not None and chunks.count(b"\n[") != rows:
        raise RuntimeError(f"{chunks.count(b'[')} rows, and not {rows}")
    return 1000 * seconds


class _Anonymizer:
    def __init__(self, house: House, client: AnonymizerClient) -> None:
        self.house, self.client = house, client

    async def person(self, number: int) -> UUID:
        def asked() -> UUID:
            with self.house.cast.machine("seeder", "internal", PRIVATE.id) as seeder:
                wish = {"identifiers": [{"type": "msisdn", "value": f"+{number}"}]}
                return UUID(seeder.post("/v1/principals", wish).json()["principal"])

        return await asyncio.to_thread(asked)


@asynccontextmanager
async def _anonymizer(house: House) -> AsyncIterator[_Anonymizer]:
    async with house.tokens("rights") as tokens:
        await tokens.token("anonymizer", PRIVATE.id)
        yield _Anonymizer(house, AnonymizerClient(tokens.http, house.stack.url("anonymizer"), tokens))


async def _plant(house: House, number: int, people: int, each: int, *, varied: bool = False) -> None:
    """`each` rows of every number from `number` on, among the days of one month, a million at a time. varied: whom they called, and how
    long, differs from row to row, as it does where their size counts once they are packed."""
    connection = await calls._connect(house)
    since = await connection.fetchval(calls._MONTHS)
    first = await connection.fetchval("SELECT greatest(max(id) + 1, $1) FROM call_record", calls.FIRST_ID)
    first += -first % (people * each)
    for at in range(first, first + people * each, CHUNK):
        last = min(at + CHUNK, first + people * each) - 1
        values: list[object] = [PRIVATE.id, since, number, each, people, at, last, int(varied)]
        await connection.execute(_PLANT, *values)
    await calls._settle(connection)
    await connection.close()


def _write_lake(root: Path) -> None:
    """One month, bucketed as the sample operator's lake is."""
    import zlib

    import numpy as np
    import polars as pl

    drawn, began = np.random.default_rng(20270117), datetime(2026, 3, 1, tzinfo=UTC)
    numbers = [46_700_000_000 + drawn.integers(0, LAKE_PEOPLE, LAKE_ROWS) for _ in range(2)]
    of = np.array([zlib.crc32(b"%d" % (46_700_000_000 + n)) % BUCKETS for n in range(LAKE_PEOPLE)])
    frame = pl.DataFrame(
        {
            "id": np.arange(LAKE_ROWS),
            "started_at": np.datetime64(began.replace(tzinfo=None), "us")
            + drawn.integers(0, 31 * 86_400, LAKE_ROWS) * np.timedelta64(1_000_000, "us"),
            "duration_ms": drawn.integers(0, 900_000, LAKE_ROWS),
            "caller": numbers[0].astype(str),
            "callee": numbers[1].astype(str),
            "invoice": drawn.integers(0, 1 << 40, LAKE_ROWS),
            "bucket": of[numbers[0] - 46_700_000_000],
        }
    ).with_columns(
        pl.col("started_at").dt.replace_time_zone("UTC"),
        tenant=pl.lit(str(PRIVATE.id)),
        kind=pl.lit("mobile_call"),
        area=pl.lit("01"),
        agent_number=pl.lit(None, pl.String),
    )
    for (number,), some in frame.partition_by("bucket", as_dict=True, include_key=False).items():
        folder = root / "month=2026-03" / f"bucket={number:02}"
        folder.mkdir(parents=True)
        some.write_parquet(folder / "part-0.parquet")
