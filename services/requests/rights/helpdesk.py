"""The helpdesk's own system, told where the requests of its tickets stand (Zendesk's API)."""

import base64
from dataclasses import dataclass
from typing import Any

import httpx2

from chassis import strangers
from chassis.errors import Unavailable
from services.requests.rights.settings import Settings

_PATIENCE = 10  # seconds


@dataclass(frozen=True)
class Helpdesk:
    settings: Settings
    http: httpx2.AsyncClient

    @property
    def is_set_up(self) -> bool:
        return bool(self.settings.zendesk_url)

    async def tell(self, ticket: str, update: dict[str, Any]) -> None:
        """Raises Unavailable: it is told later. A ticket that is gone there needs no telling; one that may not be solved before people
        there have filled in something hears the note."""
        status = await self._put(ticket, update)
        if status == 422:
            status = await self._put(ticket, {"ticket": {"comment": update["ticket"]["comment"]}})
        if status not in (200, 404, 410, 422):
            raise Unavailable("The helpdesk's system refused for now.")

    async def _put(self, ticket: str, update: dict[str, Any]) -> int:
        token = self.settings.secret("zendesk.token").decode().strip()
        credentials = base64.b64encode(f"{self.settings.zendesk_user}/token:{token}".encode()).decode()
        url = f"{(self.settings.zendesk_url or '').rstrip('/')}/api/v2/tickets/{ticket}.json"
        headers = {"authorization": f"Basic {credentials}"}
        how = {"json": update, "headers": headers}
        try:
            async with strangers.asking(self.http, "PUT", url, _PATIENCE, **how) as answer:
                return answer.status_code
        except (httpx2.HTTPError, TimeoutError):
            raise Unavailable("The helpdesk's system does not answer.") from None
