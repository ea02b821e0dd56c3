"""One request or job is one transaction, and a transaction always belongs to one tenant.

`Tx` is a parameter type: the transaction opens when the route is entered, commits after the route returned and *before* the
answer is sent (FastAPI's default would commit afterwards), and rolls back when anything is raised.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
from fastapi import Depends, Request
from sqlalchemy import event as sa_event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.pool import Pool
from sqlalchemy.util import greenlet_spawn

from chassis import auth, clock, durable, own_keys, rows, telemetry
from chassis.errors import Forbidden
from chassis.known_types import Connection
from chassis.ledger import events
from chassis.settings import Settings

REST_AFTER = 2.0  # seconds between two looks at what is idle
_NOW_AND_THEN = 30.0
_ARGUMENT = re.compile(r"\$(\d+)")
# Names are spelled in hex, so that nothing in them gets into the statement.
_LOCK = """
SELECT pg_advisory_xact_lock{shared}(hashtextextended(convert_from(decode(name, 'hex'), 'UTF8'), 0))
FROM unnest('{{{names}}}'::text[]) name"""


class ReadsAnew(Session):
    """What is read under a lock is what stands there once the lock is had. SQLAlchemy by itself keeps a row that the transaction saw
    before it waited as it was then, and of two who decide at once both would find it undecided."""


@sa_event.listens_for(ReadsAnew, "do_orm_execute")
def _read_anew(execution: ORMExecuteState) -> None:
    if execution.is_select and execution.statement._for_update_arg is not None:
        execution.session.flush()
        execution.update_execution_options(populate_existing=True)


@dataclass
class Transaction:
    """An open transaction of one tenant.

    connection: raw asyncpg, for set-based statements · session: SQLModel/SQLAlchemy on the same connection, made when it is
    first asked for, since it costs as much as five statements · tenant: whose data it may see · committed: what to do after
    the commit and before the answer (a barrier, a hint) · held, shared: the names it has locked · due: statements that wait for
    `flush` · facts, jobs: what is written just before the commit, each kind by one statement · told: whether it wrote facts.
    """

    service: str
    tenant: UUID
    connection: asyncpg.Connection
    alchemy: AsyncConnection
    committed: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    due: list[rows.Statement] = field(default_factory=list)
    facts: list[events.Composed] = field(default_factory=list)
    jobs: list[durable.Wanted] = field(default_factory=list)
    told: bool = False

    @cached_property
    def session(self) -> AsyncSession:
        return AsyncSession(self.alchemy, sync_session_class=ReadsAnew, expire_on_commit=False)

    async def flush(self) -> None:
        """Write what the session holds and what is due; what follows on `connection` then sees it. Raises StaleDataError when a row that was
        changed is not there any more."""
        changes = await self._changes()
        if changes or self.due:
            due, self.due = [*changes, *self.due], []
            found = await self.connection.fetchval(
                _as_one(tuple(statement for statement, *_ in due), len(changes)),
                *(each for _, *those in due for each in those),
            )
            if found != sum(len(ids) for _, ids, *_ in changes):
                raise StaleDataError("a row that was changed is not there any more")

    async def _changes(self) -> list[rows.Statement]:
        if not self._has_session:
            return []
        session = self.session.sync_session
        if session.new or session.deleted:
            await self.session.flush()
        return rows.changing(session)

    def write(self, statement: str, *arguments: Any) -> None:
        """Due at the next `flush`, the commit's at the latest: all that is due then is one round trip, with what the session's rows were given,
        and none sees what another does."""
        self.due.append((statement, *arguments))

    def insert(self, table: type[rows.Row], new: Sequence[rows.Row]) -> None:
        """New rows that nothing of this transaction reads again, due like the others."""
        if new:
            self.write(*rows.inserting(table, new))

    async def close(self) -> None:
        if self._has_session:
            await self.session.close()

    @property
    def _has_session(self) -> bool:
        return "session" in vars(self)

    async def emit(self, type: str, data: dict[str, Any], subject: UUID | None = None) -> events.Composed:
        """A fact for the service's ledger; `data` holds ids and sealed values only. `subject` is a principal."""
        fact = self.compose(type, data, subject)
        self.facts.append(fact)
        return fact

    async def finish(self) -> None:
        """The last statements before the commit: facts, in their order, with what else is due, and jobs."""
        if self.facts:
            self.tell(self.facts)
        await self.flush()
        if self.jobs:
            await durable.enqueue(self.connection, self.service, self.tenant, self.jobs)

    def tell(self, facts: Sequence[events.Composed]) -> None:
        """Facts that are ready, due with the next `flush`."""
        self.write(*events.inserting(self.service, facts))
        self.told = True

    def compose(
        self,
        type: str,
        data: dict[str, Any],
        subject: UUID | None = None,
        traceparent: str | None = None,
        time: datetime | None = None,
    ) -> events.Composed:
        """A fact that is still to be appended. traceparent: of the call that caused it, where that is not this one."""
        return events.compose(
            source=f"/wardline/{self.service}",
            type=type,
            tenant=self.tenant,
            subject=subject,
            data=data,
            time=time or clock.now(),
            traceparent=traceparent or telemetry.traceparent(),
        )

    async def emit_many(self, facts: Iterable[tuple[str, UUID | None, dict[str, Any]]]) -> None:
        """Many facts, each (type, subject, data)."""
        self.facts += [self.compose(type, data, subject) for type, subject, data in facts]

    async def lock(self, *names: str) -> None:
        """Wait until nobody else's transaction holds any of these names, then hold them until the end of this one.

        One order for everybody, so that two who want the same names never wait for each other.
        """
        if wanted := set(names) - self.held:
            await self.connection.execute(_locking(wanted))
            self.held |= wanted

    async def share(self, name: str) -> None:
        """Like `lock`, beside whoever shares it too: nobody who locks it goes on until the end of this one."""
        if name not in self.shared:
            await self.connection.execute(_locking([name], shared=True))
            self.shared.add(name)

    async def enqueue(self, job: str, id: UUID, after: timedelta | None = None) -> None:
        """Have `job` done for the row `id`, by any worker, if and only if this transaction commits."""
        self.jobs.append(durable.Wanted(job, id, after))

    def after_commit(self, act: Callable[[], Awaitable[None]]) -> None:
        self.committed.append(act)


