"""Which sessions identity has ended: its feed is followed by long poll, and an edge that has lost it refuses everybody.

The feed is read from near its end: whatever ended before this edge started is known to identity, which exchanges no token of it.
An identity that came back from a backup has another feed: then nothing that was exchanged before counts any more.
"""

import asyncio
import time
from collections.abc import Callable

import httpx2

from chassis import telemetry
from chassis.client import ServiceClient, TokenSource
from chassis.errors import Problem, Unauthenticated, Unavailable
from chassis.ledger.contract import PositionUnknown
from chassis.trouble import Trouble
from services.identity.contract import SESSION_REVOKED

LOST_AFTER = 10.0
_WAIT = 3
_PATIENCE = 5.0
# Tokens live 300 s at most, so a session need not be remembered longer than that and two clocks' difference.
_REMEMBER = 330.0
_LOOK_BACK = 500


class Revocations:
    """`forget(sid)` drops what was remembered of a session, of every one when it is None; `check(sid)` refuses its tokens."""

    def __init__(
        self, http: httpx2.AsyncClient, edge: TokenSource, identity: str, forget: Callable[[str | None], None]
    ) -> None:
        self.http, self.edge, self.identity, self.forget = http, edge, identity, forget
        self.feed = ServiceClient(http, identity, edge, "identity")
        self._heard = float("-inf")
        self._ended: dict[str, float] = {}

    def fresh(self) -> bool:
        return time.monotonic() - self._heard < LOST_AFTER

    def check(self, session: str | None) -> None:
        """Raises Unavailable when it is not known who is still logged in, Unauthenticated for a session that has ended."""
        if not self.fresh():
            raise Unavailable("It cannot be told right now whose session has ended.")
        if session in self._ended:
            raise Unauthenticated("Log in again.")

    async def run(self) -> None:
        trouble, at = Trouble("revocation feed interrupted"), None
        while True:
            try:
                at = await self._listen(at or await self._near_end())
                trouble.over()
            except PositionUnknown:
                telemetry.log().error("the feed of identity is another one than before; nothing of it counts any more")
                self._heard, at = float("-inf"), None
                self.forget(None)
            except (httpx2.HTTPError, Problem, ValueError) as lost:
                trouble.met(lost)
                await asyncio.sleep(0.5)

    async def _near_end(self) -> tuple[int, None]:
        """The checkpoint's second line is the number of events."""
        headers = {"authorization": f"Bearer {await self.edge.token('identity')}"}
        note = await self.http.get(f"{self.identity}/ledger/checkpoint", headers=headers, timeout=_PATIENCE)
        if note.status_code != 200:
            raise Unavailable("The ledger of identity refused this edge.")
        return max(0, int(note.text.split("\n")[1]) - _LOOK_BACK), None

    async def _listen(self, at: tuple[int, str | None]) -> tuple[int, str | None]:
        items, reached = await self.feed.events(at, wait=_WAIT, limit=500, types=[SESSION_REVOKED], patience=_PATIENCE)
        for event in items:
            self._end(event["data"]["sid"])
        self._heard = time.monotonic()
        return reached

    def _end(self, session: str) -> None:
        now = time.monotonic()
        self._ended = {sid: at for sid, at in self._ended.items() if at > now - _REMEMBER} | {session: now}
        self.forget(session)
