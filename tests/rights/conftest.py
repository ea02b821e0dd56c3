"""Rights on real PostgreSQL over HTTP, with a real registry in front of it and a small operator behind it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest
import pytest_asyncio
from fastapi import Request

from chassis import clock
from chassis.errors import Unavailable
from ops import migrate
from ops.catalogue import BY_NAME
from ops.postgres import Postgres
from services.registry.app import create_app as registry_app
from services.registry.settings import Settings as RegistrySettings
from services.requests.rights import contract, jobs
from services.requests.rights.app import create_app
from services.requests.rights.client import RightsClient
from services.requests.rights.contract import Confirm, ConfirmMandate, Kind, OpenRequest, RecordMandate
from services.requests.rights.settings import Settings
from tests.mailbox import Mailbox, mailbox
from tests.overseer import Overseer
from tests.patience import PATIENCE
from tests.rights.operator import Operator
from tests.serving import Issuer, serve

jobs._COLLECTED_AT_ONCE = 1  # so that those who ask at the same moment are collected together, though they are few


@dataclass
class Speaking:
    """What a client needs of a token source, for somebody who was given `claims`."""

    issuer: Issuer
    scope: str
    claims: dict[str, Any] = field(default_factory=dict)

    async def token(self, audience: str, tenant: UUID | None = None) -> str:
        return self.issuer.token(audience, self.scope, **({"tenant": tenant} | self.claims))


@dataclass
class House:
    """A running rights service. `database` is where its rows are, for a test that searches them."""

    url: str
    http: httpx2.AsyncClient
    issuer: Issuer
    operator: Operator
    settings: Settings
    server: Postgres
    mailbox: Mailbox
    overseer: Overseer
    offset: timedelta = timedelta(0)

    def person(self, principal: UUID, tenant: UUID, **bent: Any) -> RightsClient:
        claims = {"sub": str(principal), "kind": "customer", "tenant": tenant, "act": {"sub": "public"}}
        claims |= {"acr": "password", "auth_time": int(time.time())} | bent
        return self._client("rights.request", claims)

    def helpdesk(self, tenant: UUID, name: str = "hilda") -> RightsClient:
        """Staff of the tenant's helpdesk, at the internal edge."""
        return self._staff(tenant, name, "helpdesk")

    def officer(self, tenant: UUID, name: str = "pontus") -> RightsClient:
        """One of the operator's privacy officers; two of them are two pairs of eyes."""
        return self._staff(tenant, name, "privacy_officer")

    def contact(self, tenant: UUID) -> RightsClient:
        """The privacy contact of the organisation itself."""
        return self._staff(tenant, "kajsa", "privacy_contact")

    def _staff(self, tenant: UUID, name: str, role: str) -> RightsClient:
        claims = {"sub": name, "kind": "staff", "roles": [role], "tenant": tenant, "act": {"sub": "internal"}}
        return self._client("rights.handle", claims)

    async def mandate(self, tenant: UUID, wish: RecordMandate) -> contract.Mandate:
        """Recorded by one of the staff, whose papers another has looked at."""
        recorded = await self.helpdesk(tenant).record_mandate(wish, key=str(uuid4()))
        seen = ConfirmMandate(papers=wish.papers)
        return await self.helpdesk(tenant, "hugo").confirm_mandate(recorded.mandate, seen, key=str(uuid4()))

    def ticket_system(self, tenant: UUID) -> RightsClient:
        return self._client("ticket.post rights.request", {"tenant": tenant, "act": {"sub": "public"}})

    def _client(self, scope: str, claims: dict[str, Any]) -> RightsClient:
        return RightsClient(self.http, self.url, Speaking(self.issuer, scope, claims))

    def later(self, **by: float) -> None:
        """Business time moves on; it never goes back."""
        self.offset += timedelta(**by)
        clock.set_offset(self.settings.clock_file, self.offset)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    async def until_day(self, day: date) -> None:
        """Business time goes on to noon of a day; it never goes back."""
        noon = datetime.combine(day, time_of_day(12), UTC)
        if noon > self.now():
            self.later(seconds=(noon - self.now()).total_seconds())

    async def seen(
        self, look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool], seconds: float = PATIENCE
    ) -> Any:
        """What one sees once it is as wanted."""
        async with asyncio.timeout(seconds):
            while not wanted(found := await look()):
                await asyncio.sleep(0.05)
        return found

    async def events(self, request: UUID) -> list[str]:
        """The types of what the ledger holds of a request, in order."""
        query = (
            "SELECT type FROM rights.event WHERE convert_from(body, 'UTF8')::json->'data'->>'request' = $1 ORDER BY seq"
        )
        return [row["type"] for row in await self.rows(query, str(request))]

    async def told(self, request: UUID, type: str = "recipient.told") -> list[dict[str, Any]]:
        """What the ledger's events of one type say of a request, in order."""
        query = "SELECT body FROM rights.event WHERE type = $1 ORDER BY seq"
        said = [orjson.loads(row["body"])["data"] for row in await self.rows(query, type)]
        return [each for each in said if each["request"] == str(request)]

    async def until(
        self, client: RightsClient, request: UUID, wanted: Callable[[contract.Request], bool], seconds: float = PATIENCE
    ) -> contract.Request:
        async with asyncio.timeout(seconds):
            while True:
                # Nobody answers for some seconds where others keep the machine busy.
                with suppress(Unavailable):
                    if wanted(seen := await client.request(request)):
                        return seen
                await asyncio.sleep(0.05)

    async def until_state(self, client: RightsClient, request: UUID, *states: str) -> contract.Request:
        return await self.until(client, request, lambda seen: seen.state in states)

    async def confirmed(self, client: RightsClient) -> contract.Request:
        """A deletion that was asked for, previewed and confirmed."""
        asked = await client.open(OpenRequest(kind=Kind.deletion), key=str(uuid4()))
        await self.until_state(client, asked.request, "previewed")
        preview = await client.preview(asked.request)
        return await client.confirm(asked.request, Confirm(preview=preview.digest), key=str(uuid4()))

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        return await self.overseer.rows(self.settings.database_name, statement, *values)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def house(server: Postgres) -> AsyncIterator[House]:
    async with furnished(server, lambda settings: serve(create_app(settings))) as house:
        yield house