@dataclass
class _Use:
    """How many use a pool at this moment, and at most since the last look; when somebody last began."""

    now: int = 0
    most: int = 0
    last: float = float("-inf")

    @contextmanager
    def one(self) -> Iterator[None]:
        self.now += 1
        self.most, self.last = max(self.most, self.now), time.monotonic()
        try:
            yield
        finally:
            self.now -= 1

    def kept(self) -> int:
        """How many idle ones stay."""
        return max(2 * self.most, int(time.monotonic() - self.last < _NOW_AND_THEN))


class Database:
    """The two ways a service reaches its schema: as itself (one tenant at a time) and as its system role (named tables)."""

    def __init__(self, settings: Settings, service: str, pool_size: int = 5, guarded: bool = False) -> None:
        """guarded: nobody gets in before this process is seen to hold the keys of what is there · strange: why nobody ever does."""
        self.service = service
        self.settings = settings
        self.on_told: Callable[[], None] = lambda: None
        self.strange: own_keys.StrangeKeys | None = None
        self._recognised = not guarded
        self._looking: asyncio.Task[None] | None = None
        self._use, self._system_use = _Use(), _Use()
        self._replaced: list[Pool] = []
        self.engine = _engine(settings, service, service, "db", pool_size)
        self.system_engine = _engine(settings, service, f"{service}_system", "db_system", 3)

    @asynccontextmanager
    async def transaction(
        self, tenant: UUID | None, lock: Iterable[str] = (), share: Iterable[str] = ()
    ) -> AsyncIterator[Transaction]:
        """Open a transaction for `tenant`, commit at the end, roll back on any exception. Refuses to open without a tenant.

        lock, share: names to be had from the start, without a round trip of their own.
        """
        if tenant is None:
            raise Forbidden("This call names no customer organisation.")
        if not self._recognised:
            await self.recognise()
        with telemetry.span("transaction"), self._use.one():
            async with self.engine.connect() as alchemy:
                raw = await _raw(alchemy)
                tx = Transaction(self.service, tenant, raw, alchemy, held=set(lock), shared=set(share))
                async with _begun(tx):
                    yield tx
            if tx.told:
                self.on_told()
            for act in tx.committed:
                await act()

    @asynccontextmanager
    async def system(self) -> AsyncIterator[asyncpg.Connection]:
        """A transaction of the system role: cross-tenant work on the tables its policies name, raw asyncpg."""
        async with self.system_look() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def system_look(self) -> AsyncIterator[asyncpg.Connection]:
        """The same outside a transaction, for a single statement that only reads."""
        if not self._recognised:
            await self.recognise()
        with self._system_use.one():
            async with self.system_engine.connect() as connection:
                yield await _raw(connection)

    async def recognise(self) -> None:
        """Sees once that this process holds the keys of what is there; a database that was away when the process began, or had no schema, is
        looked at when somebody comes. Raises StrangeKeys, and goes on doing so: they were read already."""
        if self.strange:
            raise self.strange
        if self._recognised:
            return
        if self._looking is None:
            # One look for all who come meanwhile: however many they are, they open one connection.
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        connection = await self._as_system()
        try:
            self._recognised = await own_keys.recognised(connection, self.service, self.settings.secrets_dir)
        except own_keys.StrangeKeys as strange:
            self.strange = strange
            raise
        finally:
            connection.terminate()

    def _looked(self, look: "asyncio.Task[None]") -> None:
        self._looking = None
        if not look.cancelled():
            look.exception()  # told to whoever waits, if anybody still does

    def system_pool(self, size: int) -> asyncpg.Pool:
        """A raw pool of the system role (`async with`), set up and torn down by its user."""
        return asyncpg.create_pool(
            **_where(self.settings, self.service, f"{self.service}_system", "db_system"),
            min_size=0,
            max_size=size,
            max_inactive_connection_lifetime=REST_AFTER,
        )

    async def connect_system(self) -> asyncpg.Connection:
        """A connection of the system role outside any pool, for LISTEN, the sequencer and the worker; the caller closes it."""
        if not self._recognised:
            await self.recognise()
        return await self._as_system()

    async def _as_system(self) -> asyncpg.Connection:
        return await asyncpg.connect(**_where(self.settings, self.service, f"{self.service}_system", "db_system"))

    async def rest(self) -> None:
        """Give back what was not needed since the last look: each idle connection is a process of the server, with memory of its own.

        They go all at once, and who comes next opens what he needs anew, which takes 15 ms of processor: so only where less than half was
        needed, and a lone one only when nobody has come for half a minute."""
        for engine, use in ((self.engine, self._use), (self.system_engine, self._system_use)):
            # One in use would come back to a pool that is gone, and stay open for ever.
            if engine.pool.checkedin() > use.kept() and not engine.pool.checkedout():
                # First a new pool, and only then the old one's connections are closed, which takes a while: who came meanwhile would
                # take one that nobody closes afterwards, or wait in vain for one to come back.
                self._replaced.append(engine.pool)
                await engine.dispose(close=False)
            use.most = use.now
        await self._empty_replaced()

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await self._empty_replaced()
        await self.engine.dispose()
        await self.system_engine.dispose()

    async def _empty_replaced(self) -> None:
        """A pool is forgotten only when it is empty: whoever is stopped at that leaves the rest to `close`."""
        while self._replaced:
            await greenlet_spawn(self._replaced[-1].dispose)
            self._replaced.pop()


