"""SIGKILL, at moments drawn from a seed, against real processes: an erasure takes effect once, and is resumed soon.

The window between the effect in the store and its record here is real: disclosure, which is told in between, takes its time.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx2

from chassis.errors import Problem
from sample.cases import PRIVATE
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import FindPrincipal, Identifier, IdentifierType, StepRequest, StepResult, Verb
from tests.anonymizer.conftest import House, Speaking
from tests.patience import PATIENCE, busy
from tests.serving import told

KILLS = 15  # at moments; each place that is worth one has its own in `test_boundaries.py`
SEED = 20270115
RESUMED_WITHIN = 10.0
STORES = ("calls", "helpdesk", "authlog", "recordings", "calls")
ROOT = Path(__file__).parents[2]


class Victims:
    def __init__(self, house: House) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.anonymizer.victims"],
            cwd=ROOT,
            env=os.environ | told(house.settings),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def start(self, port: int, gates: str = "") -> int:
        print(port, gates, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.strip().isdigit():
                return int(line)
        raise AssertionError("the victims' parent died")


@contextmanager
def victims(house: House) -> Iterator[Victims]:
    running = Victims(house)
    try:
        yield running
    finally:
        running.process.stdin.close()
        running.process.wait(PATIENCE)
        running.process.stdout.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def until_done(client: AnonymizerClient, step: UUID, wish: StepRequest) -> StepResult:
    """As rights does: whatever comes back, the same step is asked again."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(Problem):
                return await client.step(step, wish, tenant=PRIVATE.id)
            await asyncio.sleep(0.05)


async def counted(house: House, store: str) -> int:
    """How many records the ordinary view of a store holds."""
    if store == "recordings":
        return len([path for path in (house.stores / store).rglob("*.json") if ".wardline" not in path.parts])
    if store == "authlog":
        return sum(len(path.read_bytes().splitlines()) for path in (house.stores / store).glob("*.jsonl"))
    tables = {
        "calls": ("call_record", "retained_call_record", "location_record"),
        "helpdesk": ("ticket", "email_message", "chat", "chat_message"),
    }[store]
    rows = await house.rows(
        store, "SELECT " + " + ".join(f"(SELECT count(*) FROM {table})" for table in tables) + " AS n"
    )
    return rows[0]["n"]


async def journalled(house: House, store: str, step: UUID) -> int:
    if store in ("recordings", "authlog"):
        return len(list((house.stores / store / ".wardline" / "journal").glob(f"{step}.json")))
    return len(await house.rows(store, "SELECT FROM wardline.journal WHERE step = $1", step))


async def test_an_erasure_whose_worker_is_killed_takes_effect_once_and_is_resumed(fresh_house: House):
    house, drawn, moments = fresh_house, random.Random(SEED), Counter()
    house.orders.slowness = 0.05
    with victims(house) as parent:
        port = free_port()
        client = AnonymizerClient(house.http, f"http://127.0.0.1:{port}", Speaking(house.issuer))
        victim = parent.start(port)
        for kill in range(KILLS):
            store, step = STORES[kill % len(STORES)], uuid4()
            customer = Identifier(type=IdentifierType.customer, value=f"K{1_001_001 + kill}")
            principal = await house.client.principal(FindPrincipal(identifiers=[customer]), tenant=PRIVATE.id)
            wish = StepRequest(verb=Verb.erase, store=store, principal=principal)
            before = await counted(house, store)
            await ready(client)

            asked = asyncio.create_task(until_done(client, step, wish))
            await asyncio.sleep(drawn.uniform(0, 0.3))
            os.kill(victim, signal.SIGKILL)
            killed_at, was_done = time.monotonic(), asked.done()
            effect = await journalled(house, store, step)
            moments["answered" if was_done else "between effect and record" if effect else "before the effect"] += 1
            victim = parent.start(port)
            result = await asked
            assert time.monotonic() - killed_at < RESUMED_WITHIN * busy()

            erased = sum(one.count for one in result.outcomes if one.action == "erase")
            assert before - await counted(house, store) == erased, (store, kill)
            assert await journalled(house, store, step) == 1
            assert await house.client.step(step, wish, tenant=PRIVATE.id) == result
            told = [one for one in house.orders.settlements if one["step"] == str(step)]
            assert told == [{"step": str(step), "store": store, "preserved": []}]
            events = [one for one in await house.events("erasure.done") if one["data"]["step"] == str(step)]
            assert len(events) == 1
    assert sum(moments.values()) == KILLS
    assert moments["before the effect"] and moments["between effect and record"], moments


async def ready(client: AnonymizerClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(httpx2.HTTPError):
                if (await client.http.get(f"{client.base_url}/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.02)
