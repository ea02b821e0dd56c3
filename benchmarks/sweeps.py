"""A month of a million expired calls let go by the connector itself, beside one UPDATE that takes the people out of as many rows.

The table is the sample operator's (partitions by month, four indexes and a key), in a cluster of its own that writes its log as one
with replicas does. What is measured is the whole piece of a sweep: rows decided and counted, holds asked for, journal and commit.
"""

import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import uvloop

from benchmarks.house import House
from benchmarks.lake import SIZES, full_rows, peak_here
from benchmarks.persons import found
from benchmarks.row import ROUNDS, Row
from ops import keys
from ops.home import ROOT, Home
from ops.postgres import Postgres
from sample import stores
from sample.cases import PRIVATE
from services.anonymizer import datamap
from services.anonymizer.connectors.outcomes import Effect
from services.anonymizer.connectors.postgresql import PostgreSQL
from services.anonymizer.contract import IdentifierType, Swept
from services.anonymizer.datamap import Store, Table
from services.anonymizer.house import LONG_AGO
from services.anonymizer.rules.facts import Invoices, OpenInvoice, Terms
from services.anonymizer.rules.person import Known, Person
from services.anonymizer.settings import Settings
from services.anonymizer.text.vocabularies import Told
from services.registry.books import read_book

ROWS, UNPAID = 1_000_000, range(8, 10)  # of ten invoices, those that keep what they bill
NOW, MONTH, NEXT = datetime(2027, 1, 20, 12, tzinfo=UTC), "2026-03-01T00:00Z", "2026-04-01T00:00Z"
STORE, TABLES = "calls", ("call_record", "retained_call_record")
FOUND, ERASED = (
    (46_742_000_000, 10),
    (46_743_000_000, 1_000),
)  # two numbers among all of these, and how many calls each made
_AS_PLANTED = "calls_as_planted"

_PLANT = """
INSERT INTO {table}_month (id, tenant, started_at, duration_ms, kind, caller, callee{more})
SELECT n, $1::uuid, $2::timestamptz + random() * interval '30 days', (random() * 900000)::bigint,
       (ARRAY['mobile_call', 'sms'])[1 + n % 2], (46700000000 + random() * 200000)::bigint::text,
       (46730000000 + random() * 9000000)::bigint::text{values}
FROM generate_series(1, $3::bigint) n"""
_OF_ONE = "UPDATE call_record_month SET caller = $1::bigint::text WHERE id % $2 = $3"
_MORE = {"call_record": (", area, invoice", ", (ARRAY['01', '12', '14'])[1 + n % 3], n % 10"), TABLES[1]: ("", "")}
# The least that an UPDATE must do: both numbers gone, the instant and the length made coarse.
_UPDATE = """
UPDATE {month} SET caller = md5($1 || caller), callee = md5($1 || callee), started_at = date_trunc('hour', started_at),
       duration_ms = duration_ms / 60000"""


@dataclass(frozen=True)
class Cost:
    seconds: float
    log_mb: float


class NothingHeld:
    async def held(self, step: UUID | None = None) -> list:
        return []


