"""The anonymizer over HTTP, on the sample operator's real stores, with a real registry beside it.

Tests share one operator and erase each their own people from it; a test that sweeps gets an operator of its own. Disclosure is
played by `Orders`, which a test may tell to hold something, or to be silent.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest_asyncio
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from chassis import clock
from ops import keys, migrate
from ops.catalogue import BY_NAME
from ops.home import Home
from ops.postgres import Postgres
from sample.cases import PRIVATE
from sample.filling import fill
from sample.manifest import Manifest
from services.anonymizer.app import create_app
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import (
    CollectionRequest,
    FindPrincipal,
    Identifier,
    Scope,
    StepRequest,
    StepResult,
    StepState,
    Verb,
)
from services.anonymizer.settings import Settings
from services.registry.app import create_app as registry_app
from services.registry.settings import Settings as RegistrySettings
from services.requests.disclosure.leases import SECONDS as LEASE
from tests.conftest import house as a_house
from tests.overseer import Overseer
from tests.patience import PATIENCE
from tests.serving import Issuer, serve

SCOPES = "data.resolve data.work data.read data.sweep data.disclose data.return events.read"
MAILBOX = """
store: mailbox
label: {sv: Postlåda, en: Mailbox}
kind: manual
controller: operator
manual:
  owner: privacy@nordtel.example
  instructions: {sv: Sök efter personens adresser och radera., en: Search for the person's addresses and delete.}
  elements: [helpdesk_email]
"""
NOBODY = dict.fromkeys(("anonymizer", "webhooks"), "http://127.0.0.1:9")  # whom the registry would ask and follow
DATABASES = {"billing": "sample_billing", "calls": "sample_calls", "helpdesk": "sample_helpdesk"}


@dataclass
class Orders:
    """Disclosure as the anonymizer sees it."""

    holds: list[dict[str, Any]] = field(default_factory=list)
    settlements: list[dict[str, Any]] = field(default_factory=list)
    silent: bool = False
    slowness: float = 0
    asked: list[str | None] = field(default_factory=list)
    before_commit: Callable[[], Awaitable[None]] | None = None

    def hold(
        self, identifier: str, categories: list[str], since: datetime, until: datetime, type: str = "msisdn"
    ) -> UUID:
        hold = uuid4()
        period = {"from": since.isoformat(), "to": until.isoformat()}
        named = [{"type": type, "value": identifier}]
        self.holds.append({"hold": str(hold), "identifiers": named, "categories": categories, "period": period})
        return hold

    def preserved(self, hold: UUID) -> int:
        counts = [one for settled in self.settlements for one in settled["preserved"] if one["hold"] == str(hold)]
        return sum(one["count"] for one in counts)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/holds/query")
        async def query(request: Request) -> Response:
            step = (await request.json())["step"]
            self.asked.append(step)
            if step and self.before_commit:
                await self.before_commit()
            lease = LEASE if step else None
            return (
                Response(status_code=503)
                if self.silent
                else JSONResponse({"holds": self.holds, "lease_seconds": lease})
            )

        @app.post("/v1/holds/settlements")
        async def settle(request: Request) -> Response:
            await asyncio.sleep(self.slowness)
            settled = await request.json()
            if settled not in self.settlements:
                self.settlements.append(settled)
            return JSONResponse({"step": settled["step"]})

        return app


@dataclass
class House:
    """A running anonymizer and the operator behind it. `today` is the day the stores were filled for."""

    url: str
    http: httpx2.AsyncClient
    issuer: Issuer
    orders: Orders
    settings: Settings
    server: Postgres
    manifest: Manifest
    client: AnonymizerClient
    overseer: Overseer

    @property
    def today(self) -> date:
        return self.manifest.today

    @property
    def stores(self) -> Path:
        return self.server.home.path / "sample" / "stores"

    def later(self, **time: int) -> None:
        """Business time goes on by so much."""
        file = self.settings.clock_file
        assert file is not None
        clock.set_offset(file, clock.now() - datetime.now(UTC) + timedelta(**time))

    async def principal(self, key: str, tenant: UUID = PRIVATE.id) -> UUID:
        identifiers = [Identifier.model_validate_json(json.dumps(one)) for one in self.manifest.people[key].identifiers]
        return await self.client.principal(FindPrincipal(identifiers=identifiers), tenant=tenant)

    async def step(
        self, verb: Verb, store: str, principal: UUID, scope: Scope | None = None, step: UUID | None = None
    ) -> StepResult:
        """As rights does: whoever is told that it still runs asks again."""
        wish = StepRequest(verb=verb, store=store, principal=principal, scope=scope)
        step = step or uuid4()
        while (done := await self.client.step(step, wish, tenant=PRIVATE.id)).state == StepState.running:
            await asyncio.sleep(0.05)
        return done

    async def collected(
        self, store: str, principal: UUID, tenant: UUID = PRIVATE.id, portable: bool = False
    ) -> dict[str, list[dict[str, Any]]]:
        wish = CollectionRequest(step=uuid4(), store=store, principal=principal, portable=portable)
        async with self.client.collect(wish, tenant=tenant) as stream:
            return read(b"".join([chunk async for chunk in stream]))

    async def rows(self, store: str, statement: str, *values: Any) -> list[asyncpg.Record]:
        """As the superuser sees a store (or the anonymizer's own database)."""
        return await self.overseer.rows(DATABASES.get(store, store), statement, *values)

    async def events(self, type: str) -> list[dict[str, Any]]:
        """What was recorded, whether or not it has its place in the ledger yet."""
        rows = await self.rows("wardline", "SELECT body FROM anonymizer.event WHERE type = $1 ORDER BY seq", type)
        return [json.loads(row["body"]) for row in rows]


def read(stream: bytes) -> dict[str, list[dict[str, Any]]]:
    """table → rows of a collection that came whole, without the files beside them."""
    tables: dict[str, list[dict[str, Any]]] = {}
    file = None
    lines = [json.loads(line) for line in stream.splitlines()]
    assert lines[-1]["end"] is True, "the stream was cut"
    for line in lines[:-1]:
        if isinstance(line, dict):
            name, columns, file = line["table"], [column["name"] for column in line["columns"]], line["file"]
            tables.setdefault(name, [])
        elif file is None:
            tables[name].append(dict(zip(columns, line, strict=True)))
    assert lines[-1]["counts"] == {name: len(rows) for name, rows in tables.items()}
    return tables


@dataclass
class Speaking:
    """A token source for a client of the anonymizer."""

    issuer: Issuer
    client: str = "rights"
    scope: str = SCOPES

    async def token(self, audience: str, tenant: UUID | None = None) -> str:
        return self.issuer.token(audience, self.scope, tenant, client_id=self.client, sub=self.client)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def house() -> AsyncIterator[House]:
    async with a_filled_house() as house:
        yield house


@pytest_asyncio.fixture(loop_scope="session")
async def fresh_house() -> AsyncIterator[House]:
    async with a_filled_house() as house:
        yield house


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fresh_sweep_house() -> AsyncIterator[House]:
    """For tests that sweep store after store, each for itself."""
    async with a_filled_house() as house:
        yield house


@asynccontextmanager
async def a_filled_house(more: Mapping[str, str] = {}) -> AsyncIterator[House]:
    """`more`: stores that are not the sample operator's, as the data map writes them."""
    async with AsyncExitStack() as stack:
        # Elsewhere, since it may wait for another worker, and what this one serves is to go on.
        home = await asyncio.to_thread(stack.enter_context, a_house("filled", _filled_and_stopped))
        yield await _running(stack, *await _filled(home), more)


async def _filled(home: Home) -> tuple[Postgres, migrate.Cluster, Manifest]:
    keys.make(home)
    server = Postgres(home)
    server.start()
    manifest = await fill(home, server, subscribers=60, today=datetime.now(UTC).date())
    cluster = migrate.Cluster(str(server.socket_dir), home.path / "secrets")
    await migrate.migrate(cluster, [BY_NAME["registry"], BY_NAME["anonymizer"]], say=lambda _: None)
    return server, cluster, manifest


def _filled_and_stopped(home: Home) -> None:
    server, _, _ = asyncio.run(_filled(home))
    server.stop()


async def _running(
    stack: AsyncExitStack, server: Postgres, cluster: migrate.Cluster, manifest: Manifest, more: Mapping[str, str]
) -> House:
    issuer, orders = Issuer(), Orders()
    issuer.app.add_api_route("/token", _grant(issuer), methods=["POST"])
    identity = await stack.enter_async_context(serve(issuer.app))
    disclosure = await stack.enter_async_context(serve(orders.app()))
    http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=PATIENCE))
    clock_file = server.home.path / "clock"
    # Noon of the day the stores were filled for: no test crosses a midnight.
    noon = datetime.combine(manifest.today, datetime.min.time(), UTC) + timedelta(hours=12)
    clock.set_offset(clock_file, noon - datetime.now(UTC))
    told = {
        "environment": "development",
        "home": server.home.path,
        "issuer": issuer.name,
        "jwks_url": f"{identity}/jwks",
        "database_host": cluster.host,
        "clock_file": clock_file,
    }
    registry = await stack.enter_async_context(
        serve(registry_app(RegistrySettings(secrets_dir=cluster.secrets / "registry", peers=NOBODY, **told)))
    )
    shutil.copytree("policy/stores", data_map := server.home.path / "map")
    for store, written in {"mailbox": MAILBOX, **more}.items():
        (data_map / f"{store}.yaml").write_text(written)
    for store in more:
        for role in ("wardline", "verifier"):
            (cluster.secrets / "anonymizer" / "stores" / f"{store}.{role}.password").write_text("wonderland")
    peers = {"identity": identity, "registry": registry, "disclosure": disclosure}
    settings = Settings(secrets_dir=cluster.secrets / "anonymizer", peers=peers, data_map=data_map, **told)
    url = await stack.enter_async_context(serve(create_app(settings)))
    async with asyncio.timeout(PATIENCE):
        while (await http.get(url + "/health/ready")).status_code != 200:
            await asyncio.sleep(0.05)
    client, overseer = AnonymizerClient(http, url, Speaking(issuer)), Overseer(server)
    stack.push_async_callback(overseer.close)
    return House(url, http, issuer, orders, settings, server, manifest, client, overseer)


def _grant(issuer: Issuer) -> Callable[[Request], Any]:
    async def grant(request: Request) -> dict[str, Any]:
        form = await request.form()
        tenant = UUID(str(form["tenant"])) if "tenant" in form else None
        token = issuer.token(
            str(form["resource"]), "policy.read events.read holds.ask", tenant, client_id="anonymizer", sub="anonymizer"
        )
        return {"access_token": token, "expires_in": 300}

    return grant
