"""Decisions by the hundred and by more processes, and what a million people cost a decision point in memory and at its start."""

import asyncio
import itertools
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from uuid import UUID, uuid4

import uvloop

from benchmarks.consent import CONNECTIONS, PATH, SECONDS, asked, asked_of, known_people
from benchmarks.house import House, reference
from benchmarks.load import load, request
from benchmarks.row import ROUNDS, Row, cpu_seconds, watched
from chassis.ids import new_id
from chassis.ledger import events
from ops import memory
from services.consent import image
from services.consent.contract import Kind, Regulation, State
from services.consent.memory import PARTS, Memory
from services.consent.rules import Matter

BATCH = 100
PEOPLE, MATTERS = 1_000_000, 16
KINDS_OF_PEOPLE = 2_000
_SINCE = 45_000  # entries after the image: nearly as many as there can be before the next one is taken


def decision_batch(house: House) -> Row:
    """A hundred questions in each request, every one spelled out in full, at two consent processes."""
    return uvloop.run(_decision_batch(house))


def decision_scaling(house: House) -> Row:
    """Single decisions by two consent processes, beside one."""
    return uvloop.run(_decision_scaling(house))


def consent_memory(house: House) -> Row:
    """What a consent process grows by when it holds a million people who each spoke on sixteen matters."""
    return _with_a_million(house)[0]


def consent_start(house: House) -> Row:
    """From the order to start a consent process to its readiness, with those people and the entries since the last image."""
    return _with_a_million(house)[1]


async def _decision_batch(house: House) -> Row:
    token, people = await known_people(house, uuid4(), "consent")
    bodies = [
        json.dumps({"evaluations": [asked_of(person) for person in random.sample(people, BATCH)]}).encode()
        for _ in range(50)
    ]
    headers = {"authorization": f"Bearer {token}"}
    batches = itertools.cycle([request("POST", "/access/v1/evaluations", headers, body) for body in bodies])
    both, ones, theirs = [], [], []
    with _second(house) as names, reference("json") as (port, pid), watched(house.pids(*names)) as peak:
        for _ in range(ROUNDS):
            both.append(await _at_all(house, names, batches))
            ones.append(await _at_all(house, names[:1], batches))
            theirs.append(await asked(port, batches, connections=CONNECTIONS, servers=[pid]))
    one = _middle(ones)
    return Row(
        "decision_batch",
        _middle(both).per_second * BATCH,
        median(seen.per_second for seen in theirs) * BATCH,
        "decisions/s",
        peak.highest,
        "one process that reads the JSON of the questions and writes that of as many answers, in pure ASGI",
        {
            "one_process_per_s": one.per_second * BATCH,
            "cpu_us": one.cost / BATCH * 1_000_000,
            "cpu_us_reference": median(seen.cost for seen in theirs) / BATCH * 1_000_000,
            "generator_cpu": _middle(both).generator,
        },
    )


async def _decision_scaling(house: House) -> Row:
    token, people = await known_people(house, uuid4(), "consent")
    headers = {"authorization": f"Bearer {token}"}
    questions = itertools.cycle(
        [request("POST", PATH, headers, json.dumps(asked_of(each)).encode()) for each in people]
    )
    both, ones = [], []
    with _second(house) as names, watched(house.pids(*names)) as peak:
        for _ in range(ROUNDS):
            both.append(await _at_all(house, names, questions))
            ones.append(await _at_all(house, names[:1], questions))
    return Row(
        "decision_scaling",
        _middle(both).per_second,
        _middle(ones).per_second,
        "decisions/s",
        peak.highest,
        "one process",
        {
            "cpu_ms": _middle(both).cost * 1000,
            "cpu_ms_reference": _middle(ones).cost * 1000,
            "generator_cpu": _middle(both).generator,
        },
    )


@contextmanager
def _second(house: House) -> Iterator[list[str]]:
    """One more consent process: the names of both."""
    house.stack.replica("consent", "consent-2")
    try:
        yield ["consent", "consent-2"]
    finally:
        house.stack.end("consent-2")


@dataclass(frozen=True)
class _Seen:
    """Of all processes together: answers a second, seconds of a core that one cost them, and how busy the generator was."""

    per_second: float
    cost: float
    generator: float


