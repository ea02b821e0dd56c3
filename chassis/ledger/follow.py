"""Learning another service's facts: its feed is followed with a stored cursor, and each effect commits together with the cursor.

So an event may be heard many times and takes effect once: whoever moves the cursor past its position handles it, and a second
replica, or the same process after a crash, finds the cursor moved. A handler that fails is tried again from the same event.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Any

from chassis.client import ServiceClient
from chassis.db import Database
from chassis.durable import PASSING
from chassis.ledger.events import Event
from chassis.trouble import Trouble

WAIT = 20

_AT = "SELECT position FROM feed_cursor WHERE name = $1"
_BEGIN = "INSERT INTO feed_cursor (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING"
_MOVE = "UPDATE feed_cursor SET position = $2 WHERE name = $1 AND position < $2"
_MOVE_OVER = "UPDATE feed_cursor SET position = $3 WHERE name = $1 AND position < $2"


class Follower:
    """`await Follower(client, database, "consent", handle, types=("consent.withdrawn",)).run()`, until cancelled.

    client: of the service that is followed · name: the cursor's, one for each feed and use · handle(tx, event): the effect, in a
    transaction of the event's tenant; `event.seq` is its position · types: None means all, also those it will learn to ignore · pause:
    seconds after a page that was not full, in which more comes where one request tells ten facts in the tenth of a second.
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
    ) -> None:
        self.client, self.database, self.name = client, database, name
        self.handle, self.types, self.pause = handle, types, pause
        self._at: int | None = None

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
        position, self._at = await self._begin() if self._at is None else self._at, None
        query: dict[str, Any] = {"after": position, "wait": wait, "limit": self.page}
        if self.types is not None:
            query["types"] = ",".join(self.types)
        page = await self.client.call("GET", "/events", query=query, timeout=wait + 10)
        events, next_ = [Event.read(item, item["position"]) for item in page["items"]], int(page["next"])
        took = await self._take_all(events)
        if next_ > (events[-1].seq if events else position):
            await self._skip_to(next_)
        self._at = next_
        return took

    async def _take_all(self, events: Sequence[Event]) -> int:
        return sum([await self._take(event) for event in events])

    async def _take(self, event: Event) -> bool:
        async with self.database.transaction(event.tenant) as tx:
            # The row lock of this update is what a second replica waits for, and then finds the event taken.
            if await tx.connection.execute(_MOVE, self.name, event.seq) == "UPDATE 0":
                return False
            await self.handle(tx, event)
        return True

    async def _begin(self) -> int:
        async with self.database.system() as connection:
            await connection.execute(_BEGIN, self.name)
            return await connection.fetchval(_AT, self.name)

    async def _skip_to(self, position: int) -> None:
        """Over the events of other types behind the last one taken."""
        async with self.database.system() as connection:
            await connection.execute(_MOVE, self.name, position)


class RunFollower(Follower):
    """For feeds that may bring a million at once: those of one tenant that stand behind one another take effect in one transaction.

    handle(tx, *events).
    """

    page = 500

    async def _take_all(self, events: Sequence[Event]) -> int:
        runs = [list(run) for _, run in groupby(events, key=lambda event: event.tenant)]
        return sum([await self._take_run(run) for run in runs])

    async def _take_run(self, run: Sequence[Event]) -> int:
        async with self.database.transaction(run[0].tenant) as tx:
            if await tx.connection.execute(_MOVE_OVER, self.name, run[0].seq, run[-1].seq) == "UPDATE 1":
                await self.handle(tx, *run)
                return len(run)
        # A second replica is somewhere among them.
        return await super()._take_all(run)
