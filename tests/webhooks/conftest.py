"""The webhooks service on real PostgreSQL, and a receiver that answers as a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request
from starlette.responses import Response

from chassis.client import trust
from chassis.ids import new_id
from chassis.ledger.events import Event
from ops import migrate
from ops.catalogue import BY_NAME, Process
from ops.postgres import Postgres
from services.webhooks import commands
from services.webhooks.app import create_app
from services.webhooks.contract import SUBJECTS
from services.webhooks.settings import Settings
from tests.patience import PATIENCE
from tests.serving import Issuer, serve


@dataclass
class Receiver:
    """Remembers what came; `answers` are given in turn, the last one for ever."""

    url: str = ""
    answers: list[Response] = field(default_factory=lambda: [Response(status_code=204)])
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def hear(self, request: Request) -> Response:
        self.heard.append((dict(request.headers), await request.body()))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def _heard(self, number: int) -> bool:
        return len(self.heard) >= number

    async def until_heard(self, number: int, seconds: float = PATIENCE) -> None:
        async with asyncio.timeout(seconds):
            while not await self._heard(number):
                await asyncio.sleep(0.02)


@dataclass
class Webhooks:
    http: httpx2.AsyncClient
    app: FastAPI
    issuer: Issuer
    tenant: UUID = field(default_factory=uuid4)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        tenant: UUID | None = None,
        client: str = "helpdesk",
        hear: Iterable[str] = SUBJECTS,
        kind: str = "client",
        **query: Any,
    ) -> httpx2.Response:
        acting = {"client_id": client, "act": {"sub": "public"}, "kind": kind}
        scope = " ".join(("webhooks.manage", *(f"hear.{subject}" for subject in hear)))
        token = self.issuer.token("webhooks", scope, tenant or self.tenant, **acting)
        headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}
        return await self.http.request(method, path, json=body, params=query, headers=headers)

    async def register(self, url: str, *types: str, **caller: Any) -> dict[str, Any]:
        answer = await self.call("POST", "/v1/endpoints", {"url": url, "types": list(types)}, **caller)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def happen(
        self, type: str = "consent.given", tenant: UUID | None = None, data: dict | None = None, id: UUID | None = None
    ) -> Event:
        """As if a feed had brought it."""
        tenant, id = tenant or self.tenant, id or new_id()
        event = Event(
            id=id, seq=1, type=type, source="/wardline/consent", time=datetime.now(UTC), tenant=tenant, subject=uuid4(),
            dataschema=f"/schemas/{type}/v1", traceparent=None, data=data or {"record": str(uuid4())},
        )  # fmt: skip
        await self.hear(event)
        return event

    async def hear(self, event: Event) -> None:
        async with self.app.state.database.transaction(event.tenant) as tx:
            await commands.fan_out(tx, event)

    async def deliveries(self, **query: Any) -> list[dict[str, Any]]:
        return (await self.call("GET", "/v1/deliveries", **query)).json()["items"]

    async def until(self, state: str, number: int = 1, seconds: float = PATIENCE) -> list[dict[str, Any]]:
        async with asyncio.timeout(seconds):
            while len(found := await self.deliveries(state=state)) < number:
                await asyncio.sleep(0.05)
        return found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def service(server: Postgres) -> AsyncIterator[tuple[FastAPI, str, Issuer]]:
    cluster = migrate.Cluster(str(server.socket_dir), server.home.path / "secrets")
    database = f"webhooks_{uuid4().hex[:12]}"
    process = Process("webhooks", "services.webhooks", BY_NAME["webhooks"].app, 0, database)
    await migrate.migrate(cluster, [process], say=lambda _: None)
    issuer = Issuer()
    async with serve(issuer.app) as issuer_url:
        settings = Settings(
            environment="development",
            secrets_dir=cluster.secrets / "webhooks",
            issuer=issuer.name,
            jwks_url=f"{issuer_url}/jwks",
            # Nobody is there: feeds are followed in the journeys, over the whole house.
            peers=dict.fromkeys(("identity", "consent", "rights", "registry", "anonymizer"), "http://127.0.0.1:9"),
            database_host=cluster.host,
            database_name=database,
        )
        app = create_app(settings)
        async with serve(app) as url:
            yield app, url, issuer


@pytest_asyncio.fixture(loop_scope="session")
async def webhooks(service: tuple[FastAPI, str, Issuer]) -> AsyncIterator[Webhooks]:
    app, url, issuer = service
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE, verify=trust()) as http:
        yield Webhooks(http, app, issuer)


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = FastAPI()
    app.add_route("/hook", receiver.hear, methods=["POST"])
    async with serve(app) as url:
        receiver.url = f"{url}/hook"
        yield receiver


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule's shape with other numbers: nobody waits three days for a test."""
    from datetime import timedelta

    monkeypatch.setattr(
        "services.webhooks.rules.PAUSES", (timedelta(0), timedelta(seconds=0.2), timedelta(seconds=0.3))
    )
