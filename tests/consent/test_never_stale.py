"""No "yes" begins after a withdrawal was acknowledged: real processes, one of them stopped, the database crashing under them."""

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio

from chassis.errors import Problem
from chassis.ids import new_id
from chassis.ledger.events import Event
from ops import keys
from ops.postgres import Postgres
from services.consent import image
from services.consent.client import ConsentClient
from services.consent.contract import GiveConsent, SetObjection, WithdrawConsent
from services.consent.leases import RENEW_EVERY
from services.consent.memory import Memory
from tests.consent.conftest import key, notice, question
from tests.consent.house import DATABASE, House, client, migrated
from tests.patience import PATIENCE, busy
from tests.serving import Issuer, serve

_PROLONG = """
UPDATE consent.replica_lease SET expires_at = clock_timestamp() + interval '3 seconds' WHERE expires_at > clock_timestamp()"""
SEEDS = range(int(os.environ.get("WARDLINE_RACE_SEEDS", "8")))


@dataclass
class Process:
    pid: int
    client: ConsentClient

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@dataclass
class Pair:
    """Two decision processes over one database."""

    house: House
    one: Process
    other: Process
    at: Callable[[int], ConsentClient]
    started: Callable[[int], AbstractContextManager[Process]]
    tenant: UUID = field(default_factory=uuid4)

    @asynccontextmanager
    async def third(self, port: int) -> AsyncIterator[Process]:
        with ExitStack() as stack:
            yield await asyncio.to_thread(stack.enter_context, self.started(port))

    async def give(self, anna: UUID) -> None:
        wish = GiveConsent(purpose="development", notice="recordings", notice_version=1, principal=anna)
        await self.one.client.give(self.tenant, wish, key())

    async def reason(self, process: Process, anna: UUID, category: str = "traffic") -> str:
        asked = question(anna, "development", category)
        return (await process.client.decide(self.tenant, asked)).context.reason

    async def until(self, process: Process, anna: UUID, reason: str, category: str = "traffic") -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.reason(process, anna, category) != reason:
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def pair(tmp_path_factory) -> AsyncIterator[Pair]:
    from tests.conftest import house as empty_house

    issuer = Issuer()
    with ExitStack() as stack:
        home = stack.enter_context(empty_house())
        keys.make(home)
        postgres = Postgres(home)
        await asyncio.to_thread(postgres.start)
        house = await asyncio.to_thread(migrated, postgres)
        await house.hold_book()
        async with serve(issuer.app) as issuer_url, _http() as http:

            def at(port: int) -> ConsentClient:
                return client(http, f"http://127.0.0.1:{port}", issuer)

            @contextmanager
            def started(port: int) -> Iterator[Process]:
                with house.process(port, issuer, issuer_url) as running:
                    yield Process(running.pid, at(port))

            processes = [await asyncio.to_thread(stack.enter_context, started(_free_port())) for _ in range(2)]
            found = Pair(house, *processes, at, started)
            await found.one.client.publish_notice(found.tenant, notice(), key())
            yield found


@asynccontextmanager
async def _http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        trust_env=False, timeout=PATIENCE, limits=httpx2.Limits(max_connections=1000)
    ) as http:
        yield http


@dataclass
class Seen:
    """Decisions: (when asked, yes or no, why)."""

    answers: list[tuple[float, bool, str]] = field(default_factory=list)

    def yes_asked_after(self, instant: float) -> list:
        return [answer for answer in self.answers if answer[1] and answer[0] >= instant]


