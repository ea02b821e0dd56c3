"""People's requests in numbers: fifty small ones from intake to package, and ten thousand clocks looked after at once."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from uuid import UUID, uuid4

import asyncpg
import orjson
import uvloop

from benchmarks.house import House
from benchmarks.load import request
from benchmarks.row import ROUNDS, Row, watched
from chassis import clock
from chassis.db import Database
from ops.home import ROOT
from sample.cases import PRIVATE
from services.registry.books import read_book
from services.requests.rights.commands import clocks
from services.requests.rights.contract import Channel, Evidence, Kind, OpenRequest
from services.requests.rights.package import passphrase
from services.requests.rights.package.locked import header, key_from
from services.requests.rights.settings import Settings

REQUESTS, CLOCKS = 50, 10_000
FIRST_CUSTOMER = 1_001_001

_READY = "SELECT count(*) FROM rights.request WHERE id = ANY ($1) AND state = 'answered'"
_PLANT_REQUESTS = """
INSERT INTO rights.request (id, tenant, principal, kind, channel, language, state, received_at, recorded_at, due_on)
SELECT gen_random_uuid(), $1, gen_random_uuid(), 'access', 'portal', 'sv', 'deciding', $2, $2, $3
FROM generate_series(1, $4)"""
_PLANT_CLOCKS = """
INSERT INTO rights.request_clock (id, tenant, request, clock, party, received_on, period, due_on, next_at)
SELECT gen_random_uuid(), tenant, id, 'answer', 'operator', received_at::date, '1 month', due_on, $2
FROM rights.request WHERE tenant = $1"""
_REFERENCE = """
CREATE TEMPORARY TABLE reference AS SELECT e.id, convert_from(e.body, 'UTF8')::text AS body FROM rights.event e LIMIT 0;
INSERT INTO reference SELECT gen_random_uuid(), repeat('x', 400) FROM generate_series(1, 10000)"""


def requests_50(house: House) -> Row:
    """All at once: opened, read from every store, built into a locked package, certified. Their passphrases are drawn by the house
    (decision 0016); the reference is what people's own words would cost in key derivations alone, on as many threads as rights uses."""
    people = [_customer(house, n) for n in range(REQUESTS)]
    with watched(house.pids("rights", "anonymizer")) as peak:
        ours = [uvloop.run(_asked(house, people)) for _ in range(ROUNDS)]
    theirs = [_derived() for _ in range(ROUNDS)]
    return Row(
        "requests_50",
        REQUESTS / median(ours),
        REQUESTS / median(theirs),
        "requests/s",
        peak.highest,
        f"{REQUESTS} key derivations from people's own words (PBKDF2) alone",
        {"growth_mb": peak.growth},
    )


def clocks_10k(house: House) -> Row:
    """One look at 10,000 open requests whose reminders are all due: found, written down, and each told in the ledger."""
    return uvloop.run(_clocks_10k(house))


async def _clocks_10k(house: House) -> Row:
    office, ours, theirs = SimpleNamespace(book=read_book(ROOT / "policy" / "book.yaml")), [], []
    settings = Settings(
        environment="development",
        home=house.home.path,
        secrets_dir=house.home.secrets("rights"),
        issuer="none",
        jwks_url="none",
        database_host=str(house.stack.postgres.socket_dir),
        clock_file=Path("/nowhere"),
    )
    database = Database(settings, "rights")
    connection = await asyncpg.connect(**house.superuser())
    try:
        for _ in range(ROUNDS):
            tenant, now = uuid4(), clock.now()
            # Every clock has a notice to give, and another one after it. They are due in an hour, and only this process's
            # clock is later than that: the house's own tick leaves them alone.
            due = (now + timedelta(days=2)).date()
            await connection.execute(_PLANT_REQUESTS, tenant, now, due, CLOCKS)
            await connection.execute(_PLANT_CLOCKS, tenant, now + timedelta(hours=1))
            await connection.execute("ANALYZE rights.request_clock")
            clock_of_bench = now + timedelta(hours=2)
            ours.append(await _swept(database, office, tenant, clock_of_bench))
            began = time.perf_counter()
            await connection.execute(_REFERENCE)
            theirs.append(time.perf_counter() - began)
            await connection.execute("DROP TABLE reference")
            await connection.execute("UPDATE rights.request_clock SET ended_at = next_at WHERE tenant = $1", tenant)
    finally:
        await connection.close()
        await database.close()
    return Row(
        "clocks_10k",
        median(ours),
        median(theirs),
        "s",
        0,
        f"one INSERT … SELECT of {CLOCKS:,} rows of an event's size",
    )


async def _swept(database: Database, office: SimpleNamespace, tenant: UUID, now) -> float:
    shifted = now - clock.now()
    real, clock.now = clock.now, lambda: real() + shifted
    try:
        began = time.perf_counter()
        async with database.system() as connection:
            due = [whose for (whose,) in await connection.fetch(clocks.DUE, clock.now())]
        async with database.transaction(tenant) as tx:
            told = await clocks.tell(tx, office)
        seconds = time.perf_counter() - began
    finally:
        clock.now = real
    if due != [tenant] or told != CLOCKS:
        raise RuntimeError(f"{told} of {CLOCKS} clocks were told of")
    return seconds


async def _asked(house: House, people: list[UUID]) -> float:
    """Who opens a request for somebody may not read it, so the answers are counted where they are written. Who asks should cost less
    than who answers: what is sent is written before the clock runs."""
    connection = await asyncpg.connect(**house.superuser())
    try:
        async with house.tokens("helpdesk") as tokens:
            token = await tokens.token("rights")
        messages, port = [_opening(token, person) for person in people], house.port("rights")
        began = time.perf_counter()
        requests = await asyncio.gather(*(_opened(port, message) for message in messages))
        while await connection.fetchval(_READY, requests) < len(requests):
            await asyncio.sleep(0.02)
        return time.perf_counter() - began
    finally:
        await connection.close()


def _opening(token: str, person: UUID) -> bytes:
    wish = OpenRequest(
        kind=Kind.access,
        principal=person,
        channel=Channel.telephone,
        evidence=Evidence(method="call_back"),
        passphrase=passphrase.draw(),
    )
    headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}
    return request("POST", "/v1/requests", headers, wish.model_dump_json().encode())


async def _opened(port: int, message: bytes) -> UUID:
    """Over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()
    if head.split()[1] != b"201":
        raise RuntimeError(f"a request was answered by {head.split()[1].decode()}")
    return UUID(orjson.loads(body)["request"])


def _derived() -> float:
    how = header(uuid4(), passphrase.STRETCHED)
    began = time.perf_counter()
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda n: key_from(f"passphrase {n}", how), range(REQUESTS)))
    return time.perf_counter() - began


def _customer(house: House, n: int) -> UUID:
    with house.cast.machine("seeder", "internal", PRIVATE.id) as seeder:
        wish = {"identifiers": [{"type": "customer", "value": f"K{FIRST_CUSTOMER + n}"}]}
        return UUID(seeder.post("/v1/principals", wish).json()["principal"])
