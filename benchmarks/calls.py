"""A person with 100,000 calls in a table of a million: handed over, and erased, beside one statement that does only that.

The rows are planted into the sample operator's own store, among its partitions and indexes. Seven people have 100,000 each,
mingled with everybody else's, so that each erasure finds its person as scattered as a real one; after it as many rows of
others are added, and the table is a million rows again.
"""

import json
import time
from datetime import UTC, datetime
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvloop

from benchmarks.house import House
from benchmarks.requests import Desk
from benchmarks.row import ROUNDS, Row, watched
from sample.cases import PRIVATE
from sample.stores import DDL, database
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import StepRequest, StepState, Verb

ROWS, PERSONS = 1_000_000, 100_000
FIRST_PERSON = 46_740_000_000  # numbers and ids far from the sample's own
FIRST_OTHER = 46_741_000_000
FIRST_ID = 9_000_000_000_000
OTHERS = 3_000
PEOPLE = 1 + 2 * ROUNDS  # one to be handed over, two for each round of erasures

# Invoiced and paid long ago (billing knows no open invoice of these numbers): nothing obliges the operator to keep them.
_PLANT = """
INSERT INTO call_record (id, tenant, started_at, duration_ms, kind, caller, callee, area, invoice, withheld)
SELECT n, $1::uuid, $2::timestamptz + random() * ($3::timestamptz - $2::timestamptz), (random() * 900000)::bigint,
       (ARRAY['mobile_call', 'fixed_call', 'sms', 'data'])[1 + (random() * 3)::int],
       CASE WHEN n % 10 < $6::int THEN ($7::bigint + n % 10)::text ELSE ($8::bigint + (random() * $9)::int)::text END,
       ($8::bigint + (random() * $9)::int)::text, '01', 900000000000 + n % 27, false
FROM generate_series($4::bigint, $5::bigint) n"""
_MONTHS = """
SELECT min((regexp_match(pg_get_expr(relpartbound, oid), 'FROM \\(''([^'']+)'))[1]::timestamptz)
FROM pg_class WHERE relispartition AND relname LIKE 'call\\_record\\_%' AND relkind = 'r'"""
_INDEXES = ("caller", "callee", "started_at", "invoice")


def access_100k(house: House) -> Row:
    """From the request to the finished package, over all stores; its 100,000 calls as JSON, CSV and a page, encrypted twice."""
    person, desk = handed_person(house), Desk(house)
    ours, theirs = [], []
    with watched(house.pids("rights", "anonymizer")) as peak:
        for _ in range(ROUNDS):
            ours.append(desk.handed_over(person, rows=PERSONS))
            theirs.append(uvloop.run(_selected(house)))
    return Row(
        "access_100k",
        median(ours),
        median(theirs),
        "s",
        peak.highest,
        f"SELECT of the {PERSONS:,} rows and json.dumps in one process",
        {"growth_mb": peak.growth},
    )


def erase_100k(house: House) -> Row:
    """One erase step of the anonymizer: what may stay is decided for each row, holds are asked for, and the journal is written."""
    return uvloop.run(_erase_100k(house))


async def _erase_100k(house: House) -> Row:
    await _plant_once(house)
    ours, theirs = [], []
    with watched(house.pids("anonymizer")) as peak:
        for n in range(ROUNDS):
            ours.append(await erased(house, _person(house, 1 + 2 * n), uuid4()))
            await _refill(house)
            theirs.append(await _deleted(house, _number(2 + 2 * n)))
            if n < ROUNDS - 1:
                await _refill(house)
    return Row(
        "erase_100k",
        median(ours),
        median(theirs),
        "s",
        peak.highest,
        f"one DELETE of the {PERSONS:,} rows, same table",
        {"growth_mb": peak.growth},
    )


