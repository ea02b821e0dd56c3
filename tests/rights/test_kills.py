"""SIGKILL of the rights worker and of the anonymizer at moments drawn from a seed, against a whole running house.

Deletions of many people run while one process after the other is killed and started again. Afterwards each step must have taken
effect exactly once: the stores' own journals, what the anonymizer and rights wrote in their ledgers, and the rows that are left
are three witnesses who do not know of each other.
"""

import asyncio
import random
import time
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
from sample.actors import Cast, Machine
from sample.cases import PRIVATE
from tests.conftest import house as empty_house

SEED = 20270115
WAVES, KILLS, PEOPLE = 3, 10, 6
VICTIMS = ("rights", "anonymizer")
RESUMED = 10.0
STORES = ("sample_billing", "sample_calls", "sample_helpdesk")


@pytest.fixture(scope="module")
def killed():
    """A house of its own: nobody else's tests should meet its corpses."""
    with empty_house() as home, Stack(home.path, sample=True, subscribers=60) as stack:
        yield stack


@dataclass
class Wave:
    """The requests that run while processes die."""

    stack: Stack
    helpdesk: Machine
    wardline: asyncpg.Connection
    requests: list[UUID]

    async def stands(self, *states: str) -> bool:
        found = await self.wardline.fetch("SELECT state FROM rights.request WHERE id = ANY ($1)", self.requests)
        return all(row["state"] in states for row in found)

    async def until(self, *states: str, seconds: float) -> float:
        """How long it took until all stood there."""
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            while not await self.stands(*states):
                await asyncio.sleep(0.05)
        return time.monotonic() - began


async def test_no_kill_loses_a_request_or_repeats_an_effect(killed: Stack):
    dice, offset = random.Random(SEED), timedelta(0)
    people = await _customers(killed, WAVES * PEOPLE)
    async with _connected(killed, "wardline") as wardline:
        asked: list[UUID] = []
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
            took = await wave.until("closed", seconds=60)
            assert took <= RESUMED, f"wave {number}: all was resumed only {took:.1f} s after the last start"
        steps = await wardline.fetch(
            "SELECT id, request, store, verb, state, round, tries, result FROM rights.request_step WHERE request = ANY ($1)", asked
        )
        await _each_step_took_effect_once(killed, wardline, steps)
    assert sum(step["tries"] - 1 for step in steps if step["state"] == "done") > 0, "no kill hit a step"


async def _each_step_took_effect_once(stack: Stack, wardline: asyncpg.Connection, steps: list[asyncpg.Record]) -> None:
    done = {step["id"] for step in steps if step["state"] == "done"}
    erased = {step["id"] for step in steps if step["verb"] == "erase" and step["state"] == "done"}
    assert all(step["state"] in ("done", "deferred", "failed") for step in steps)

    in_rights = await _told(wardline, "rights", "request.step_done")
    assert Counter(UUID(said["step"]) for said in in_rights if UUID(said["step"]) in done) == Counter(done)
    in_anonymizer = await _told(wardline, "anonymizer", "erasure.done")
    assert Counter(UUID(said["step"]) for said in in_anonymizer if UUID(said["step"]) in erased) == Counter(erased)

    previewed = {(step["request"], step["store"]): _counted(step) for step in steps if step["verb"] == "preview"}
    for database in STORES:
        store = database.removeprefix("sample_")
        async with _connected(stack, database) as there:
            journal = dict(await there.fetch("SELECT step, result FROM wardline.journal"))
        here = [step for step in steps if step["id"] in erased and step["store"] == store]
        assert {step["id"] for step in here} <= set(journal), f"{store} erased without writing it down"
        for step in (step for step in here if step["round"] == 1):
            assert _counted(step) == previewed[(step["request"], store)], f"{store} erased something else than was shown"


def _counted(step: asyncpg.Record) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for outcome in orjson.loads(step["result"])["outcomes"]:
        counts[(outcome["table"], outcome["action"])] += outcome["count"]
    return counts


async def _told(wardline: asyncpg.Connection, service: str, type: str) -> list[dict[str, Any]]:
    rows = await wardline.fetch(f"SELECT body FROM {service}.event WHERE type = $1", type)
    return [orjson.loads(row["body"])["data"] for row in rows]


async def _opened(stack: Stack, wardline: asyncpg.Connection, people: list[str], number: int) -> Wave:
    """Deletions asked for by ticket, previewed and confirmed."""
    cast = Cast(stack.home.path, stack.url("public"), stack.url("internal"))
    helpdesk = cast.machine("helpdesk")
    wave = Wave(stack, helpdesk, wardline, [])
    for place, customer in enumerate(people):
        ticket = {
            "ticket": f"K-{number}-{place}",
            "kind": "deletion",
            "identifiers": [{"type": "customer", "value": customer}],
            "evidence": {"method": "call_back"},
        }
        taken = await asyncio.to_thread(helpdesk.post, "/v1/tickets", ticket)
        wave.requests.append(UUID(taken.json()["request"]))
    await wave.until("previewed", seconds=60)
    for request in wave.requests:
        preview = await asyncio.to_thread(helpdesk.get, f"/v1/requests/{request}/preview")
        wish = {"preview": preview.json()["digest"]}
        await asyncio.to_thread(helpdesk.post, f"/v1/requests/{request}/confirm", wish)
    return wave


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