@asynccontextmanager
async def furnished(
    server: Postgres, running: Callable[[Settings], AbstractAsyncContextManager[str]]
) -> AsyncIterator[House]:
    """A house in which rights runs in some way, which says where it listens."""
    database = f"rights_{uuid4().hex[:12]}"
    cluster = migrate.Cluster(str(server.socket_dir), server.home.path / "secrets")
    processes = [replace(BY_NAME[name], database=database) for name in ("registry", "rights")]
    await migrate.migrate(cluster, processes, say=lambda _: None)
    issuer, operator = Issuer(), Operator()
    issuer.app.add_api_route("/token", _grant(issuer), methods=["POST"])
    async with AsyncExitStack() as stack:
        box = stack.enter_context(mailbox())
        identity = await stack.enter_async_context(serve(issuer.app))
        http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=PATIENCE))
        told = {
            "environment": "development",
            "home": server.home.path,
            "issuer": issuer.name,
            "jwks_url": f"{identity}/jwks",
            "database_host": cluster.host,
            "database_name": database,
            "clock_file": server.home.path / f"clock-{database}",
        }
        anonymizer = await stack.enter_async_context(serve(operator.app()))
        asked = {"identity": identity, "anonymizer": anonymizer, "webhooks": "http://127.0.0.1:9"}
        of_registry = RegistrySettings(secrets_dir=cluster.secrets / "registry", peers=asked, **told)
        registry = await stack.enter_async_context(serve(registry_app(of_registry)))
        peers = {"identity": identity, "registry": registry, "anonymizer": anonymizer, "consent": anonymizer}
        (cluster.secrets / "rights" / "sms.token").write_text("provider's token")
        (cluster.secrets / "rights" / "zendesk.token").write_text("zendesk's token")
        post = {
            "smtp_host": "127.0.0.1",
            "smtp_port": box.port,
            "smtp_starttls": False,
            "smtp_from": "us@nordtel.example",
        }
        settings = Settings(
            secrets_dir=cluster.secrets / "rights",
            peers=peers,
            sms_url=f"{anonymizer}/sms",
            zendesk_url=anonymizer,
            **post,
            **told,
        )
        url = await stack.enter_async_context(running(settings))
        async with asyncio.timeout(PATIENCE):
            while (await http.get(url + "/health/ready")).status_code != 200:
                await asyncio.sleep(0.05)
        overseer = Overseer(server)
        stack.push_async_callback(overseer.close)
        yield House(url, http, issuer, operator, settings, server, box, overseer)


@pytest.fixture
def tenant() -> UUID:
    return uuid4()


def _grant(issuer: Issuer) -> Callable[[Request], Any]:
    async def grant(request: Request) -> dict[str, Any]:
        form = await request.form()
        scope = "policy.read data.resolve data.work data.read consent.read consent.write"
        tenant = UUID(str(form["tenant"])) if "tenant" in form else None
        token = issuer.token(str(form["resource"]), scope, tenant, client_id="rights", sub="rights")
        return {"access_token": token, "expires_in": 300}

    return grant
