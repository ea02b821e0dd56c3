"""SIGKILL of the rights worker and of the anonymizer at moments drawn from a seed, against a whole running house.

Deletions of many people run while one process after the other is killed and started again. Afterwards each step must
have taken effect exactly once. The witnesses do not know of each other: what rights told in its ledger, what the
anonymizer told in its own, and triggers inside the stores, by which no row may have been changed in a transaction that
wrote no step into the store's journal.
"""

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from chassis import clock
from ops.stack import Stack
from sample.actors import Cast, Machine, Person
from sample.cases import PRIVATE
from tests.nordtel import running
from tests.patience import PATIENCE, busy

SEED = 20270115
WAVES, KILLS, PEOPLE = 3, 10, 4
VICTIMS = ("rights", "anonymizer")
RESUMED = 10.0
_STEPS = """
SELECT id, request, store, verb, state, round, tries FROM rights.request_step WHERE request = ANY ($1)"""
_WITNESS = """
CREATE TABLE public.witnessed (xact xid8, place text);
CREATE FUNCTION public.witness() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.witnessed VALUES (pg_current_xact_id(), TG_TABLE_SCHEMA);
    RETURN NULL;
END $$"""
_TABLES = """
SELECT oid::regclass::text AS name FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
AND relname <> 'witnessed'"""
_WITNESSED = """
SELECT count(*) FILTER (WHERE changed > 0 AND steps = 0), count(*) FILTER (WHERE steps > 1) FROM (
    SELECT count(*) FILTER (WHERE place = 'public') AS changed, count(*) FILTER (WHERE place = 'wardline') AS steps
    FROM public.witnessed GROUP BY xact
) transactions"""
_ELSEWHERE = "SELECT count(*) FROM rights.request WHERE id = ANY ($1) AND state <> $2"
_PROGRESS = """
SELECT r.id, sum(s.fence) FROM rights.request r JOIN rights.request_step s ON s.request = r.id
WHERE r.id = ANY ($1) AND r.state <> 'closed' GROUP BY r.id"""
STORES = ("sample_billing", "sample_calls", "sample_helpdesk")


@pytest.fixture(scope="module")
def killed():
    """A house of its own: nobody else's tests should meet its corpses."""
    with running() as nordtel:
        yield nordtel.stack


@dataclass
class Wave:
    """The requests that run while processes die."""

    stack: Stack
    wardline: asyncpg.Connection
    requests: list[UUID]

    async def until(self, state: str, seconds: float) -> None:
        """Until all requests stand there."""
        async with asyncio.timeout(seconds):
            while await self.wardline.fetchval(_ELSEWHERE, self.requests, state):
                await asyncio.sleep(0.05)

    async def resumed(self, seconds: float) -> None:
        """Until each request that is not closed yet went on from where the last kill left it."""
        before = dict(await self.wardline.fetch(_PROGRESS, self.requests))
        async with asyncio.timeout(seconds):
            while any(before[one] == now for one, now in await self.wardline.fetch(_PROGRESS, self.requests)):
                await asyncio.sleep(0.05)


async def test_no_kill_loses_a_request_or_repeats_an_effect(killed: Stack):
    dice, offset = random.Random(SEED), timedelta(0)
    people = await _customers(killed, WAVES * PEOPLE)
    async with _connected(killed, "wardline") as wardline:
        asked: list[UUID] = []
        await _watch(killed)
        for number in range(WAVES):
            wave = await _opened(killed, wardline, people[number * PEOPLE : (number + 1) * PEOPLE], number)
            asked += wave.requests
            offset += timedelta(hours=73)
            clock.set_offset(killed.home.clock, offset)
            for _ in range(KILLS):
                await asyncio.sleep(dice.uniform(0, 0.7))
                victim = dice.choice(VICTIMS)
                await asyncio.to_thread(killed.kill, victim)
                await asyncio.to_thread(killed.restart, victim)
            await wave.resumed(seconds=RESUMED * busy())
            await wave.until("closed", seconds=PATIENCE)
        steps = await _settled(wardline, asked)
        await _each_step_took_effect_once(killed, wardline, steps)
    assert sum(step["tries"] - 1 for step in steps if step["state"] == "done") > 0, "no kill hit a step"


async def _settled(wardline: asyncpg.Connection, asked: list[UUID]) -> list[asyncpg.Record]:
    """Every step, once the deferred ones that the moving clock woke are through as well."""
    async with asyncio.timeout(PATIENCE):
        while True:
            steps = await wardline.fetch(_STEPS, asked)
            if all(step["state"] in ("done", "deferred", "failed") for step in steps):
                return steps
            await asyncio.sleep(0.1)


