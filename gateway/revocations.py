"""Which sessions identity has ended: its feed is followed by long poll, and an edge that has lost it refuses everybody.

The feed is read from near its end: whatever ended before this edge started is known to identity, which exchanges no token of it.
"""

import asyncio
import time
from collections.abc import Callable

import httpx2

from chassis.client import TokenSource
from chassis.errors import Problem, Unauthenticated, Unavailable
from chassis.trouble import Trouble
from services.identity.contract import SESSION_REVOKED

LOST_AFTER = 10.0
_WAIT = 3
_PATIENCE = 5.0
# Tokens live 300 s at most, so a session need not be remembered longer than that and two clocks' difference.
_REMEMBER = 330.0
_LOOK_BACK = 500


class Revocations:
    """`forget(sid)` drops what was remembered of a session; `check(sid)` refuses its tokens."""

    def __init__(
        self, http: httpx2.AsyncClient, edge: TokenSource, identity: str, forget: Callable[[str], None]
    ) -> None:
        self.http, self.edge, self.identity, self.forget = http, edge, identity, forget
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
        trouble = Trouble("revocation feed interrupted")
        while True:
            try:
                position = await self._near_end()
                while True:
                    position = await self._listen(position)
                    trouble.over()
            except (httpx2.HTTPError, Problem, ValueError) as lost:
                trouble.met(lost)
                await asyncio.sleep(0.5)

    async def _near_end(self) -> int:
        """The checkpoint's second line is the number of events."""
        note = await self._get("/ledger/checkpoint", {})
        return max(0, int(note.text.split("\n")[1]) - _LOOK_BACK)

    async def _listen(self, position: int) -> int:
        query = {"after": position, "wait": _WAIT, "limit": 500, "types": SESSION_REVOKED}
        page = (await self._get("/events", query)).json()
        for event in page["items"]:
            self._end(event["data"]["sid"])
        self._heard = time.monotonic()
        return int(page["next"])

    def _end(self, session: str) -> None:
        now = time.monotonic()
        self._ended = {sid: at for sid, at in self._ended.items() if at > now - _REMEMBER} | {session: now}
        self.forget(session)

    async def _get(self, path: str, query: dict[str, str | int]) -> httpx2.Response:
        headers = {"authorization": f"Bearer {await self.edge.token('identity')}"}
        answer = await self.http.get(self.identity + path, params=query, headers=headers, timeout=_WAIT + _PATIENCE)
        if answer.status_code != 200:
            raise Unavailable("The revocation feed refused this edge.")
        return answer