@dataclass
class Calls:
    """The store, and how to bring it back to what was planted."""

    home: Home
    postgres: Postgres

    async def again(self) -> None:
        admin = await self.postgres.connect()
        name = stores.database(STORE)
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {_AS_PLANTED} STRATEGY file_copy")
        await admin.execute(f"GRANT CONNECT ON DATABASE {name} TO {STORE}_wardline; CHECKPOINT")
        await admin.close()

    async def anew(self, work: Awaitable[Cost]) -> Cost:
        await self.again()
        return await work

    async def cost(self, work: Callable[[], Awaitable[object]]) -> Cost:
        admin = await self.postgres.connect()
        await admin.execute("CHECKPOINT")  # of what was written before
        begin = await admin.fetchval("SELECT pg_current_wal_insert_lsn()")
        began = time.perf_counter()
        await work()
        seconds = time.perf_counter() - began
        written = await admin.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)", begin)
        await admin.close()
        return Cost(seconds, float(written) / 1e6)

    async def swept(self, name: str, terms: Terms, remains: bool) -> Cost:
        """By one table's map alone; `remains`: whether its rows leave counts, or nothing."""
        table: Table = _store().tables[name]
        connector = self._connector({name: table if remains else table.model_copy(update={"remains": None})})
        done = list[Swept]()

        async def sweep() -> None:
            async for piece in connector.sweep(uuid4(), terms, NothingHeld(), _nobody):
                done.extend(piece.swept)

        try:
            cost = await self.cost(sweep)
        finally:
            await connector.close()
        expected = "swap" if terms.invoices.open else "partition"
        if {one.how for one in done} != {expected}:
            raise RuntimeError(f"a month was to go by {expected}, and went by {[one.how for one in done]}")
        return cost

    async def found(self) -> Cost:
        """All calls of somebody who has ten, over a connection that is open."""
        connector = self._connector({TABLES[0]: _store().tables[TABLES[0]]})
        try:
            milliseconds = [await found(connector, *FOUND) for _ in range(1 + ROUNDS)]
        finally:
            await connector.close()
        return Cost(median(milliseconds[1:]) / 1000, 0)

    async def erased(self) -> Cost:
        """All calls of somebody who has a thousand."""
        connector, (number, rows) = self._connector({TABLES[0]: _store().tables[TABLES[0]]}), ERASED
        person = Person(UUID(int=0), PRIVATE.id, (Known(IdentifierType.msisdn, str(number)),))
        effects = list[Effect]()

        async def erase() -> None:
            effects.append(await connector.erase(uuid4(), person, _terms(()), NothingHeld(), None))

        try:
            cost = await self.cost(erase)
        finally:
            await connector.close()
        if sum(one.count for one in effects[0].outcomes if one.action == "erase") != rows:
            raise RuntimeError(f"not all of {rows} rows were erased: {effects[0].outcomes}")
        return cost

    def _connector(self, tables: dict[str, Table]) -> PostgreSQL:
        nobody, here = "https://nobody.invalid", self.postgres.socket_dir
        told: dict[str, Any] = {"issuer": nobody, "jwks_url": nobody, "environment": "development"}
        settings = Settings(
            home=self.home.path, secrets_dir=self.home.secrets("anonymizer"), database_host=str(here), **told
        )
        return PostgreSQL(_store().model_copy(update={"tables": tables}), settings)

    async def dropped(self, name: str) -> Cost:
        """Without looking at what goes."""
        connection = await self.postgres.connect(stores.database(STORE))
        drop = f"BEGIN; ALTER TABLE {name} DETACH PARTITION {name}_month; DROP TABLE {name}_month; COMMIT"
        cost = await self.cost(lambda: connection.execute(drop))
        await connection.close()
        return cost

    async def updated(self, name: str, where: str = "") -> Cost:
        connection = await self.postgres.connect(stores.database(STORE))
        update = _UPDATE.format(month=f"{name}_month") + where
        cost = await self.cost(lambda: connection.execute(update, "a key"))
        await connection.close()
        return cost


def sweep_partition(_: House) -> Row:
    """Nothing keeps any row of the month: it is dropped."""
    return uvloop.run(_partition())


async def _partition() -> Row:
    async with _planted() as calls:
        ours, counted, update, bare = [], [], [], []
        for _ in range(ROUNDS):
            ours.append(await calls.anew(calls.swept(TABLES[1], _terms(()), remains=False)))
            update.append(await calls.anew(calls.updated(TABLES[1])))
            bare.append(await calls.anew(calls.dropped(TABLES[1])))
            counted.append(await calls.anew(calls.swept(TABLES[0], _terms(()), remains=True)))
    return _row("sweep_partition", ours, update, {"bare_drop_s": _seconds(bare), "counted_s": _seconds(counted)})


def sweep_swap(_: House) -> Row:
    """Eight in ten rows of the month go: the others are copied, and exchanged for it."""
    return uvloop.run(_swap())


async def _swap() -> Row:
    async with _planted() as calls:
        ours, counted, update = [], [], []
        for _ in range(ROUNDS):
            ours.append(await calls.anew(calls.swept(TABLES[0], _terms(UNPAID), remains=False)))
            update.append(await calls.anew(calls.updated(TABLES[0], f" WHERE invoice < {UNPAID.start}")))
            counted.append(await calls.anew(calls.swept(TABLES[0], _terms(UNPAID), remains=True)))
    return _row("sweep_swap", ours, update, {"counted_s": _seconds(counted)})


def sweep_growth(_: House) -> Row:
    """A month of 10^5, 10^6 and (at `--scale 0.5` and more) 10^7 calls: somebody found and somebody erased in it, then the month
    exchanged; one like it dropped, and up to 10^6 updated, which grows in proportion and alone takes four minutes at 10^7. Each once."""
    return uvloop.run(_growth([size for size in SIZES if size <= full_rows()]))


