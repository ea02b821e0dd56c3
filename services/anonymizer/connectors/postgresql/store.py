"""A PostgreSQL store: the connections of its two roles, and transactions that see one moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar
from uuid import UUID

import asyncpg

from chassis.db import REST_AFTER
from chassis.known_types import Connection
from services.anonymizer.connectors.guard import COMMIT_WITHIN, Guard, HoldsCame, still
from services.anonymizer.contract import StoreDrifted, StoreUnavailable
from services.anonymizer.datamap import Store
from services.anonymizer.rules.orders import Hold
from services.anonymizer.settings import Settings

Role = Literal["wardline", "verifier"]
Result = TypeVar("Result")

# Somebody else changed the same rows, or finished the same step, while we were at it: look again.
_AGAIN = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.UniqueViolationError,
    asyncpg.LockNotAvailableError,
)
# A store that is away, restarting, full, closed, or that no longer lets the credential do its work: all the same to whoever asks.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
)
# What the map names is not there, or the store's own rules (a reference from a table that nobody declared) forbid what the map says.
_DRIFTED = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.StringDataRightTruncationError,
)
_TRIES = 5
# Nothing that is asked takes longer: a server that says nothing for so many seconds is away, whatever its connection looks like.
LONGEST = 600.0
# The last thing before the question about holds: who froze after its answer finds the transaction gone.
_NOT_IDLE = f"SET LOCAL idle_in_transaction_session_timeout = '{COMMIT_WITHIN}s'"

_FINISHED = "SELECT result FROM wardline.journal WHERE step = $1"
_BEGIN = "INSERT INTO wardline.journal (step, result, at) VALUES ($1, '{}', $2)"
_FINISH = "UPDATE wardline.journal SET result = $2 WHERE step = $1"


class Connections:
    """One pool per role, opened at first use: Wardline works as one, verification only reads as the other."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self._pools: dict[Role, asyncpg.Pool] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def reading(self, role: Role = "wardline", *, once: bool = False) -> AsyncIterator[asyncpg.Connection]:
        """A read-only transaction that sees one moment; none for who asks `once`, since one statement sees one moment by itself. Raises
        StoreUnavailable."""
        async with self._connection(role) as connection:
            if once:
                yield connection
                return
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection

    async def fetch(self, select: str, *values: object) -> list[asyncpg.Record]:
        """The rows of one statement. Raises StoreUnavailable."""
        async with self.reading(once=True) as connection:
            return await connection.fetch(select, *values)

    async def write(self, work: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        """Run `work` in one transaction that sees one moment, again from the start when somebody else came between."""

        async def committed(connection: asyncpg.Connection) -> Result:
            async with connection.transaction(isolation="repeatable_read"):
                return await work(connection)

        return await self._tried(committed)

    async def _tried(self, work: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        for last in [False] * (_TRIES - 1) + [True]:
            try:
                async with self._connection("wardline") as connection:
                    return await work(connection)
            except _AGAIN:
                if last:
                    raise StoreUnavailable(f"{self.store.store} is changing too fast; try again.") from None
        raise AssertionError("unreachable: the last try returns or raises")

    async def write_guarded(
        self, step: UUID, guard: Guard, work: Callable[[asyncpg.Connection, list[Hold]], Awaitable[Result]]
    ) -> Result:
        """`write`, round whatever is held at the commit. Raises HoldsUnreadable, and then nothing was done."""
        holds = await guard.held()

        async def guarded(connection: asyncpg.Connection) -> Result:
            result = await work(connection, holds)
            await connection.execute(_NOT_IDLE)
            await still(guard, step, holds)
            return result

        while True:
            try:
                return await self.write(guarded)
            except HoldsCame as came:
                holds = came.holds

    async def rehearse(self, work: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        """What `work` would do: it is done, counted and rolled back, so that a preview can't differ from the deed."""

        async def rolled_back(connection: asyncpg.Connection) -> Result:
            transaction = connection.transaction(isolation="repeatable_read")
            await transaction.start()
            try:
                return await work(connection)
            finally:
                await transaction.rollback()

        return await self._tried(rolled_back)

    async def close(self) -> None:
        for pool in self._pools.values():
            pool.terminate()

    @asynccontextmanager
    async def _connection(self, role: Role) -> AsyncIterator[asyncpg.Connection]:
        try:
            async with (await self._pool(role)).acquire(timeout=5) as connection:
                yield connection
        except _AGAIN:
            raise
        except _DRIFTED:
            raise StoreDrifted from None
        except _AWAY:
            raise StoreUnavailable(f"{self.store.store} does not answer.") from None

    async def _pool(self, role: Role) -> asyncpg.Pool:
        async with self._opening:
            if role not in self._pools:
                place = self.store.location
                self._pools[role] = await asyncpg.create_pool(
                    host=place.host or self.settings.database_host,
                    port=place.port or self.settings.database_port,
                    database=place.database,
                    user=f"{self.store.store}_{role}",
                    password=lambda: self.settings.password(f"stores/{self.store.store}.{role}"),
                    server_settings={"timezone": "UTC", "application_name": "wardline-anonymizer"},
                    min_size=0,
                    max_size=4,
                    max_inactive_connection_lifetime=REST_AFTER,
                    timeout=5,
                    command_timeout=LONGEST,
                    reset=_as_it_was,
                    connection_class=Connection,
                )
            return self._pools[role]


async def _as_it_was(_: asyncpg.Connection) -> None:
    """Between two users of a connection: whatever one of them sets is set for its transaction, which the pool ends. The driver's own way is
    one more question to the server each time."""


async def finished(connection: asyncpg.Connection, step: UUID) -> str | None:
    """The result of a step that was done before, as JSON."""
    return await connection.fetchval(_FINISHED, step)


async def begin(connection: asyncpg.Connection, step: UUID, at: Any) -> None:
    """Claim the step inside the effect's own transaction: a second one waits here, and then sees the first one's result."""
    await connection.execute(_BEGIN, step, at)


async def finish(connection: asyncpg.Connection, step: UUID, result: str) -> None:
    await connection.execute(_FINISH, step, result)
