"""A job exists exactly when its transaction commits, is done whatever dies, and is never lost."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from pydantic import BaseModel, ValidationError

import chassis.ledger.schema
from chassis import durable, schema
from chassis.db import Database
from chassis.durable import Job, Jobs
from chassis.errors import Unavailable
from tests.chassis.conftest import open_database
from tests.patience import PATIENCE, busy

TENANT = uuid4()


def create_work(op, _service) -> None:
    op.execute(
        "CREATE TABLE work (tenant uuid NOT NULL, id uuid PRIMARY KEY, worker int, effects int NOT NULL DEFAULT 0)"
    )
    schema.tenant_table(op, "work")
    durable.create(op)


@pytest_asyncio.fixture(loop_scope="session")
async def database(cluster, house, tmp_path: Path) -> AsyncIterator[Database]:
    made = await asyncio.to_thread(house, chassis.ledger.schema.create, create_work)
    database = open_database(cluster.socket, made.service, tmp_path)
    yield database
    await database.close()


async def order(database: Database, job: str = "work.do") -> UUID:
    id = uuid4()
    async with database.transaction(TENANT) as tx:
        await tx.connection.execute("INSERT INTO work (tenant, id) VALUES ($1, $2)", TENANT, id)
        await tx.enqueue(job, id)
    return id


async def effects(database: Database, id: UUID) -> int:
    async with database.transaction(TENANT) as tx:
        return await tx.connection.fetchval("SELECT effects FROM work WHERE id = $1", id)


def doing(database: Database, before=lambda job: None):
    async def do(job: Job) -> None:
        before(job)
        async with database.transaction(job.tenant) as tx:
            await tx.connection.execute("UPDATE work SET effects = effects + 1 WHERE id = $1", job.id)

    return do


@asynccontextmanager
async def working(database: Database, jobs: Jobs) -> AsyncIterator[None]:
    task = asyncio.create_task(jobs.run(database))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(check, seconds: float = PATIENCE) -> float:
    began = time.monotonic()
    while not await check():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_a_committed_job_is_done_and_a_rolled_back_one_never_existed(database):
    jobs = Jobs()
    jobs.on("work.do", doing(database))
    ghost = uuid4()
    with pytest.raises(ZeroDivisionError):
        async with database.transaction(TENANT) as tx:
            await tx.connection.execute("INSERT INTO work (tenant, id) VALUES ($1, $2)", TENANT, ghost)
            await tx.enqueue("work.do", ghost)
            raise ZeroDivisionError
    id = await order(database)
    async with working(database, jobs):
        await until(lambda: _is(effects(database, id), 1))
    assert await effects(database, ghost) is None


@pytest.mark.parametrize("deliveries", [3, None])
async def test_a_failing_job_is_tried_again_after_growing_pauses(database, deliveries: int | None):
    seen: list[float] = []

    def fail_twice(_job: Job) -> None:
        seen.append(time.monotonic())
        if len(seen) < 3:
            raise ConnectionError("the store is down")

    jobs = Jobs()
    jobs.on("work.do", doing(database, fail_twice), deliveries)
    id = await order(database)
    async with working(database, jobs):
        await until(lambda: _is(effects(database, id), 1))
    first, second, third = seen
    assert 0.7 <= second - first and 1.4 <= third - second


async def test_a_job_that_never_succeeds_is_held_for_a_person(database):
    def fail(_job: Job) -> None:
        raise ConnectionError

    jobs = Jobs()
    jobs.on("work.do", doing(database, fail), deliveries=2)
    await order(database)
    async with working(database, jobs):
        await until(lambda: _is(_statuses(database), ["failed"]))


async def test_a_job_whose_beginning_cannot_be_noted_is_tried_again_and_not_held(database, monkeypatch):
    """A full disk: the database answers, and takes nothing more."""
    noted, refused = durable._Deliveries._note_begun, 0

    async def full(self, *those):
        nonlocal refused
        if refused < 2:
            refused += 1
            raise asyncpg.DiskFullError("No space left on device")
        return await noted(self, *those)

    monkeypatch.setattr(durable._Deliveries, "_note_begun", full)
    jobs = Jobs()
    jobs.on("work.do", doing(database))
    id = await order(database)
    async with working(database, jobs):
        await until(lambda: _is(effects(database, id), 1))


async def test_a_job_that_was_held_before_its_time_is_taken_back_and_one_that_had_its_time_is_not(
    database, monkeypatch
):
    """The queue itself holds what it cannot put off, on a full disk."""
    monkeypatch.setattr(durable, "_HELD_AGAIN", 0.1)
    early, endless, late = await order(database), await order(database, "work.ever"), await order(database)
    async with database.system() as connection:
        await connection.execute("UPDATE pgqueuer SET status = 'failed'")
        await connection.execute("INSERT INTO job_delivery SELECT id, 2 FROM pgqueuer WHERE payload = $1", late.bytes)
    jobs = Jobs()
    jobs.on("work.do", doing(database), deliveries=2)
    jobs.on("work.ever", doing(database), deliveries=None)
    async with working(database, jobs):
        await until(lambda: _is(effects(database, early), 1))
        await until(lambda: _is(effects(database, endless), 1))
        await until(lambda: _is(_statuses(database), ["failed"]))
    assert await effects(database, late) == 0


async def test_a_killed_workers_job_goes_on_elsewhere_within_ten_seconds(database, cluster, tmp_path):
    id = await order(database)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chassis.test_durable", str(cluster.socket), database.service, str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert (await worker.stdout.readline()).strip() == b"started"
    os.kill(worker.pid, signal.SIGKILL)
    await worker.wait()
    jobs = Jobs()
    jobs.on("work.do", doing(database))
    async with working(database, jobs):
        took = await until(lambda: _is(effects(database, id), 1), 10 * busy())
    assert took <= 10 * busy()


async def test_a_services_jobs_are_heard_on_its_own_channel_only(database, cluster):
    heard: list[str] = []
    listener = await cluster.connect("postgres")
    await listener.add_listener("ch_pgqueuer", lambda *_: heard.append("default"))
    await listener.add_listener(f"{database.service}_jobs", lambda *_: heard.append("own"))
    await order(database)
    await until(lambda: _is(_now(heard), ["own"]))
    await listener.close()


async def _is(answer, expected) -> bool:
    return await answer == expected


async def _now(value):
    return list(value)


async def _statuses(database: Database) -> list[str]:
    async with database.system() as connection:
        return [row["status"] for row in await connection.fetch("SELECT status::text FROM pgqueuer")]


async def _hang(socket: str, service: str, secrets: str) -> None:
    """A worker that takes the job and dies before its effect."""
    database = open_database(Path(socket), service, Path(secrets))

    async def never(_job: Job) -> None:
        print("started", flush=True)
        await asyncio.sleep(60)

    jobs = Jobs()
    jobs.on("work.do", never)
    await jobs.run(database)


if __name__ == "__main__":
    asyncio.run(_hang(*sys.argv[1:]))


async def test_a_tick_that_met_a_trouble_that_passes_is_done_again(database):
    done, ticks = asyncio.Event(), iter((Unavailable, TimeoutError))

    async def tick() -> None:
        if trouble := next(ticks, None):
            raise trouble
        done.set()

    jobs = Jobs()
    jobs.every("clock", 0.01, tick)
    async with working(database, jobs):
        await asyncio.wait_for(done.wait(), PATIENCE)


async def test_a_fault_of_ours_in_a_tick_ends_all_work_of_the_process_and_says_so(database):
    """What is awaited here is what fails /health/live: nobody goes on with half of the work."""

    class Row(BaseModel):
        id: int

    async def tick() -> None:
        Row.model_validate({})

    jobs = Jobs()
    jobs.every("clock", 0.01, tick)
    jobs.every("other", 0.01, partial(asyncio.sleep, 0))
    with pytest.raises(ExceptionGroup) as ended:
        await asyncio.wait_for(jobs.run(database), PATIENCE)
    assert [type(each) for each in ended.value.exceptions] == [ValidationError]
