"""Other operators that run this interface, spoken to over HTTP: parts of a package, then the word that this was all."""

from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
from pydantic import ValidationError

from chassis.errors import Unavailable
from services.requests.rights.contract import Received

_TIMEOUT = httpx2.Timeout(10, read=60)
# It may pass by itself: overload, and faults of theirs.
_LATER = frozenset({408, 425, 429})


class NotTaken(Exception):
    """The other operator refuses this package for good."""


@dataclass(frozen=True)
class Peers:
    http: httpx2.AsyncClient

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
        headers = {"content-type": "application/json"}
        try:
            answer = await self.http.request(
                method, url, content=orjson.dumps(body), headers=headers, follow_redirects=False, timeout=_TIMEOUT
            )
        except httpx2.HTTPError:
            raise Unavailable("The other operator does not answer.") from None
        if answer.status_code >= 500 or answer.status_code in _LATER:
            raise Unavailable("The other operator refused for now.")
        if answer.status_code >= 300:
            raise NotTaken
        return answer.content