def _middle(seen: list[_Seen]) -> _Seen:
    return sorted(seen, key=lambda each: each.per_second)[len(seen) // 2]


async def _at_all(house: House, names: list[str], questions: Iterator[bytes]) -> _Seen:
    ports, at_once = [house.port(name) for name in names], CONNECTIONS // len(names)
    await asyncio.gather(*(load(port, questions, status=200, connections=at_once, seconds=0.3) for port in ports))
    before, busy, began = cpu_seconds(house.pids(*names)), time.process_time(), time.perf_counter()
    seen = await asyncio.gather(
        *(load(port, questions, status=200, connections=at_once, seconds=SECONDS) for port in ports)
    )
    cost = (cpu_seconds(house.pids(*names)) - before) / sum(len(each.took) for each in seen)
    generator = (time.process_time() - busy) / (time.perf_counter() - began)
    return _Seen(sum(each.per_second for each in seen), cost, generator)


# --- a million people ----------------------------------------------------------------------------------------------------

_measured: tuple[Row, Row] | None = None


def _with_a_million(house: House) -> tuple[Row, Row]:
    """Both rows come from the same starts, so they are taken once."""
    global _measured
    if _measured is None:
        before = median(_started(house)[1] for _ in range(ROUNDS))
        said = uvloop.run(_plant(house))
        fetched = median(uvloop.run(_fetched(house)) for _ in range(ROUNDS))
        starts = [_started(house) for _ in range(ROUNDS)]
        uvloop.run(_unplant(house))
        uvloop.run(_plant_standing(house))
        without = median(_started(house)[0] for _ in range(ROUNDS))
        uvloop.run(_unplant_standing(house))
        held = median(megabytes for _, megabytes in starts)
        more = {"megabytes_before": before, "image_mb": said, "matters_each": MATTERS}
        _measured = (
            Row(
                "consent_memory",
                held - before,
                PEOPLE * (16 + MATTERS * 8) / 1e6,
                "MB",
                held,
                "16 bytes for each id and 8 for each instant, nothing else",
                more,
            ),
            Row(
                "consent_start",
                median(seconds for seconds, _ in starts),
                fetched,
                "s",
                held,
                "SELECT of as many bytes from the same table",
                {
                    "entries_since_the_image": _SINCE,
                    "image_mb": said,
                    "without_an_image_s": without,
                    "rows_of_standing": PEOPLE,
                },
            ),
        )
    return _measured


def _started(house: House) -> tuple[float, float]:
    """(seconds until it was ready, megabytes it then takes)"""
    began = time.perf_counter()
    house.stack.restart("consent")
    seconds = time.perf_counter() - began
    return seconds, memory.pss_megabytes(house.pids("consent")) or 0.0


async def _plant(house: House) -> float:
    """An image of a million people at the ledger's present end, then entries after it. How many megabytes the image has."""
    admin = await house.stack.postgres.connect("wardline")
    position = await admin.fetchval("SELECT coalesce(max(position), 0) FROM consent.ledger_entry")
    index, parts = _million()
    put = "INSERT INTO consent.memory_image (part, position, body) VALUES ($1, $2, $3)"
    async with admin.transaction():
        await admin.execute("DELETE FROM consent.memory_image")
        await admin.execute(put, 0, position, bytes([image.FORMAT]) + index)
        for n, part in enumerate(parts, 1):
            await admin.execute(put, n, position, part)
    async with admin.transaction():
        facts = [_event(UUID(int=1), new_id(), n % MATTERS) for n in range(_SINCE)]
        await admin.execute(*events.inserting("consent", facts))
    while await admin.fetchval("SELECT coalesce(max(position), 0) FROM consent.ledger_entry") < position + _SINCE:
        await asyncio.sleep(0.1)
    await admin.close()
    return (len(index) + sum(map(len, parts))) / 1e6


async def _unplant(house: House) -> None:
    admin = await house.stack.postgres.connect("wardline")
    await admin.execute("DELETE FROM consent.memory_image")
    await admin.close()


_STANDING = """
INSERT INTO consent.standing (tenant, principal, kind, regulation, purpose, statement, state, occurred_at, notice, notice_version,
                              valid_until)
SELECT $1, gen_random_uuid(), 'consent', 'gdpr', 'purpose_' || n % $2, gen_random_uuid(), 'given', said, 'notice', 1,
       date_trunc('day', said) + interval '900 days'
FROM generate_series(1, $3::int) n, LATERAL (SELECT timestamptz '2025-06-01' + n * interval '1 second' AS said) at_some_time"""
_PLANTED = UUID(int=2)


async def _plant_standing(house: House) -> None:
    """As many people, of whom each spoke on one matter, and no image: what counts is read row by row."""
    admin = await house.stack.postgres.connect("wardline")
    await admin.execute(_STANDING, _PLANTED, MATTERS, PEOPLE)
    await admin.execute("ANALYZE consent.standing")
    await admin.close()


async def _unplant_standing(house: House) -> None:
    admin = await house.stack.postgres.connect("wardline")
    await admin.execute("DELETE FROM consent.standing WHERE tenant = $1", _PLANTED)
    await admin.execute("DELETE FROM consent.memory_image")
    await admin.close()


async def _fetched(house: House) -> float:
    admin = await house.stack.postgres.connect("wardline")
    began = time.perf_counter()
    await admin.fetch("SELECT body FROM consent.memory_image ORDER BY part")
    seconds = time.perf_counter() - began
    await admin.close()
    return seconds


def _million() -> tuple[bytes, list[bytes]]:
    """Some people who said everything at instants of their own, as the memory itself keeps them, and copies of them under other ids."""
    held = Memory()
    tenant = uuid4()
    for person in range(KINDS_OF_PEOPLE):
        for n in range(MATTERS):
            fact = _event(tenant, UUID(int=person + 1), n)
            held.apply(1, events.Event.read(fact.body, 1))
    rows = [bucket[at + 16 : at + shape.size] for bucket in held._buckets for at, shape in held._rows(bucket)]
    many = Memory()
    crowd: list[list[bytes]] = [[] for _ in many._buckets]
    for n in range(PEOPLE):
        id = os.urandom(16)
        crowd[(id[13] & 1) << 16 | id[14] << 8 | id[15]].append(id + rows[n % len(rows)])
    many._buckets = list(map(b"".join, crowd))
    return held.index(), [many.part(n) for n in range(PARTS)]


def _event(tenant: UUID, person: UUID, n: int) -> events.Composed:
    said = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=random.random() * 3e7)
    midnight = (said + timedelta(days=731)).replace(hour=22, minute=0, second=0, microsecond=0)
    matter = Matter(Kind.consent, Regulation.gdpr, f"purpose_{n}")
    data = {
        "record": str(uuid4()),
        "sha256": "0" * 64,
        "kind": matter.kind.value,
        "regulation": matter.regulation.value,
        "purpose": matter.purpose,
        "state": State.given.value,
        "sequence": 1,
        "occurred_at": said.isoformat(),
        "notice": "notice",
        "notice_version": 1,
        "valid_until": midnight.isoformat(),
    }
    return events.compose(
        source="/wardline/consent",
        type="consent.given",
        tenant=tenant,
        subject=person,
        data=data,
        time=datetime.now(UTC),
        traceparent=None,
    )