async def erased(house: House, person: UUID, step: UUID) -> float:
    """Seconds until the step is done; asked again while it runs."""
    async with house.tokens("rights") as tokens:
        anonymizer = AnonymizerClient(tokens.http, house.stack.url("anonymizer"), tokens)
        wish = StepRequest(verb=Verb.erase, store="calls", principal=person)
        await tokens.token("anonymizer", PRIVATE.id)
        began = time.perf_counter()
        while (result := await anonymizer.step(step, wish, tenant=PRIVATE.id)).state is StepState.running:
            pass
        seconds = time.perf_counter() - began
    gone = sum(outcome.count for outcome in result.outcomes if outcome.table == "call_record")
    if gone != PERSONS or any(outcome.action != "erase" for outcome in result.outcomes):
        raise RuntimeError(f"not all of {PERSONS} rows were erased: {result.outcomes}")
    return seconds


async def _deleted(house: House, number: str) -> float:
    connection = await _connect(house)
    began = time.perf_counter()
    done = await connection.execute("DELETE FROM call_record WHERE caller = $1", number)
    seconds = time.perf_counter() - began
    await connection.close()
    if done != f"DELETE {PERSONS}":
        raise RuntimeError(f"the reference did {done}")
    return seconds


async def _selected(house: House) -> float:
    connection = await _connect(house)
    try:
        return await selected(connection, _number(0), PERSONS)
    finally:
        await connection.close()


async def selected(connection: asyncpg.Connection, number: str, expected: int) -> float:
    """Seconds for the calls that a number made, as one JSON text."""
    began = time.perf_counter()
    rows = await connection.fetch("SELECT * FROM call_record WHERE caller = $1", number)
    json.dumps([dict(row) for row in rows], default=str)
    seconds = time.perf_counter() - began
    if len(rows) != expected:
        raise RuntimeError(f"the reference found {len(rows)} rows")
    return seconds


def handed_person(house: House) -> UUID:
    """Who has 100,000 calls and keeps them."""
    uvloop.run(_plant_once(house))
    return _person(house, 0)


# --- what is planted -----------------------------------------------------------------------------------------------------


def _number(n: int) -> str:
    return str(FIRST_PERSON + n)


def _person(house: House, n: int) -> UUID:
    with house.cast.machine("seeder", "internal", PRIVATE.id) as seeder:
        wish = {"identifiers": [{"type": "msisdn", "value": f"+{_number(n)}"}]}
        return UUID(seeder.post("/v1/principals", wish).json()["principal"])


async def _plant_once(house: House) -> None:
    connection = await _connect(house)
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM call_record WHERE id >= $1)", FIRST_ID):
        # Into a table without indexes, as the sample's own loader does.
        for column in _INDEXES:
            await connection.execute(f"DROP INDEX call_record_{column}_idx")
        await _plant(connection, ROWS, PEOPLE)
        indexes = (DDL / "calls_indexes.sql").read_text().splitlines()
        await connection.execute("\n".join(line for line in indexes if " on call_record " in line))
        await _settle(connection)
    await connection.close()


async def _refill(house: House) -> None:
    connection = await _connect(house)
    await _plant(connection, PERSONS, 0)
    await _settle(connection)
    await connection.close()


async def _plant(connection: asyncpg.Connection, count: int, people: int) -> None:
    since = await connection.fetchval(_MONTHS)
    first = await connection.fetchval("SELECT greatest(max(id) + 1, $1) FROM call_record", FIRST_ID)
    first += -first % 10
    values: list[Any] = [PRIVATE.id, since, datetime.now(UTC), first, first + count - 1]
    await connection.execute(_PLANT, *values, people, FIRST_PERSON, FIRST_OTHER, OTHERS)


async def _settle(connection: asyncpg.Connection) -> None:
    """Nobody pays for the rows planted, or erased, before."""
    await connection.execute("VACUUM (ANALYZE) call_record")
    await connection.execute("CHECKPOINT")


async def _connect(house: House) -> asyncpg.Connection:
    return await asyncpg.connect(**house.superuser(database("calls")))
