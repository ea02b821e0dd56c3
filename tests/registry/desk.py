"""A registry with a clock of its own, and the people around the operator's own registers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2

from chassis import clock
from chassis.client import trust
from services.registry.app import create_app
from services.registry.settings import Settings
from tests.identity.parties import APPROVED, wish
from tests.patience import PATIENCE
from tests.serving import Issuer, serve

MANAGES = "access.request access.decide access.read"


@dataclass
class Desk:
    """A registry with a clock of its own, and the people around its access register."""

    issuer: Issuer
    url: str
    http: httpx2.AsyncClient
    clock: Path
    asks: str
    decides: str
    house: UUID
    founding: list[str] = field(default_factory=list)

    async def send(self, who: str, method: str, path: str, body: Any = None, scopes: str = MANAGES) -> httpx2.Response:
        token = self.issuer.token(
            "registry", scopes, self.house, client_id="staff", act={"sub": "internal"}, kind="staff", sub=who
        )
        headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}
        return await self.http.request(method, self.url + path, json=body, headers=headers)

    async def post(self, who: str, path: str, body: Any) -> Any:
        answer = await self.send(who, "POST", path, body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def get(self, path: str) -> Any:
        answer = await self.send(self.asks, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def given(self, person: str, role: str = "auditor", of: UUID | None = None, **more: Any) -> str:
        asked = await self.post(self.asks, "/v1/access/grants", wish(person, of or self.house, role, **more))
        await self.post(self.decides, f"/v1/access/grants/{asked['id']}/decision", APPROVED)
        return asked["id"]

    async def roles(self, person: str) -> list[str]:
        path = f"/v1/access/standing/{person}?organisation={self.house}"
        answer = await self.send("identity", "GET", path, scopes="access.ask")
        assert answer.status_code == 200, answer.text
        return answer.json()["roles"]

    def move(self, days: float) -> None:
        clock.set_offset(self.clock, timedelta(days=days))

    async def told(self, type: str, **about: str) -> list[dict[str, Any]]:
        """What the ledger says about something; the sequencer needs a moment."""
        path = f"/events?types={type}&limit=500"
        async with asyncio.timeout(PATIENCE):
            while True:
                page = (await self.send("x", "GET", path, scopes="events.read")).json()
                said = [event["data"] for event in page["items"]]
                if found := [data for data in said if about.items() <= data.items()]:
                    return found
                await asyncio.sleep(0.05)

    async def found(self, people: list[str] | None = None) -> httpx2.Response:
        """Two managers of access, the desk's own unless others are named."""
        managers = people if people is not None else [self.asks, self.decides]
        founding = {
            "managers": [{"person": person, "organisation": str(self.house)} for person in managers],
            "purpose": "maintaining_service",
            "justification": "Somebody has to be the first.",
            "valid_to": (datetime.now(UTC) + timedelta(days=300)).isoformat(),
        }
        answer = await self.send("seeder", "POST", "/v1/access/founding", founding, scopes="access.found")
        if answer.status_code == 201:
            self.founding = answer.json()["grants"]
        return answer


@asynccontextmanager
async def open_desk(settings: Settings, issuer: Issuer) -> AsyncIterator[Desk]:
    file = settings.clock_file
    file.write_text("0")
    async with httpx2.AsyncClient(timeout=PATIENCE, verify=trust()) as http:
        async with serve(create_app(settings)) as url:
            desk = Desk(issuer, url, http, file, str(uuid4()), str(uuid4()), UUID(int=0))
            async with asyncio.timeout(PATIENCE):
                while (await http.get(f"{url}/health/ready")).status_code != 200:
                    await asyncio.sleep(0.05)
            assert (await desk.found()).status_code == 201
            yield desk


async def until(look: Any) -> Any:
    async with asyncio.timeout(PATIENCE):
        while not (seen := await look()):
            await asyncio.sleep(0.05)
    return seen