@asynccontextmanager
async def _asked_all_the_time(pair: Pair, anna: UUID, category: str) -> AsyncIterator[Seen]:
    """Questions to both processes, begun every few milliseconds whether the last was answered or not: a stopped process finds
    many waiting when it goes on, begun before and after the acknowledgement."""
    seen, asked = Seen(), question(anna, "development", category)

    async def ask(process: Process) -> None:
        began = time.monotonic()
        told = await process.client.decide(pair.tenant, asked)
        seen.answers.append((began, told.decision, told.context.reason))

    async def begin() -> None:
        async with asyncio.TaskGroup() as group:
            while not done.is_set():
                for process in (pair.one, pair.other):
                    group.create_task(ask(process))
                await asyncio.sleep(0.015)

    done, begun = asyncio.Event(), asyncio.create_task(begin())
    try:
        yield seen
    finally:
        done.set()
        await begun
    assert any(yes for _, yes, _ in seen.answers), "it was allowed before"


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_yes_begins_after_the_acknowledgement_though_a_process_is_stopped_and_goes_on(pair: Pair, seed: int):
    chance, anna = random.Random(seed), new_id()
    await pair.give(anna)
    for process in (pair.one, pair.other):
        await pair.until(process, anna, "consent")
    async with _asked_all_the_time(pair, anna, "traffic") as seen:
        await asyncio.sleep(chance.uniform(0.1, 0.4))
        pair.other.stop()
        # From before its lease runs out to long after: it wakes while the withdrawal waits, or when all is over.
        waking = asyncio.get_running_loop().call_later(chance.uniform(0.0, 2.0), pair.other.go_on)
        try:
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            began = time.monotonic()
            wish = WithdrawConsent(purpose="development", principal=anna)
            await pair.one.client.withdraw(pair.tenant, wish, key())
            acknowledged = time.monotonic()
            assert acknowledged - began < 3 * busy(), "a frozen process holds its lease for one second, and no longer"
            await asyncio.sleep(chance.uniform(0.1, 0.5))
        finally:
            waking.cancel()
            pair.other.go_on()
        await pair.until(pair.other, anna, "withdrawn")
    assert seen.yes_asked_after(acknowledged) == []


