"""Durable work: a job is a message that commits with the business row and outlives the process that runs it.

What a job *does* is domain rows, so that people see where it stands. The step's effect, its record and the check of its fence
token commit in ONE transaction: under storms of SIGKILL a second transaction repeated effects, one did not.
Leases and heartbeats go by the database's clock; business time never does.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from alembic.operations import Operations
from opentelemetry import trace
from pgqueuer import QueueManager
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence import qb, schema_ddl
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.schema.declaration import target
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel
from pgqueuer.errors import FailingListenerError, RetryRequested
from pgqueuer.models import Job as Delivery
from pgqueuer.ports.driver import Driver
from sqlalchemy.exc import SQLAlchemyError

from chassis import schema, telemetry
from chassis.crowd import Crowd
from chassis.errors import Problem
from chassis.trouble import Trouble

if TYPE_CHECKING:
    from chassis.db import Database

# A dead worker's job is taken over after the heartbeat timeout; pgqueuer's defaults of 30 s leave it unnoticed that long.
HEARTBEAT_TIMEOUT = timedelta(seconds=4)
DEQUEUE_TIMEOUT = timedelta(seconds=2)
_BATCH = 50  # jobs taken at once: those of one kind share transactions
_WORKED = 15.0  # seconds after which a worker had its database, for all that it has lost it now
_FIRST_RETRY = timedelta(seconds=1)
_LONGEST_RETRY = timedelta(minutes=15)
_HELD_AGAIN = 60.0  # seconds between two looks for jobs that were held before their time

# Troubles that pass by themselves; anything else is a fault of ours and ends the task, which fails the process's health.
# A process that was frozen and thaws finds asyncpg's connections in a state that it calls an internal error of the client.
PASSING = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    SQLAlchemyError,
    Problem,
)

_DELIVERED = """
INSERT INTO job_delivery (job, deliveries) SELECT job, 1 FROM unnest($1::bigint[]) job
ON CONFLICT (job) DO UPDATE SET deliveries = job_delivery.deliveries + 1 RETURNING job, deliveries"""
_FINISHED = "DELETE FROM job_delivery WHERE job = ANY ($1)"
# What the queue itself could not put off or note, on a full disk, it holds at once.
_HELD_EARLY = """
SELECT q.id FROM pgqueuer q JOIN unnest($1::text[], $2::int[]) handled(job, most) ON handled.job = q.entrypoint
LEFT JOIN job_delivery d ON d.job = q.id
WHERE q.status = 'failed' AND (most IS NULL OR coalesce(d.deliveries, 0) < most)"""
_NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Job:
    """What a handler gets: the row to look at and its tenant."""

    id: UUID
    tenant: UUID


@dataclass(frozen=True)
class Wanted:
    """`job` is to be done for the row `id`, not before `after` has passed; in the trace of what wants it."""

    job: str
    id: UUID
    after: timedelta | None = None
    traceparent: str | None = field(default_factory=telemetry.traceparent)


Handler = Callable[[Job], Awaitable[None]]


class Jobs:
    """A service's handlers and the worker that runs them.

    A handler that raises is tried again with growing pauses; after `deliveries` starts, killed ones too, it is held for a person to look
    at. None: it never is.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[Handler, int | None, int]] = {}
        self._ticks: list[tuple[str, Callable[[], Awaitable[None]], float, bool]] = []

    def __bool__(self) -> bool:
        return bool(self._handlers or self._ticks)

    def on(self, name: str, handler: Handler, deliveries: int | None = 50, abreast: int = 0) -> None:
        """abreast: how many of them run at a time in all replicas together, so that others find room; 0 is no bound."""
        self._handlers[name] = (handler, deliveries, abreast)

    def every(self, name: str, seconds: float, tick: Callable[[], Awaitable[None]], *, at_once: bool = True) -> None:
        """Run `tick` about every `seconds` on every replica; what it does must be safe to do twice (clocks, sweeps). What is heavy
        and seldom begins when that time has passed once, not while everything starts."""
        self._ticks.append((name, tick, seconds, at_once))

    async def run(self, database: "Database") -> None:
        """Work until cancelled; a lost database is waited for."""
        async with asyncio.TaskGroup() as group:
            for each in self._ticks:
                group.create_task(_tick_forever(*each))
            if self._handlers:
                group.create_task(self._work_forever(database))
                take_back = partial(self._take_back, database)
                group.create_task(_tick_forever("jobs held early", take_back, _HELD_AGAIN, at_once=False))

    async def _take_back(self, database: "Database") -> None:
        """Only a job that was begun as often as its handler allows waits for a person."""
        most = {name: deliveries for name, (_, deliveries, _) in self._handlers.items()}
        async with database.system() as connection:
            held = await connection.fetch(_HELD_EARLY, list(most), list(most.values()))
            if held:
                queries = _queries(AsyncpgDriver(connection), database.service)
                await queries.requeue_jobs([row["id"] for row in held])

    async def _work_forever(self, database: "Database") -> None:
        trouble = Trouble("worker lost its database")
        while True:
            began = time.monotonic()
            try:
                await self._work(database)
            # pgqueuer probes its listener before it listens: a probe that was too early fails ten seconds later.
            except (*PASSING, FailingListenerError, ExceptionGroup) as lost:
                if time.monotonic() - began > _WORKED:
                    trouble.over()
                trouble.met(lost)
                await asyncio.sleep(1)

    async def _work(self, database: "Database") -> None:
        connection = await database.connect_system()
        try:
            # What the queue remembers of a job may be lost with the server: it is done again then, and finds its rows as they are.
            await connection.execute("SET synchronous_commit = off")
            # One connection for everything: the queue's statements are short, and what a handler does has connections of its own.
            driver = AsyncpgDriver(connection)
            # Without the library's schedules, for which it would ask each second: `every` is ours.
            worker = QueueManager(_queries(driver, database.service), Channel(_names(database.service).channel))
            counted = _Deliveries(driver)
            for name, (handler, deliveries, abreast) in self._handlers.items():
                run = _runner(counted, name, handler, deliveries)
                worker.entrypoint(name, on_failure="hold", concurrency_limit=abreast)(run)
            await worker.run(
                batch_size=_BATCH,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                dequeue_timeout=DEQUEUE_TIMEOUT,
                shutdown_on_listener_failure=True,
            )
        finally:
            connection.terminate()