async def open_transaction(
    request: Request, caller: Annotated["auth.Caller", Depends(auth.current_caller)]
) -> AsyncIterator[Transaction]:
    database: Database = request.app.state.database
    async with database.transaction(caller.tenant) as tx:
        yield tx


Tx = Annotated[Transaction, Depends(open_transaction, scope="function")]


@cache
def _as_one(statements: tuple[str, ...], counted: int) -> str:
    """Several as one statement, whose arguments are theirs one after the other. It answers how many rows the first ones gave, which are to
    be counted; the server does what it answers from before all else, so whoever waits for a row does the rest after that."""
    parts, before = [], 0
    for n, statement in enumerate(statements):
        numbers = [int(number) for number in _ARGUMENT.findall(statement)]
        shifted = _ARGUMENT.sub(lambda found, by=before: f"${int(found[1]) + by}", statement)
        parts.append(f"due_{n} AS ({shifted})")
        before += max(numbers, default=0)
    given = " + ".join(f"(SELECT count(*) FROM due_{n})" for n in range(counted))
    return f"WITH {', '.join(parts)} SELECT {given or '0'}"


def _where(settings: Settings, service: str, role: str, secret: str) -> dict[str, Any]:
    """asyncpg's arguments; the password is read at each connect, so that it can be rotated under a running service."""
    return {
        "host": settings.database_host,
        "port": settings.database_port,
        "database": settings.database_name,
        "user": role,
        "password": lambda: settings.password(secret),
        "server_settings": {"search_path": service, "application_name": f"wardline-{service}", "timezone": "UTC"},
        "timeout": 5,
        "connection_class": Connection,
    }


