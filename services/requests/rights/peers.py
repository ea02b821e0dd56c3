"""Other operators that run this interface, spoken to over HTTP: parts of a package, then the word that this was all."""

from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
from pydantic import ValidationError

from chassis import addresses, strangers
from chassis.errors import Unavailable
from services.requests.rights.contract import Received

_TIMEOUT = httpx2.Timeout(10, read=60)
_PATIENCE = 120  # seconds for one answer, however it drips
# A receipt is two kilobytes.
_LONGEST_ANSWER = 64 * 1024
# It may pass by itself: overload, and faults of theirs.
_LATER = frozenset({408, 425, 429})


class NotTaken(Exception):
    """The other operator refuses this package for good."""


@dataclass(frozen=True)
class Peers:
    """loopback: development, where another operator may live on this machine."""

    http: httpx2.AsyncClient
    loopback: bool

    async def hand_part(self, url: str, reception: str, place: int, body: dict[str, Any]) -> None:
        """Raises NotTaken, and Unavailable: later, then."""
        await self._send("PUT", f"{url}/v1/receptions/{reception}/parts/{place}", body)

    async def hand_over(self, url: str, reception: str, body: dict[str, Any]) -> Received:
        answer = await self._send("POST", f"{url}/v1/receptions/{reception}/end", body)
        try:
            return Received.model_validate_json(answer)
        except ValidationError:
            raise NotTaken from None

    async def _send(self, method: str, url: str, body: dict[str, Any]) -> bytes:
        """The answer's bytes as they came: whoever is asked may say anything, in any length, at any pace."""
        try:
            headers = {"content-type": "application/json", "accept-encoding": "identity"}
            how = {"content": orjson.dumps(body), "headers": headers, "loopback": self.loopback, "timeout": _TIMEOUT}
            async with strangers.asking_at(self.http, method, url, _PATIENCE, **how) as answer:
                if answer.status_code >= 500 or answer.status_code in _LATER:
                    raise Unavailable("The other operator refused for now.")
                if answer.status_code >= 300:
                    raise NotTaken
                return await _said(answer)
        except addresses.NotPublic:
            raise Unavailable("The other operator's address leads to no public host.") from None
        except (httpx2.HTTPError, OSError, TimeoutError):
            raise Unavailable("The other operator does not answer.") from None


async def _said(answer: httpx2.Response) -> bytes:
    """Not unpacked, whatever it says of itself. Raises NotTaken for what is no receipt."""
    said = bytearray()
    async for piece in answer.aiter_raw():
        said += piece
        if len(said) > _LONGEST_ANSWER:
            raise NotTaken
    return bytes(said)
