"""Gives each committed event its position, extends the Merkle tree and signs its head. Any replica may run one; one works at a time.

A pass is one transaction under an advisory lock. It takes the events that no entry names, ordered by `seq`: events written
one after the other under a common lock got their numbers in that order, so a cause always stands before its effect. Which rows
are new is asked of PostgreSQL's own snapshots: an event the last pass could not see was written by a transaction that was
running then, or began later. So a pass costs what is new, however long the ledger is and however long a transaction stays open.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chassis.ledger import checkpoint
from chassis.ledger.checkpoint import Checkpoint
from chassis.ledger.merkle import Frontier
from chassis.ledger.tree import STEP, frontier_at
from chassis.trouble import Trouble

BATCH = 5000
_BUSY, _IDLE = 0.05, 2.0

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
# One statement, so that rows, size and snapshot belong together; it runs after the lock was taken, and therefore sees
# everything the sequencer before us committed. `OFFSET 0`: each new event is looked up among the entries, which are never all read.
_NEW = """
SELECT pg_snapshot_xmax(now_seen)::text AS unseen_from, array(SELECT pg_snapshot_xip(now_seen)::text) AS unseen_running,
       (SELECT coalesce(max(position), 0) FROM "{service}".ledger_entry) AS size,
       (SELECT count(*) FROM (SELECT FROM "{service}".ledger_checkpoint LIMIT 1) any_at_all) AS signed, found.*
FROM pg_current_snapshot() now_seen, (
    SELECT array_agg(id ORDER BY seq) AS ids, array_agg(leaf ORDER BY seq) AS leaves, array_agg(DISTINCT type) AS types FROM (
        SELECT id, seq, type, sha256('\\x00'::bytea || body) AS leaf FROM "{service}".event
        WHERE (xid >= $1::text::xid8 OR xid = ANY ($2::text[]::xid8[]))
          AND NOT EXISTS (SELECT FROM "{service}".ledger_entry WHERE event_id = event.id OFFSET 0)
        ORDER BY seq LIMIT $3
    ) new_ones
) found"""
_NODES = """
INSERT INTO "{service}".ledger_node (level, index, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])"""
# The entries, and the head that is signed over them.
_GROWN = """
WITH entered AS (
    INSERT INTO "{service}".ledger_entry (position, event_id, leaf)
    SELECT $1 + n, id, leaf FROM unnest($2::uuid[], $3::bytea[]) WITH ORDINALITY u(id, leaf, n)
), signed AS (INSERT INTO "{service}".ledger_checkpoint (size, root, note, time) VALUES ($4, $5, $6, $7))
SELECT pg_notify($8, $9)"""

# The last is what asyncpg says in a process that was frozen until the server closed its connection.
_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass(frozen=True)
class _Unseen:
    """Which transactions a snapshot could not see: those from `start` on, and those `running` below it."""

    start: str = "3"
    running: Sequence[str] = ()


class Bell:
    """Wakes everyone who waits for the ledger to grow; a ring between asking and waiting is not lost."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self._choosy: WeakKeyDictionary[asyncio.Event, frozenset[str]] = WeakKeyDictionary()
        self.silenced = False  # whether this process ends, and nobody is to wait any longer

    def turn(self, types: Collection[str] | None = None) -> asyncio.Event:
        """To be taken *before* looking at the ledger, and waited for after nothing was found. types: what is waited for, where that is not
        anything."""
        if types is None:
            return self._next
        turn = asyncio.Event()
        self._choosy[turn] = frozenset(types)
        return turn

    def ring(self, types: Collection[str] | None = None) -> None:
        """types: what has come, where that is known."""
        self._next.set()
        self._next = asyncio.Event()
        for turn in [each for each, wanted in self._choosy.items() if types is None or not wanted.isdisjoint(types)]:
            turn.set()
            del self._choosy[turn]

    def silence(self) -> None:
        self.silenced = True
        self.ring()


