"""How fast decisions and consents are, beside what the same server settings and the same database could do at most."""

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import httpx2
import uvloop

from benchmarks.house import House, reference
from benchmarks.load import Load, load, request
from benchmarks.row import ROUNDS, Row, cpu_seconds, watched
from chassis.client import TokenSource
from chassis.ids import new_id
from ops.home import ROOT
from services.consent.client import ConsentClient
from services.consent.contract import GiveConsent, NoticePurpose, PublishNotice, Words

PATH = "/access/v1/evaluation"
SECONDS, CONNECTIONS = 2.0, 32
PEOPLE = 500
# Three legal bases: one that asks what the person said, two that do not.
ASKED = (("development", "traffic"), ("maintaining_service", "traffic"), ("communication", "helpdesk_email"))


def decision_http(house: House) -> Row:
    """Decisions a second by one consent process, and their latency at half of that."""
    return uvloop.run(_decision_http(house))


def consent_write(house: House) -> Row:
    """Consents given a second by one consent process: idempotent, with a signed receipt, durable, on their way into the ledger."""
    return uvloop.run(_consent_write(house))


def gateway_added(house: House) -> Row:
    """What the public edge adds to one decision, asked one after the other."""
    return uvloop.run(_gateway_added(house))


async def _decision_http(house: House) -> Row:
    tenant = uuid4()
    questions = await _questions(house, tenant, "consent")
    ours, theirs = [], []
    with reference("hello") as (port, pid), watched(house.pids("consent")) as peak:
        hello = itertools.repeat(request("GET", "/", {}))
        for _ in range(ROUNDS):
            ours.append(await asked(house.port("consent"), questions, servers=house.pids("consent")))
            theirs.append(await asked(port, hello, servers=[pid]))
    # By itself: reading how much memory a process has stops it for a moment, and the reference would share its processor.
    fastest = median(seen.per_second for seen in ours)
    half = await asked(house.port("consent"), questions, rate=fastest / 2)
    return Row(
        "decision_http",
        fastest,
        median(seen.per_second for seen in theirs),
        "decisions/s",
        peak.highest,
        "FastAPI hello world, same uvicorn settings",
        {
            "half_load_per_s": half.per_second,
            "half_load_p50_ms": half.milliseconds(50),
            "half_load_p99_ms": half.milliseconds(99),
            "cpu_ms": median(seen.cost for seen in ours) * 1000,
            "cpu_ms_reference": median(seen.cost for seen in theirs) * 1000,
            "generator_cpu": median(seen.cpu for seen in ours),
            "generator_cpu_reference": median(seen.cpu for seen in theirs),
        },
    )


async def _consent_write(house: House) -> Row:
    tenant = uuid4()
    async with house.tokens("seeder") as tokens:
        await publish(house, tokens, tenant)
        token = await tokens.token("consent", tenant)
    await _make_tables(house)
    wishes = (consent(token) for _ in itertools.count())
    rows = (_two_rows_asked() for _ in itertools.count())
    ours, theirs, http, shares = [], [], [], []
    dsn = {"BENCH_DSN": json.dumps(house.superuser())}
    with reference("two_rows_http", **dsn) as (port, pid), watched(house.pids("consent")) as peak:
        for _ in range(ROUNDS):
            before = cpu_seconds([house.stack.postgres.pid()])
            ours.append(await asked(house.port("consent"), wishes, status=201, servers=house.pids("consent")))
            between = cpu_seconds([house.stack.postgres.pid()])
            theirs.append(_two_rows(dsn))
            after = cpu_seconds([house.stack.postgres.pid()])
            shares.append(((between - before) / ours[-1].all_of_it, (after - between) / (theirs[-1][0] * SECONDS)))
            http.append(await asked(port, rows, status=201, servers=[pid]))
    return Row(
        "consent_write",
        median(seen.per_second for seen in ours),
        median(per_second for per_second, _ in theirs),
        "writes/s",
        peak.highest,
        f"a two-row asyncpg transaction without HTTP, same database, {CONNECTIONS} at once",
        {
            "p50_ms": median(seen.milliseconds(50) for seen in ours),
            "p99_ms": median(seen.milliseconds(99) for seen in ours),
            "cpu_ms": median(seen.cost for seen in ours) * 1000,
            "cpu_ms_reference": median(cost for _, cost in theirs) * 1000,
            "database_cpu_ms": median(share for share, _ in shares) * 1000,
            "database_cpu_ms_reference": median(share for _, share in shares) * 1000,
            "fastapi_two_rows_per_s": median(seen.per_second for seen in http),
            "fastapi_two_rows_cpu_ms": median(seen.cost for seen in http) * 1000,
            "generator_cpu": median(seen.cpu for seen in ours),
        },
    )