async def test_a_process_whose_renewal_hung_reads_what_it_missed_before_it_answers(pair: Pair):
    """Reading first and renewing afterwards would answer here, on a fresh lease, from what was read before the withdrawal."""
    anna = new_id()
    await pair.give(anna)
    for process in (pair.one, pair.other):
        await pair.until(process, anna, "consent")
    renewing, reading = [await pair.house.postgres.connect(DATABASE) for _ in range(2)]
    async with _asked_all_the_time(pair, anna, "traffic") as seen:
        async with reading.transaction():
            async with renewing.transaction():
                await renewing.execute("SELECT FROM consent.replica_lease FOR UPDATE")
                await asyncio.sleep(RENEW_EVERY + 0.1)  # by now both hang there
                wish = WithdrawConsent(purpose="development", principal=anna)
                await pair.one.client.withdraw(pair.tenant, wish, key())
                acknowledged = time.monotonic()
                await reading.execute("LOCK TABLE consent.ledger_entry IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(0.5)
        for process in (pair.one, pair.other):
            await pair.until(process, anna, "withdrawn")
    await renewing.close()
    await reading.close()
    assert seen.yes_asked_after(acknowledged) == []


async def test_writers_and_readers_at_random_never_see_a_yes_after_a_no_was_acknowledged(pair: Pair):
    chance = random.Random(1)

    async def one_person() -> None:
        anna = new_id()
        async with _asked_all_the_time(pair, anna, "usage_statistics") as seen:
            await asyncio.sleep(chance.uniform(0.1, 0.8))
            writer = chance.choice([pair.one, pair.other]).client
            await writer.set_objection(pair.tenant, anna, "development", SetObjection(state="raised"), key())
            acknowledged = time.monotonic()
            await asyncio.sleep(0.2)
        assert seen.yes_asked_after(acknowledged) == []

    await asyncio.gather(*(one_person() for _ in range(6)))


async def test_a_frozen_process_refuses_when_it_wakes_until_it_has_read_what_it_missed(pair: Pair):
    anna = new_id()
    await pair.give(anna)
    await pair.until(pair.other, anna, "consent")
    pair.other.stop()
    asking = [asyncio.create_task(pair.reason(pair.other, anna)) for _ in range(5)]
    await asyncio.sleep(0.1)
    await pair.one.client.withdraw(pair.tenant, WithdrawConsent(purpose="development", principal=anna), key())
    pair.other.go_on()
    assert set(await asyncio.gather(*asking)) <= {"stale", "withdrawn"}
    await pair.until(pair.other, anna, "withdrawn")


async def test_a_withdrawal_sent_again_waits_again(pair: Pair):
    """The first answer may have been cut off while it waited: an old answer said again must mean the same."""
    anna, same = new_id(), key()
    await pair.give(anna)
    await pair.until(pair.other, anna, "consent")
    wish, admin = WithdrawConsent(purpose="development", principal=anna), await pair.house.postgres.connect(DATABASE)
    pair.other.stop()
    try:
        # So that it is not over before the second is sent, on a busy machine either.
        await admin.execute(_PROLONG)
        first = asyncio.create_task(pair.one.client.withdraw(pair.tenant, wish, same))
        await asyncio.sleep(0.2)
        first.cancel()
        began = time.monotonic()
        await pair.one.client.withdraw(pair.tenant, wish, same)
        waited = time.monotonic() - began
    finally:
        pair.other.go_on()
        await admin.close()
    assert waited > 0.3
    await asyncio.gather(first, return_exceptions=True)
    assert len((await pair.one.client.records(pair.tenant, anna)).items) == 2


async def test_a_paused_database_makes_every_process_refuse(pair: Pair):
    anna = new_id()
    await pair.give(anna)
    for process in (pair.one, pair.other):
        await pair.until(process, anna, "consent")
    async with _nothing_moves(pair):
        await asyncio.sleep(1.1)
        assert {await pair.reason(process, anna) for process in (pair.one, pair.other)} == {"stale"}
    for process in (pair.one, pair.other):
        await pair.until(process, anna, "consent")


@asynccontextmanager
async def _nothing_moves(pair: Pair) -> AsyncIterator[None]:
    """Every process of the database stopped."""
    pids = await asyncio.to_thread(_server_processes, pair.house.postgres)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def _one_stopped(pair: Pair) -> AsyncIterator[None]:
    pair.other.stop()
    try:
        yield
    finally:
        pair.other.go_on()


@asynccontextmanager
async def _no_renewal(pair: Pair) -> AsyncIterator[None]:
    locking = await pair.house.postgres.connect(DATABASE)
    async with locking.transaction():
        await locking.execute("SELECT FROM consent.replica_lease FOR UPDATE")
        yield
    await locking.close()


@asynccontextmanager
async def _no_entries(pair: Pair) -> AsyncIterator[None]:
    locking = await pair.house.postgres.connect(DATABASE)
    async with locking.transaction():
        await locking.execute("LOCK TABLE consent.ledger_entry IN ACCESS EXCLUSIVE MODE")
        yield
    await locking.close()


@asynccontextmanager
async def _cut_off(pair: Pair) -> AsyncIterator[None]:
    """Every connection of decision points is lost, and no new one is had."""
    admin = await pair.house.postgres.connect(DATABASE)
    await admin.execute("ALTER ROLE consent_system CONNECTION LIMIT 0")
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'consent_system'")
    try:
        yield
    finally:
        await admin.execute("ALTER ROLE consent_system CONNECTION LIMIT -1")
        await admin.close()


TROUBLES = [_nothing_moves, _one_stopped, _no_renewal, _no_entries, _cut_off]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__.strip("_"))
async def test_no_yes_begins_after_the_acknowledgement_whatever_goes_wrong_meanwhile(pair: Pair, trouble):
    chance, people = random.Random(trouble.__name__), [new_id() for _ in range(3)]
    for anna in people:
        await pair.give(anna)
        for process in (pair.one, pair.other):
            await pair.until(process, anna, "consent")

    async def withdrawn(anna: UUID) -> None:
        async with _asked_all_the_time(pair, anna, "traffic") as seen:
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            writer, same = chance.choice([pair.one, pair.other]).client, key()
            acknowledged = await _acknowledged(writer, anna, same, pair.tenant)
            await asyncio.sleep(chance.uniform(0.1, 0.4))
        assert seen.yes_asked_after(acknowledged) == []

    async def troubled() -> None:
        await asyncio.sleep(chance.uniform(0.1, 0.6))
        async with trouble(pair):
            await asyncio.sleep(chance.uniform(0.3, 1.5))

    await asyncio.gather(troubled(), *map(withdrawn, people))
    for anna in people:
        for process in (pair.one, pair.other):
            await pair.until(process, anna, "withdrawn")