async def _growth(sizes: list[int]) -> Row:
    cost: dict[str, float] = {}
    for size in sizes:
        async with _planted(size) as calls:
            await calls.again()
            cost[f"s_for_{size}_find"] = (await calls.found()).seconds
            cost[f"s_for_{size}_erase"] = (await calls.erased()).seconds
            cost[f"s_for_{size}_partition"] = (await calls.swept(TABLES[1], _terms(()), remains=False)).seconds
            cost[f"s_for_{size}_swap"] = (await calls.swept(TABLES[0], _terms(UNPAID), remains=False)).seconds
            if size <= ROWS:
                cost[f"s_for_{size}_update"] = (await calls.anew(calls.updated(TABLES[1]))).seconds
    most = min(sizes[-1], ROWS)
    ours, update = (cost[f"s_for_{most}_{what}"] for what in ("partition", "update"))
    reference = f"one UPDATE of {most:,} rows, that takes the people out"
    return Row("sweep_growth", ours, update, "s", peak_here(), reference, {"rows": sizes[-1]} | cost)


def _row(name: str, ours: list[Cost], update: list[Cost], more: dict[str, Any]) -> Row:
    log, theirs = (median(each.log_mb for each in costs) for costs in (ours, update))
    told = {"rows": ROWS, "log_mb": log, "update_log_mb": theirs, "log_ratio": log / theirs}
    reference = "one UPDATE that takes the people out of the same rows"
    return Row(name, _seconds(ours), _seconds(update), "s", peak_here(), reference, told | more)


def _seconds(costs: list[Cost]) -> float:
    return median(each.seconds for each in costs)


def _terms(unpaid: range | tuple[()]) -> Terms:
    invoices = {invoice: OpenInvoice(None, None) for invoice in unpaid}
    return Terms(read_book(ROOT / "policy" / "book.yaml"), NOW, Invoices(invoices, LONG_AGO))


def _store() -> Store:
    return datamap.load(ROOT / "policy" / "stores").stores[STORE]


async def _nobody() -> Told:
    return {}


@asynccontextmanager
async def _planted(rows: int = ROWS) -> AsyncIterator[Calls]:
    # Under /tmp and open to others, so that the database's unprivileged user may walk in.
    with tempfile.TemporaryDirectory(prefix="wardline-bench-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        home = Home(Path(folder) / "house")
        home.make()
        keys.make(home)
        postgres = Postgres(home)
        try:
            postgres.start()
            await stores.create(home, postgres, STORE)
            await _plant(postgres, rows)
            await _logs_as_with_replicas(postgres)
            yield Calls(home, postgres)
        finally:
            postgres.remove()


async def _logs_as_with_replicas(postgres: Postgres) -> None:
    """Else what is copied into a new table would not be logged at all."""
    admin = await postgres.connect()
    await admin.execute("ALTER SYSTEM SET wal_level = replica")
    await admin.close()
    postgres.stop()
    postgres.start()


async def _plant(postgres: Postgres, rows: int) -> None:
    """Months are filled before they are attached, so that their keys are built once, and by whoever made them, so that nothing is logged."""
    connection = await postgres.connect(stores.database(STORE))
    await stores.build(connection, STORE)
    await connection.execute("SET maintenance_work_mem = '256MB'")
    begin = datetime.fromisoformat(MONTH)
    async with connection.transaction():
        for table, (more, values) in _MORE.items():
            await connection.execute(f"CREATE TABLE {table}_month (LIKE {table} INCLUDING DEFAULTS)")
            await connection.execute(_PLANT.format(table=table, more=more, values=values), PRIVATE.id, begin, rows)
        for n, (number, calls) in enumerate((FOUND, ERASED), start=1):
            await connection.execute(_OF_ONE, number, rows // calls, n)
        for table in _MORE:
            await connection.execute(
                f"ALTER TABLE {table} ATTACH PARTITION {table}_month FOR VALUES FROM ('{MONTH}') TO ('{NEXT}')"
            )
        await connection.execute((stores.DDL / "calls_indexes.sql").read_text())
    await stores.finish(connection, STORE)
    await connection.execute("VACUUM (ANALYZE)")
    await connection.close()
    admin = await postgres.connect()
    await admin.execute(f"ALTER DATABASE {stores.database(STORE)} RENAME TO {_AS_PLANTED}")
    await admin.close()
