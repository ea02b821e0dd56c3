"""A withdrawal in the middle of a call: how long until its call server is told to stop recording, while everybody else goes on.

`python -m benchmarks.recording` is the load, in a process of its own: consents and decisions of other people, sent by the clock.
"""

import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import uvloop

from benchmarks.consent import consent, known_people, question
from benchmarks.house import House
from benchmarks.load import load
from benchmarks.row import Row, watched
from chassis.client import TokenSource
from chassis.ids import new_id
from ops.home import ROOT
from services.consent.client import ConsentClient
from services.consent.contract import (
    CallParty,
    GiveConsent,
    NoticePurpose,
    PublishNotice,
    StartCall,
    WithdrawConsent,
    Words,
)

CALLS, PER_SECOND = 300, 15.0
WRITES, DECISIONS = 150.0, 700.0
_PATIENCE = 20.0


def recording_stop(house: House) -> Row:
    """Milliseconds from sending the withdrawal to `recording.stop` at the call server's own address, of a hundred the slowest."""
    return uvloop.run(_recording_stop(house))


async def _recording_stop(house: House) -> Row:
    tenant = uuid4()
    async with house.tokens("seeder") as people, house.tokens("callserver") as server, _receiver() as heard:
        client = ConsentClient(people.http, house.stack.url("consent"), people)
        calls = await _calls(client, ConsentClient(server.http, house.stack.url("consent"), server), tenant)
        await _subscribe(house, server, tenant, heard.url)
        following = asyncio.create_task(_follow(house, server, tenant, heard.changes))
        with _load_of(await _others(house)) as others, watched(house.pids("consent", "webhooks")) as peak:
            await asyncio.sleep(2)
            sent = await _withdrawn(client, tenant, calls)
            await _all_told(heard, sent)
        if others.returncode:
            raise RuntimeError("the load ended before its time")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    by_webhook = [heard.webhooks[call] - at for call, at in sent.items()]
    by_feed = [heard.changes[call] - at for call, at in sent.items()]
    return Row(
        "recording_stop",
        _percent(by_webhook, 99),
        _percent(by_feed, 99),
        "ms",
        peak.highest,
        "the same on `GET /v1/changes`, which a call server's cache waits at",
        {
            "p50_ms": _percent(by_webhook, 50),
            "slowest_ms": max(by_webhook) * 1000,
            "feed_p50_ms": _percent(by_feed, 50),
            "feed_slowest_ms": max(by_feed) * 1000,
            "calls": len(sent),
            "consents_per_s": WRITES,
            "decisions_per_s": DECISIONS,
        },
    )


async def _calls(people: ConsentClient, server: ConsentClient, tenant: UUID) -> dict[UUID, UUID]:
    """Calls that are recorded, by the party who is going to withdraw; both agreed before."""
    words = Words(title="Samtal", body="Vi spelar in.", rights="Du kan återkalla.", consequence="Ingen.")
    notice = PublishNotice(
        notice="calls",
        channel="ivr",
        texts={"sv": words},
        controller="AB",
        purposes=[NoticePurpose(purpose="communication", categories=["recorded_call"])],
        withdrawal_url="https://operator.example/consents",
    )
    await people.publish_notice(tenant, notice, f"calls-{tenant}")
    agent, calls = new_id(), {}
    for who in (agent, *(new_id() for _ in range(CALLS))):
        wish = GiveConsent(purpose="communication", notice="calls", notice_version=1, principal=who)
        await people.give(tenant, wish, str(uuid4()))
        if who != agent:
            parties = [CallParty(principal=who, role="caller"), CallParty(principal=agent, role="agent")]
            begun = await server.start_call(tenant, StartCall(call=uuid4(), participants=parties), str(uuid4()))
            if not begun.recording:
                raise RuntimeError(f"a call is not recorded: {begun.reason}")
            calls[who] = begun.call
    return calls