async def _each_step_took_effect_once(stack: Stack, wardline: asyncpg.Connection, steps: list[asyncpg.Record]) -> None:
    done = {step["id"] for step in steps if step["state"] == "done"}
    erased = {step["id"] for step in steps if step["verb"] == "erase" and step["state"] == "done"}

    # What was deferred went on behind the closed requests as the clock moved; that is told in events of its own.
    first = {step["id"] for step in steps if step["id"] in done and step["round"] == 1}
    in_rights = await _told(wardline, "rights", "request.step_done")
    assert Counter(UUID(said["step"]) for said in in_rights if UUID(said["step"]) in first) == Counter(first)
    in_anonymizer = await _told(wardline, "anonymizer", "erasure.done")
    assert Counter(UUID(said["step"]) for said in in_anonymizer if UUID(said["step"]) in erased) == Counter(erased)

    for database in STORES:
        async with _connected(stack, database) as there:
            journal = {row["step"] for row in await there.fetch("SELECT step FROM wardline.journal")}
            unwritten, doubled = await there.fetchrow(_WITNESSED)
        here = {step["id"] for step in steps if step["id"] in erased and f"sample_{step['store']}" == database}
        assert here and here <= journal, f"{database} was erased from without writing it down"
        assert (unwritten, doubled) == (0, 0), f"{database} was changed outside a step, or for two steps at once"


async def _watch(stack: Stack) -> None:
    """Every change to a person's row, and every step written down, leaves the transaction it belonged to."""
    for database in STORES:
        async with _connected(stack, database) as there:
            await there.execute(_WITNESS)
            tables = [row["name"] for row in await there.fetch(_TABLES)]
            for table, when in [*((table, "DELETE OR UPDATE") for table in tables), ("wardline.journal", "INSERT")]:
                await there.execute(
                    f"CREATE TRIGGER witness AFTER {when} ON {table} FOR EACH ROW EXECUTE FUNCTION public.witness()"
                )


async def _told(wardline: asyncpg.Connection, service: str, type: str) -> list[dict[str, Any]]:
    rows = await wardline.fetch(f"SELECT body FROM {service}.event WHERE type = $1", type)
    return [orjson.loads(row["body"])["data"] for row in rows]


async def _opened(stack: Stack, wardline: asyncpg.Connection, people: list[str], number: int) -> Wave:
    """Deletions asked for by ticket, previewed and confirmed."""
    cast = Cast(stack.home.path, stack.url("public"), stack.url("internal"))
    with cast.machine("helpdesk") as helpdesk:
        wave = await _previewed(stack, wardline, helpdesk, people, number)
    for one in ("helpdesk", "privacy"):
        with cast.person(one) as staff:
            await _confirmed(staff, wave)
    return wave


async def _previewed(
    stack: Stack, wardline: asyncpg.Connection, helpdesk: Machine, people: list[str], number: int
) -> Wave:
    wave = Wave(stack, wardline, [])
    for place, customer in enumerate(people):
        ticket = {
            "ticket": f"K-{number}-{place}",
            "kind": "deletion",
            "identifiers": [{"type": "customer", "value": customer}],
            "evidence": {"method": "call_back"},
        }
        taken = await asyncio.to_thread(helpdesk.post, "/v1/tickets", ticket)
        wave.requests.append(UUID(taken.json()["request"]))
    await wave.until("previewed", seconds=PATIENCE)
    return wave


async def _confirmed(staff: Person, wave: Wave) -> None:
    for request in wave.requests:
        path = f"/staff/v1/requests/{request}"
        preview = await asyncio.to_thread(staff.get, f"{path}/preview")
        await asyncio.to_thread(staff.post, f"{path}/confirm", {"preview": preview.json()["digest"]})


async def _customers(stack: Stack, count: int) -> list[str]:
    """Subscribers nobody planted: the last ones."""
    async with _connected(stack, "sample_billing") as billing:
        rows = await billing.fetch(
            "SELECT customer_number FROM customer WHERE tenant = $1 ORDER BY id DESC LIMIT $2", PRIVATE.id, count
        )
    return [row["customer_number"] for row in rows]


@asynccontextmanager
async def _connected(stack: Stack, database: str):
    connection = await stack.postgres.connect(database)
    try:
        yield connection
    finally:
        await connection.close()
