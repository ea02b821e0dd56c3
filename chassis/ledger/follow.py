"""Learning another service's facts: its feed is followed with a stored cursor, and each effect commits together with the cursor.

So an event may be heard many times and takes effect once: whoever moves the cursor past its position handles it, and a second
replica, or the same process after a crash, finds the cursor moved. A handler that fails is tried again from the same event.

The cursor names the leaf of the entry that was read last. A service that came back from an older backup has another one there, or
none: it refuses, and its feed is heard anew from the beginning, since what stands in the place of what was lost was never heard.
So a handler knows by the event's own id, or by what it tells, what it has dealt with before. Whoever told that service something
tells it again (`anew`): it may have lost that, and does not know.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby

import asyncpg

from chassis import telemetry
from chassis.client import ServiceClient
from chassis.db import Database
from chassis.durable import PASSING
from chassis.ledger.contract import PositionUnknown
from chassis.ledger.events import Event
from chassis.trouble import Trouble

WAIT = 20

_AT = "SELECT position, leaf FROM feed_cursor WHERE name = $1"
_BEGIN = "INSERT INTO feed_cursor (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING"
_MOVE = "UPDATE feed_cursor SET position = $2, leaf = $3 WHERE name = $1 AND position < $2"
_MOVE_OVER = "UPDATE feed_cursor SET position = $3, leaf = $4 WHERE name = $1 AND position < $2"
_REACH = "UPDATE feed_cursor SET position = $2, leaf = $3 WHERE name = $1 AND position <= $2"
_ANEW = """
UPDATE feed_cursor SET position = 0, leaf = NULL WHERE name = $1 AND position = $2 AND leaf IS NOT DISTINCT FROM $3"""

Heard = tuple[Event, str]  # with the leaf of its entry


class Follower:
    """`await Follower(client, database, "consent", handle, types=("consent.withdrawn",)).run()`, until cancelled.

    client: of the service that is followed · name: the cursor's, one for each feed and use · handle(tx, event): the effect, in a
    transaction of the event's tenant; `event.seq` is its position · types: None means all, also those it will learn to ignore · pause:
    seconds after a page that was not full, in which more comes where one request tells ten facts in the tenth of a second · anew: in
    the system's transaction that goes back to the beginning.
    """

    page = 200

    def __init__(
        self,
        client: ServiceClient,
        database: Database,
        name: str,
        handle: Callable[..., Awaitable[None]],
        types: Sequence[str] | None = None,
        pause: float = 0,
        anew: Callable[[asyncpg.Connection], Awaitable[None]] | None = None,
    ) -> None:
        self.client, self.database, self.name = client, database, name
        self.handle, self.types, self.pause, self.anew = handle, types, pause, anew
        self._at: tuple[int, str | None] | None = None

    async def run(self) -> None:
        trouble = Trouble("feed interrupted", feed=self.name)
        while True:
            try:
                took = await self.follow(wait=WAIT)
                trouble.over()
                await asyncio.sleep(self.pause if took < self.page else 0)
            except PASSING as failure:
                await asyncio.sleep(random.uniform(0.5, 1) * min(2 ** trouble.met(failure), 30))

    async def follow(self, wait: float = 0) -> int:
        """Takes one page of the feed: handles its events, moves the cursor, says how many events took effect here."""
        # Whoever fails below looks again where the cursor stands.
        at, self._at = await self._begin() if self._at is None else self._at, None
        try:
            items, reached = await self.client.events(at, wait=wait, limit=self.page, types=self.types)
        except PositionUnknown:
            await self._begin_anew(*at)
            return 0
        heard = [(Event.read(item, item["position"]), item["leaf"]) for item in items]
        took = await self._take_all(heard)
        if reached != ((heard[-1][0].seq, heard[-1][1]) if heard else at):
            await self._change(_REACH, *reached)  # over the events of other types
        self._at = reached
        return took

    async def _take_all(self, heard: Sequence[Heard]) -> int:
        return sum([await self._take(*each) for each in heard])

    async def _take(self, event: Event, leaf: str) -> bool:
        async with self.database.transaction(event.tenant) as tx:
            # The row lock of this update is what a second replica waits for, and then finds the event taken.
            if await tx.connection.execute(_MOVE, self.name, event.seq, leaf) == "UPDATE 0":
                return False
            await self.handle(tx, event)
        return True

    async def _begin(self) -> tuple[int, str | None]:
        async with self.database.system() as connection:
            await connection.execute(_BEGIN, self.name)
            return tuple(await connection.fetchrow(_AT, self.name))

    async def _begin_anew(self, position: int, leaf: str | None) -> None:
        telemetry.log().error(
            "the feed is another one than before; it is heard anew", feed=self.name, position=position
        )
        async with self.database.system() as connection:
            if await connection.execute(_ANEW, self.name, position, leaf) == "UPDATE 1" and self.anew is not None:
                await self.anew(connection)

    async def _change(self, statement: str, position: int, leaf: str | None) -> None:
        async with self.database.system() as connection:
            await connection.execute(statement, self.name, position, leaf)


class RunFollower(Follower):
    """For feeds that may bring a million at once: those of one tenant that stand behind one another take effect in one transaction.

    handle(tx, *events).
    """

    page = 500

    async def _take_all(self, heard: Sequence[Heard]) -> int:
        runs = [list(run) for _, run in groupby(heard, key=lambda each: each[0].tenant)]
        return sum([await self._take_run(run) for run in runs])

    async def _take_run(self, run: Sequence[Heard]) -> int:
        events, (last, leaf) = [event for event, _ in run], run[-1]
        async with self.database.transaction(last.tenant) as tx:
            if await tx.connection.execute(_MOVE_OVER, self.name, events[0].seq, last.seq, leaf) == "UPDATE 1":
                await self.handle(tx, *events)
                return len(run)
        # A second replica is somewhere among them.
        return await super()._take_all(run)