async def _withdrawn(client: ConsentClient, tenant: UUID, calls: dict[UUID, UUID]) -> dict[str, float]:
    """When each withdrawal was sent, by its call."""
    sent, asked = {}, []
    for who, call in calls.items():
        sent[str(call)] = time.perf_counter()
        wish = WithdrawConsent(purpose="communication", principal=who)
        asked.append(asyncio.create_task(client.withdraw(tenant, wish, str(uuid4()))))
        await asyncio.sleep(1 / PER_SECOND)
    await asyncio.gather(*asked)
    return sent


async def _all_told(heard: "Heard", sent: dict[str, float]) -> None:
    async with asyncio.timeout(_PATIENCE):
        while sent.keys() - heard.webhooks.keys() or sent.keys() - heard.changes.keys():
            await asyncio.sleep(0.1)


def _percent(took: list[float], percent: int) -> float:
    return statistics.quantiles(took, n=100)[percent - 1] * 1000


# --- the call server -----------------------------------------------------------------------------------------------------


class Heard:
    """When each call's stop came, by either way."""

    def __init__(self) -> None:
        self.url = ""
        self.webhooks: dict[str, float] = {}
        self.changes: dict[str, float] = {}


@asynccontextmanager
async def _receiver() -> AsyncIterator[Heard]:
    heard = Heard()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
                told = json.loads(await reader.readexactly(length))
                heard.webhooks.setdefault(told["data"]["call"], time.perf_counter())
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    heard.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield heard


async def _subscribe(house: House, tokens: TokenSource, tenant: UUID, url: str) -> None:
    headers = {"authorization": f"Bearer {await tokens.token('webhooks', tenant)}", "idempotency-key": str(uuid4())}
    wanted = {"url": url, "types": ["recording.stop"]}
    answer = await tokens.http.post(f"{house.stack.url('webhooks')}/v1/endpoints", json=wanted, headers=headers)
    answer.raise_for_status()


async def _follow(house: House, tokens: TokenSource, tenant: UUID, stopped: dict[str, float]) -> None:
    """As a cache does: one long poll after the other."""
    after = 0
    async with httpx2.AsyncClient(base_url=house.stack.url("consent"), timeout=30, trust_env=False) as http:
        while True:
            headers = {"authorization": f"Bearer {await tokens.token('consent', tenant)}"}
            page = (await http.get("/v1/changes", params={"after": after, "wait": 10}, headers=headers)).json()
            now, after = time.perf_counter(), int(page["next"])
            for item in page["items"]:
                if item["type"] == "recording.stop":
                    stopped.setdefault(item["data"]["call"], now)


# --- the load ------------------------------------------------------------------------------------------------------------


async def _others(house: House) -> dict[str, Any]:
    """Other people of another organisation, and by which tokens the load speaks of them."""
    tenant = uuid4()
    asking, people = await known_people(house, tenant, "consent")
    async with house.tokens("seeder") as tokens:
        writing = await tokens.token("consent", tenant)
    return {"port": house.port("consent"), "people": list(map(str, people)), "asking": asking, "writing": writing}


def _load_of(told: dict[str, Any]) -> subprocess.Popen:
    """`with` waits for its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.recording"], cwd=ROOT, stdin=subprocess.PIPE, text=True
    )
    process.stdin.write(json.dumps(told))
    process.stdin.close()
    process.stdin = None
    return process


async def _load(told: dict[str, Any]) -> None:
    seconds = CALLS / PER_SECOND + 4
    writes = (consent(told["writing"]) for _ in itertools.count())
    asked = itertools.cycle([question(told["asking"], UUID(each)) for each in told["people"]])
    port = told["port"]
    await asyncio.gather(
        load(port, writes, status=201, connections=16, seconds=seconds, rate=WRITES),
        load(port, asked, status=200, connections=16, seconds=seconds, rate=DECISIONS),
    )


if __name__ == "__main__":
    uvloop.run(_load(json.load(sys.stdin)))