async def rung(turn: asyncio.Event, seconds: float) -> None:
    """Waits for a turn of a bell, but no longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await turn.wait()
    except TimeoutError:
        return


class Sequencer:
    """`await Sequencer(database.connect_system, "consent", key).run()`, until cancelled.

    connect: opens a connection of the system role · key: signs checkpoints · grown: rings in every replica when entries came.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        service: str,
        key: Ed25519PrivateKey,
        batch: int = BATCH,
    ) -> None:
        self.service, self.key, self.batch = service, key, batch
        self._connect = connect
        self.grown = Bell()
        self._frontier = Frontier()
        self._unseen = _Unseen()
        self._hint = asyncio.Event()
        self._trouble = Trouble("sequencer lost its database", service=service)

    def wake(self) -> None:
        """A hint that something was committed in this process. Whoever commits gives one, so the look without it, every two seconds, is
        for what a process left that died right after."""
        self._hint.set()

    async def run(self) -> None:
        while True:
            try:
                async with self.session() as connection:
                    await self._follow_commits(connection)
            except _LOST as lost:
                self._trouble.met(lost)
                self._unseen = _Unseen()
                await asyncio.sleep(1)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection]:
        """The sequencer's own connection: a frozen process loses it, and with it the lock, after two seconds."""
        connection = await self._connect()
        try:
            # A cached plan would not know that `xid >= $1` finds hardly anything, and would read the whole table.
            await connection.execute(
                "SET idle_in_transaction_session_timeout = '2s'; SET plan_cache_mode = force_custom_plan"
            )
            await connection.add_listener(f"{self.service}_event", self._heard)
            # What was told while nobody listened here, or what came back from a backup meanwhile, is looked for at once.
            self.grown.ring()
            yield connection
        finally:
            # Not close(): that waits for the server, and the end of a process is no time to wait.
            connection.terminate()

    def _heard(self, *notice: object) -> None:
        types = str(notice[-1])
        self.grown.ring(types.split(",") if types else None)

    async def sequence(self, connection: asyncpg.Connection) -> int | None:
        """One pass. How many events got a position; None when another sequencer holds the lock."""
        async with connection.transaction():
            if not await connection.fetchval(_LOCK, f"ledger of {self.service}"):
                return None
            new = await connection.fetchrow(self._sql(_NEW), self._unseen.start, self._unseen.running, self.batch)
            ids = new["ids"] or []
            if self._frontier.size != new["size"]:
                self._frontier = await frontier_at(connection, self.service, new["size"])
            frontier = self._frontier.copy()
            if ids or not new["signed"]:
                await self._extend(connection, frontier, ids, new["leaves"] or [], new["types"] or [])
        # Only now is it certain: what a failed or unknown commit left is read anew from the rows.
        self._frontier = frontier
        if len(ids) < self.batch:
            self._unseen = _Unseen(new["unseen_from"], new["unseen_running"])
        return len(ids)

    async def _extend(
        self,
        connection: asyncpg.Connection,
        frontier: Frontier,
        ids: Sequence,
        leaves: Sequence[bytes],
        types: Sequence[str],
    ) -> None:
        before = frontier.size
        complete = [done for leaf in leaves for done in frontier.append(leaf) if done[0][0] % STEP == 0]
        if complete:
            levels, indexes = [level // STEP for (level, _), _ in complete], [index for (_, index), _ in complete]
            await connection.execute(self._sql(_NODES), levels, indexes, [hash for _, hash in complete])
        head = Checkpoint(checkpoint.origin_of(self.service), frontier.size, frontier.root())
        note = checkpoint.sign(head, self.key)
        # The wall clock: when it was signed is a fact about this machine, not a period the law counts.
        signed = head.size, head.root, note, datetime.now(UTC)
        told = f"{self.service}_event", ",".join(types)
        await connection.execute(self._sql(_GROWN), before, ids, leaves, *signed, *told)

    async def _follow_commits(self, connection: asyncpg.Connection) -> None:
        while True:
            done = await self.sequence(connection)
            self._trouble.over()
            if done == self.batch:
                continue
            # Never more than twenty passes a second, however many commits call: one pass takes what all of them wrote.
            await asyncio.sleep(_BUSY)
            # Whoever found another at work looks again at once: what called it may not have been seen there.
            if done is not None:
                await self._called_or(_IDLE - _BUSY)

    async def _called_or(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hint.wait()
        except TimeoutError:
            return
        self._hint.clear()

    def _sql(self, statement: str) -> str:
        return statement.format(service=self.service)