async def _acknowledged(writer: ConsentClient, anna: UUID, same: str, tenant: UUID) -> float:
    """When it was; a refusal means that it is to be sent again."""
    wish = WithdrawConsent(purpose="development", principal=anna)
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await writer.withdraw(tenant, wish, same)
            except Problem as refused:
                assert refused.status == 503, refused.code
                await asyncio.sleep(0.05)
            else:
                return time.monotonic()


async def test_a_process_that_lost_the_ledger_refuses_within_a_second(pair: Pair):
    anna = new_id()
    await pair.give(anna)
    for process in (pair.one, pair.other):
        await pair.until(process, anna, "consent")
    async with _cut_off(pair):
        await asyncio.sleep(1.1)
        assert {await pair.reason(process, anna) for process in (pair.one, pair.other)} == {"stale"}
    for process in (pair.one, pair.other):
        await pair.until(process, anna, "consent")


async def test_a_process_that_starts_from_an_old_image_knows_what_was_said_since(pair: Pair, monkeypatch):
    """From an image in which everything still stood; asked from its first moment."""
    people = [new_id() for _ in range(5)]
    for anna in people:
        await pair.give(anna)
    await pair.until(pair.one, people[-1], "consent")
    held, admin = Memory(), await pair.house.postgres.connect(DATABASE)
    await admin.execute("SET search_path TO consent")
    for row in await admin.fetch(
        "SELECT position, body FROM ledger_entry JOIN event ON id = event_id ORDER BY position"
    ):
        held.apply(row["position"], Event.read(row["body"], 0))
    monkeypatch.setattr(image, "EVERY", 0)
    async with admin.transaction():
        assert await image.keep(admin, held)
    for anna in people:
        await _acknowledged(pair.one.client, anna, key(), pair.tenant)
    port = _free_port()
    asked = asyncio.create_task(_first_answer(pair, pair.at(port), people[0]))
    async with pair.third(port) as third:
        assert await asked in ("stale", "withdrawn")
        assert {await pair.reason(third, anna) for anna in people} <= {"stale", "withdrawn"}
        for anna in people:
            await pair.until(third, anna, "withdrawn")
    await admin.execute("DELETE FROM memory_image")
    await admin.close()


async def _first_answer(pair: Pair, unborn: ConsentClient, anna: UUID) -> str:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return (await unborn.decide(pair.tenant, question(anna, "development", "traffic"))).context.reason
            except Problem:
                await asyncio.sleep(0.01)


async def test_the_database_crashes_under_load_and_nothing_acknowledged_is_lost(pair: Pair):
    stop, kept = asyncio.Event(), []

    async def write() -> None:
        while not stop.is_set():
            anna = new_id()
            wish = GiveConsent(purpose="development", notice="recordings", notice_version=1, principal=anna)
            try:
                kept.append((anna, (await pair.one.client.give(pair.tenant, wish, key())).record))
            except Problem as refused:
                assert refused.status == 503, refused.code

    writers = [asyncio.create_task(write()) for _ in range(4)]
    await asyncio.sleep(0.5)
    before = len(kept)
    pair.house.postgres.kill()
    await asyncio.sleep(0.3)
    await asyncio.to_thread(pair.house.postgres.start)
    async with asyncio.timeout(PATIENCE):
        while len(kept) < before + 5:
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*writers)
    for anna, record in kept:
        assert record in {each.record for each in (await pair.one.client.records(pair.tenant, anna)).items}
    for process in (pair.one, pair.other):
        await pair.until(process, kept[-1][0], "consent")
        await pair.until(process, kept[0][0], "consent")


def _server_processes(postgres: Postgres) -> list[int]:
    from ops.memory import descendants

    return sorted(descendants([postgres.pid()]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
