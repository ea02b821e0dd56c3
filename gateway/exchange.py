"""The caller's token for one that the service behind takes: the caller stays the subject, this edge is named as the actor.

Remembered by token and audience until 30 seconds before they expire; many requests at once ask identity once.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass

import httpx2

from chassis import telemetry
from chassis.auth import Caller
from chassis.client import TokenSource
from chassis.errors import Unauthenticated, Unavailable

_RENEW_BEFORE = 30
_REMEMBERED = 50_000
_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

Key = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class _Exchanged:
    token: str
    until: float
    session: str | None


class Exchange:
    def __init__(self, http: httpx2.AsyncClient, edge: TokenSource) -> None:
        self.http, self.edge = http, edge
        self._held: OrderedDict[Key, _Exchanged] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[str]] = {}

    async def token(self, token: str, caller: Caller, audience: str) -> str:
        """Raises Unauthenticated when identity does not honour the caller's token any more, Unavailable when it does not answer."""
        key = (hashlib.sha256(token.encode()).digest(), audience)
        held = self._held.get(key)
        if held is not None and held.until > time.time():
            return held.token
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key, token, caller))
            asking.add_done_callback(lambda done: self._answered(key, done))
        # One who hangs up must not take the answer away from the others.
        return await asyncio.shield(asking)

    def forget(self, session: str | None) -> None:
        """None: of every session."""
        for key in [key for key, held in self._held.items() if session in (None, held.session)]:
            del self._held[key]

    def _answered(self, key: Key, done: "asyncio.Task[str]") -> None:
        del self._asking[key]
        # Looked at here, too: everybody who waited may have hung up.
        if not done.cancelled():
            done.exception()

    async def _ask(self, key: Key, token: str, caller: Caller) -> str:
        form = {
            "grant_type": _GRANT,
            "subject_token": token,
            "subject_token_type": _ACCESS_TOKEN,
            "audience": key[1],
            "client_assertion_type": _ASSERTION,
            "client_assertion": self.edge.assertion(),
        }
        parent = telemetry.traceparent()
        try:
            answer = await self.http.post(
                self.edge.token_url, data=form, headers={"traceparent": parent} if parent else None
            )
        except httpx2.HTTPError:
            raise Unavailable("The token issuer does not answer.") from None
        if answer.status_code == 400 and answer.json().get("error") == "invalid_grant":
            raise Unauthenticated("Log in again.")
        if answer.status_code != 200:
            raise Unavailable("The token issuer refused this edge.")
        body = answer.json()
        self._held[key] = _Exchanged(
            body["access_token"], time.time() + body["expires_in"] - _RENEW_BEFORE, caller.session
        )
        if len(self._held) > _REMEMBERED:
            self._held.popitem(last=False)
        return body["access_token"]