async def enqueue(connection: asyncpg.Connection, service: str, tenant: UUID, jobs: Sequence[Wanted]) -> None:
    """Enqueue on the caller's own connection, so that the jobs exist exactly when the caller's transaction commits."""
    headers = [
        {"tenant": str(tenant)} | ({"traceparent": each.traceparent} if each.traceparent else {}) for each in jobs
    ]
    await _queries(AsyncpgDriver(connection), service).enqueue(
        [each.job for each in jobs],
        [each.id.bytes for each in jobs],
        [0] * len(jobs),
        execute_after=[each.after or timedelta(0) for each in jobs],
        headers=headers,
    )


async def alone(
    trouble: Trouble, database: "Database", tenant: UUID, command: Callable[..., Awaitable[None]], *about: Any
) -> bool:
    """What a tick does for one row, in a transaction of its own; whether it was done. What fails leaves the others alone, whatever it was
    that it met, and the next tick tries again."""
    try:
        async with database.transaction(tenant) as tx:
            await command(tx, *about)
    except Exception as failure:
        trouble.met(failure)
        return False
    return True


def create(op: Operations) -> None:
    """The queue's tables in the service's own schema; its channel is the service's own too (the default is database-wide)."""
    service = schema.service_of(op)
    names = _names(service)
    parts = target(names)
    for statement in [
        *(schema_ddl.render_enum(part, names) for part in parts.enums),
        *(schema_ddl.render_table(part, names) for part in parts.tables),
        *(schema_ddl.render_index(part, names) for part in parts.indexes),
        *(schema_ddl.render_function(part, names) for part in parts.functions),
        *(schema_ddl.render_trigger(part, names) for part in parts.triggers),
    ]:
        op.execute(sa.text(statement.replace(":", r"\:")))
    op.create_table(
        "job_delivery",
        sa.Column("job", sa.BigInteger, primary_key=True),
        sa.Column("deliveries", sa.Integer, nullable=False),
    )
    qualified = names.qualified
    tables = ", ".join(
        [
            qualified.queue_table,
            qualified.queue_table_log,
            qualified.statistics_table,
            qualified.schedules_table,
            "job_delivery",
        ]
    )
    op.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO "{service}_system"')
    op.execute(f'GRANT SELECT, INSERT ON {qualified.queue_table}, {qualified.queue_table_log} TO "{service}"')
    op.execute(f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{service}" TO "{service}", "{service}_system"')


class _Deliveries:
    """How often each job was begun. Jobs that begin or end at the same moment are noted together."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._begun, self._over = Crowd(self._note_begun), Crowd(self._note_over)

    async def begun(self, job: int) -> int:
        return await self._begun(_NOBODY, job)

    async def over(self, job: int) -> None:
        await self._over(_NOBODY, job)

    async def _note_begun(self, _: UUID, jobs: Sequence[int]) -> list[int]:
        rows = await self.driver.fetch(_DELIVERED, jobs)
        counts = {row["job"]: row["deliveries"] for row in rows}
        return [counts[job] for job in jobs]

    async def _note_over(self, _: UUID, jobs: Sequence[int]) -> list[None]:
        await self.driver.execute(_FINISHED, jobs)
        return [None] * len(jobs)


def _runner(
    counted: _Deliveries, name: str, handler: Handler, most: int | None
) -> Callable[[Delivery], Awaitable[None]]:
    async def run(delivery: Delivery) -> None:
        headers = {key: str(value) for key, value in (delivery.headers or {}).items()}
        job, begun = Job(UUID(bytes=delivery.payload), UUID(headers["tenant"])), delivery.attempts + 1
        with telemetry.span(f"job {name}", headers):
            try:
                # Before it begins, since it may be killed. What is never held needs no count of those: the queue has one of its failures.
                if most is not None:
                    begun = await counted.begun(delivery.id)
                await handler(job)
                if most is not None:
                    await counted.over(delivery.id)
            except Exception as failure:
                telemetry.log().warning(
                    "job failed", job=name, id=str(job.id), error=type(failure).__name__, exc_info=True
                )
                if most is not None and begun >= most:
                    raise
                trace.get_current_span().set_status(trace.StatusCode.ERROR)
                raise RetryRequested(delay=_pause(begun), reason=type(failure).__name__) from None

    return run


def _pause(begun: int) -> timedelta:
    """Doubling with jitter, so that many jobs waiting for one store do not come back at once."""
    return min(_FIRST_RETRY * 2 ** min(begun - 1, 12), _LONGEST_RETRY) * random.uniform(0.7, 1.3)


async def _tick_forever(name: str, tick: Callable[[], Awaitable[None]], seconds: float, at_once: bool) -> None:
    trouble = Trouble("tick failed", tick=name)
    await asyncio.sleep(0 if at_once else seconds)
    while True:
        pause = seconds
        try:
            await tick()
            trouble.over()
        except PASSING as failure:
            # A tick re-reads the truth each time: one that failed on the way to a store or a peer is simply done again, and soon.
            pause = min(seconds, 0.25 * 2 ** min(trouble.met(failure), 16))
        await asyncio.sleep(pause * random.uniform(0.9, 1.1))


@cache
def _names(service: str) -> DBSettings:
    return DBSettings(db_schema=service, channel=Channel(f"{service}_jobs"))


def _queries(driver: Driver, service: str) -> Queries:
    names = _names(service)
    return Queries(
        driver,
        qbe=qb.QueryBuilderEnvironment(names),
        qbq=_queue_builder(service),
        qbs=qb.QuerySchedulerBuilder(names),
    )


@cache
def _queue_builder(service: str) -> qb.QueryQueueBuilder:
    return qb.QueryQueueBuilder(_names(service))
