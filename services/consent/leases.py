"""Never stale: a decision point answers only while it holds a short lease, and a withdrawal is acknowledged when every live
lease has read it.

Each process repeats, a few times a second and at once when somebody waits for it:
  1. t0 = a clock that goes on while the machine or the process sleeps;
     commit "I have read up to `position`, and answer for one second more" (`replica_lease`, the database's clock);
  2. read every entry after `position`, in order, until there is none;
  3. only then answer until t0 + 1 s, less a margin.
Between renewals it reads as the ledger grows, so that a consent given is known at once and costs no commit here.
Whoever acknowledges a withdrawal at position P first waits until no unexpired lease stands before P (`Barrier`).

Why no "yes" follows the acknowledgement. Take a process that answers after it, and the renewal that lets it. Either that
renewal was committed before the barrier looked: then the barrier saw it, and waited until its position reached P or it ran out.
Or it was committed later: then its reading (2) began after the barrier looked, so entry P was there to be read before (3).
Reading first and renewing afterwards would leave exactly that hole. A frozen process wakes up with a lease that ran out and
refuses until it has been through all three steps; a process that cannot renew refuses. A renewal is committed durably: one that
a crash of the database forgot would be a lease nobody knows of.

A database that comes back from a backup, or whose standby took over, may have lost the last entries and have others in their
places. Only a new connection can lead there: whoever makes one looks whether the last entry it read is still the one at that
position, and else begins anew.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from chassis import telemetry
from chassis.db import Database
from chassis.durable import PASSING
from chassis.ids import new_id
from chassis.ledger.merkle import leaf_hash
from chassis.ledger.sequencer import Bell
from chassis.trouble import Trouble
from services.consent import image
from services.consent.contract import NotYetEverywhere
from services.consent.memory import Memory

LEASE = 1.0
# The two clocks run at nearly the same rate for a second; a step of the database's clock is what the margin does not cover.
MARGIN = 0.05
RENEW_EVERY = 0.25
PATIENCE = 5.0
_AT_ONCE = 5000
_AT_A_STRETCH = 100  # entries, after which whoever asks is answered
_NO_ANSWER = 2.0
_LONG_READ = 30.0

# Goes on while the machine is suspended; macOS's monotonic clock does so too, and has no name for it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_RENEW = """
INSERT INTO replica_lease (replica, position, expires_at) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (replica) DO UPDATE SET position = excluded.position, expires_at = excluded.expires_at"""
_GIVE_UP = "DELETE FROM replica_lease WHERE replica = $1"
_SWEEP = "DELETE FROM replica_lease WHERE expires_at < clock_timestamp() - interval '1 minute'"
_NEXT = """
SELECT l.position, e.* FROM (SELECT position, event_id FROM ledger_entry WHERE position > $1 ORDER BY position LIMIT $2) l,
LATERAL (SELECT type, tenant, subject, body FROM event WHERE id = l.event_id OFFSET 0) e ORDER BY l.position"""
_LEAF = "SELECT leaf FROM ledger_entry WHERE position = $1"
# One statement and so one snapshot: a lease renewed after it reads the entry that it saw.
_AWAITED = """
SELECT awaited, CASE WHEN awaited THEN pg_notify('consent_awaited', '') END FROM (
    SELECT EXISTS (SELECT FROM replica_lease WHERE position < l.position AND expires_at > clock_timestamp()) AS awaited
    FROM ledger_entry l WHERE l.event_id = $1
) asked"""


class Replica:
    """This process's copy of everybody's standing, and until when it may answer from it."""

    def __init__(self, database: Database, memory: Memory, renewed: Callable[[], None]) -> None:
        """renewed: called at each renewal, for what is to be as fresh as the lease."""
        self.id = new_id()
        self.memory = memory
        self._database, self._renewed = database, renewed
        self._until = float("-inf")
        self._leaf: bytes | None = None  # of the last entry read
        self._stirred = asyncio.Event()
        self._waited_for = False
        self._trouble = Trouble("no lease on decisions", lasts=2)

    def may_answer(self) -> bool:
        return time.clock_gettime(_CLOCK) < self._until

    async def run(self) -> None:
        """Hold the lease until cancelled; a lost database is waited for, and nothing is answered meanwhile."""
        while True:
            try:
                async with self._connection() as connection:
                    await connection.execute(_SWEEP)
                    await self._hold(connection)
            except PASSING as lost:
                self._trouble.met(lost)
                await asyncio.sleep(RENEW_EVERY)

    async def give_up(self) -> None:
        """A clean end: nobody needs to wait for this lease to run out. Answers end first."""
        self._until = float("-inf")
        async with self._database.system() as connection:
            await connection.execute(_GIVE_UP, self.id)

    async def keep_image(self) -> None:
        """So that the next decision point starts from here."""
        if self.may_answer():
            async with self._database.system() as connection:
                await image.keep(connection, self.memory)

    async def _hold(self, connection: asyncpg.Connection) -> None:
        if await self._at_position(connection) != self._leaf:
            telemetry.log().error("the ledger is another one than before; everything is read anew")
            self._until, self._leaf = float("-inf"), None
            self.memory.forget()
        if self.memory.position == 0:
            await image.begin(connection, self._database.service, self.memory)
            self._leaf = await self._at_position(connection)
        await connection.add_listener("consent_event", self._ledger_grew)
        await connection.add_listener("consent_awaited", self._somebody_waits)
        while True:
            self._waited_for = False
            if not await self._renew(connection):
                await self._read_on(connection, time.monotonic() + RENEW_EVERY)

    async def _at_position(self, connection: asyncpg.Connection) -> bytes | None:
        return await connection.fetchval(_LEAF, self.memory.position)

    async def _read_on(self, connection: asyncpg.Connection, until: float) -> None:
        """Read whenever the ledger grew, until the next renewal is due or somebody waits for it."""
        while not self._waited_for and (left := until - time.monotonic()) > 0:
            if await _happens(self._stirred, left):
                self._stirred.clear()
                if not self._waited_for:
                    await self._read(connection)

    def _ledger_grew(self, *_: object) -> None:
        self._stirred.set()

    def _somebody_waits(self, *_: object) -> None:
        self._waited_for = True
        self._stirred.set()

    async def _renew(self, connection: asyncpg.Connection) -> bool:
        """The three steps. Whether anything was read: then the new position is to be told at once."""
        began, before = time.clock_gettime(_CLOCK), self.memory.position
        await connection.execute(_RENEW, self.id, before, LEASE, timeout=_NO_ANSWER)
        while await self._read(connection) == _AT_ONCE:
            await asyncio.sleep(0)
        self._renewed()
        self._until = began + LEASE - MARGIN
        self._trouble.over()
        return self.memory.position > before

    async def _read(self, connection: asyncpg.Connection) -> int:
        entries = await connection.fetch(_NEXT, self.memory.position, _AT_ONCE, timeout=_LONG_READ)
        for first in range(0, len(entries), _AT_A_STRETCH):
            for entry in entries[first : first + _AT_A_STRETCH]:
                self.memory.read(*entry)
            self._leaf = leaf_hash(entry["body"])
            await asyncio.sleep(0)
        return len(entries)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await self._database.connect_system()
        try:
            yield connection
        finally:
            connection.terminate()


class Barrier:
    """What an acknowledgement waits for."""

    def __init__(self, pool: asyncpg.Pool, grown: Bell) -> None:
        self._pool, self._grown = pool, grown

    async def passed(self, event: UUID) -> None:
        """Until every decision point knows a committed event. Raises NotYetEverywhere after some seconds."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._wait(event)
        except PASSING:
            raise NotYetEverywhere from None

    async def _wait(self, event: UUID) -> None:
        pause = 0.005
        while True:
            turn = self._grown.turn()
            asked = await self._pool.fetchrow(_AWAITED, event)
            if asked is None:
                await _happens(turn, 0.05)  # it has no position yet
            elif asked["awaited"]:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.1)
            else:
                return


async def _happens(turn: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await turn.wait()
    except TimeoutError:
        return False
    return True