def _engine(settings: Settings, service: str, role: str, secret: str, size: int) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args=_where(settings, service, role, secret),
        # Whoever takes a connection begins and ends transactions himself. Once for each: to set it at a checkout takes as long as the checkout.
        isolation_level="AUTOCOMMIT",
        pool_size=size,
        max_overflow=0,
        pool_timeout=5,
        pool_use_lifo=True,  # so that what is not needed stays idle
        pool_recycle=1800,
        hide_parameters=True,
        json_deserializer=orjson.loads,
    )
    sa_event.listen(engine.sync_engine, "checkout", _refuse_used_up)
    return engine


def _refuse_used_up(adapted: Any, _record: Any, _proxy: Any) -> None:
    """A connection that a restarted database closed is replaced at checkout: as safe as a ping, and without its round trip. So is
    one whose last user was stopped before it could end its transaction, which is some other tenant's."""
    connection = adapted.driver_connection
    if connection.is_closed() or connection.is_in_transaction():
        raise DisconnectionError


@asynccontextmanager
async def _begun(tx: Transaction) -> AsyncIterator[None]:
    """The tenant is set in the very message that begins, so there is no moment between the two."""
    tenant = UUID(int=tx.tenant.int)  # nothing but a UUID's own spelling gets into the statement
    try:
        begin = [f"BEGIN; SELECT set_config('app.tenant', '{tenant}', true)"]
        begin += [_locking(names, shared) for names, shared in ((tx.shared, True), (tx.held, False)) if names]
        await tx.connection.execute(";".join(begin))
        yield
        await tx.finish()
        await tx.connection.execute("COMMIT")
    except BaseException:
        if tx.connection.is_in_transaction() and not tx.connection.is_closed():
            await tx.connection.execute("ROLLBACK")
        raise
    finally:
        await tx.close()


def _locking(names: Iterable[str], shared: bool = False) -> str:
    spelled = ",".join(name.encode().hex() for name in sorted(names))
    return _LOCK.format(names=spelled, shared="_shared" if shared else "")


async def _raw(connection: AsyncConnection) -> asyncpg.Connection:
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    return driver