async def _gateway_added(house: House) -> Row:
    tenant = uuid4()
    through, direct = await _questions(house, tenant, "public"), await _questions(house, tenant, "consent")
    ours, theirs = [], []
    with watched(house.pids("public")) as peak:
        for _ in range(ROUNDS):
            ours.append(await asked(house.port("public"), through, connections=1))
            theirs.append(await asked(house.port("consent"), direct, connections=1))
    added = [edge.milliseconds(50) - bare.milliseconds(50) for edge, bare in zip(ours, theirs, strict=True)]
    return Row(
        "gateway_added",
        median(added),
        median(seen.milliseconds(50) for seen in theirs),
        "ms",
        peak.highest,
        "the same decision asked of the consent service directly",
        {"p99_ms": median(seen.milliseconds(99) for seen in ours)},
    )


async def asked(
    port: int,
    requests: Iterator[bytes],
    *,
    status: int = 200,
    connections: int = CONNECTIONS,
    rate: float | None = None,
    servers: Iterable[int] = (),
) -> Load:
    """`servers`: the processes whose time each answer takes."""
    warming = await load(port, requests, status=status, connections=connections, seconds=0.3)
    before = cpu_seconds(servers)
    seen = await load(port, requests, status=status, connections=connections, seconds=SECONDS, rate=rate)
    seen.cost = (cpu_seconds(servers) - before) / len(seen.took)
    seen.all_of_it = len(warming.took) + len(seen.took)
    return seen


def _two_rows(dsn: dict[str, str]) -> tuple[float, float]:
    """(how many a second, seconds of a core each took in the process that asked)"""
    command = [sys.executable, "-m", "benchmarks.reference", "two_rows", str(SECONDS), str(CONNECTIONS)]
    said = subprocess.run(command, cwd=ROOT, env=os.environ | dsn, check=True, stdout=subprocess.PIPE).stdout.split()
    return float(said[0]), float(said[1])


async def _make_tables(house: House) -> None:
    admin = await house.stack.postgres.connect("wardline")
    for table in ("bench_one", "bench_other"):
        await admin.execute(f"CREATE TABLE IF NOT EXISTS {table} (id uuid PRIMARY KEY, said text)")
    await admin.close()


# --- what is sent --------------------------------------------------------------------------------------------------------


async def _questions(house: House, tenant: UUID, audience: str) -> Iterator[bytes]:
    token, people = await known_people(house, tenant, audience)
    return itertools.cycle([question(token, each) for each in people])


async def known_people(house: House, tenant: UUID, audience: str) -> tuple[str, list[UUID]]:
    """People of whom each has given her consent, and a token by which to ask about them."""
    people = [new_id() for _ in range(PEOPLE)]
    async with house.tokens("seeder") as tokens:
        client = await publish(house, tokens, tenant)
        for person in people:
            await client.give(tenant, _wish(person), str(uuid4()))
    async with house.tokens("callserver") as tokens:
        return await tokens.token(audience, tenant), people


def asked_of(person: UUID) -> dict[str, Any]:
    purpose, category = random.choice(ASKED)
    return {
        "subject": {"type": "principal", "id": str(person)},
        "action": {"name": purpose},
        "resource": {"type": category, "id": "any"},
    }


async def publish(house: House, tokens: TokenSource, tenant: UUID, since: datetime | None = None) -> ConsentClient:
    client = ConsentClient(tokens.http, house.stack.url("consent"), tokens)
    words = Words(title="Trafik", body="Vi utvecklar.", rights="Du kan återkalla.", consequence="Ingen.")
    notice = PublishNotice(
        notice="development",
        channel="web",
        texts={"sv": words},
        controller="AB",
        purposes=[NoticePurpose(purpose="development", categories=["traffic"])],
        withdrawal_url="https://operator.example/consents",
        valid_from=since,
    )
    try:
        await client.publish_notice(tenant, notice, f"notice-{tenant}")
    except httpx2.HTTPError as failure:
        raise RuntimeError("the consent service does not answer") from failure
    return client


def _wish(person: UUID) -> GiveConsent:
    return GiveConsent(purpose="development", notice="development", notice_version=1, principal=person)


def question(token: str, person: UUID) -> bytes:
    return request("POST", PATH, {"authorization": f"Bearer {token}"}, json.dumps(asked_of(person)).encode())


def _two_rows_asked() -> bytes:
    return request("POST", "/", {}, json.dumps({"id": str(new_id())}).encode())


def consent(token: str) -> bytes:
    headers = {"authorization": f"Bearer {token}", "idempotency-key": str(new_id())}
    return request("POST", "/v1/consents", headers, _wish(new_id()).model_dump_json().encode())
