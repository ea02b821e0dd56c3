"""One house and one served consent service for the session; each test has a tenant and people of its own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from chassis import clock
from chassis.ids import new_id
from ops.postgres import Postgres
from services.consent.app import create_app
from services.consent.client import ConsentClient
from services.consent.contract import (
    Action,
    Decision,
    Entity,
    Evaluation,
    GiveConsent,
    Notice,
    NoticePurpose,
    PublishNotice,
    Receipt,
    Recorded,
    WithdrawConsent,
    Words,
)
from tests.consent.house import EVERYTHING, House, client, migrated
from tests.patience import PATIENCE
from tests.serving import Issuer, serve


@pytest.fixture(scope="package")
def consent_house(server: Postgres) -> House:
    found = migrated(server)
    asyncio.run(found.hold_book())
    return found


@dataclass(frozen=True)
class Served:
    house: House
    issuer: Issuer
    issuer_url: str
    app: FastAPI
    url: str
    http: httpx2.AsyncClient
    clock: Path


@pytest_asyncio.fixture(scope="package")
async def served(consent_house: House, tmp_path_factory) -> AsyncIterator[Served]:
    issuer, clock = Issuer(), tmp_path_factory.mktemp("clock") / "offset"
    async with serve(issuer.app) as issuer_url:
        app = create_app(consent_house.settings(issuer, issuer_url, clock))
        async with (
            serve(app) as url,
            httpx2.AsyncClient(trust_env=False, limits=httpx2.Limits(max_connections=100), timeout=PATIENCE) as http,
        ):
            while (await http.get(f"{url}/health/ready")).status_code != 200:
                await asyncio.sleep(0.05)
            yield Served(consent_house, issuer, issuer_url, app, url, http, clock)


@dataclass
class Company:
    """A tenant of its own, with one of everything a test needs."""

    served: Served
    tenant: UUID = field(default_factory=uuid4)

    @property
    def service(self) -> ConsentClient:
        return self.client()

    def client(self, scope: str = EVERYTHING, **bent) -> ConsentClient:
        return client(self.served.http, self.served.url, self.served.issuer, scope, **bent)

    def herself(self, anna: UUID) -> ConsentClient:
        return self.client(kind="customer", sub=str(anna))

    async def notice(self, name: str = "recordings", **other) -> Notice:
        return await self.service.publish_notice(self.tenant, notice(name, **other), key())

    async def give(
        self, anna: UUID, told: Notice, purpose: str = "communication", at: datetime | None = None
    ) -> Recorded:
        wish = GiveConsent(
            purpose=purpose, notice=told.notice, notice_version=told.version, principal=anna, occurred_at=at
        )
        return await self.service.give(self.tenant, wish, key())

    async def withdraw(self, anna: UUID, purpose: str = "communication", at: datetime | None = None) -> Recorded:
        wish = WithdrawConsent(purpose=purpose, principal=anna, occurred_at=at)
        return await self.service.withdraw(self.tenant, wish, key())

    async def decision(self, anna: UUID, purpose: str, category: str, **asked) -> Decision:
        return await self.decided(question(anna, purpose, category, **asked))

    async def decided(self, asked: Evaluation) -> Decision:
        """While the machine is so busy that the decision point has no lease it answers nobody, and is asked again."""
        async with asyncio.timeout(PATIENCE):
            while True:
                told = await self.service.decide(self.tenant, asked)
                if told.context.reason != "stale":
                    return told

    async def until_known(self, record: Recorded) -> None:
        """Giving does not wait for the decision points; a test that asks at once does."""
        await self.served.app.state.barrier.passed(record.event)

    async def again(self, record: Recorded) -> Receipt:
        """The receipt as it is made when somebody asks for it later, with its proof."""
        await self.until_known(record)
        return await self.service.receipt(self.tenant, record.record)

    async def post(self, path: str, content: bytes | str, **headers: str) -> httpx2.Response:
        usual = await self.headers()
        return await self.served.http.post(self.served.url + path, content=content, headers=usual | headers)

    async def headers(self, scope: str = EVERYTHING, **bent) -> dict[str, str]:
        claims = {"client_id": "public", "sub": "public"} | bent
        token = self.served.issuer.token("consent", scope, claims.pop("tenant", self.tenant), **claims)
        return {"authorization": f"Bearer {token}", "content-type": "application/json", "idempotency-key": key()}


@pytest.fixture
def company(served: Served) -> Company:
    return Company(served)


@pytest.fixture
def anna() -> UUID:
    return new_id()


def key() -> str:
    return str(uuid4())


def notice(name: str = "recordings", purposes: dict[str, list[str]] | None = None, **other) -> PublishNotice:
    words = Words(title="Samtal", body="Vi spelar in.", rights="Du kan återkalla.", consequence="Vi hjälper dig ändå.")
    explained = purposes or {"communication": ["recorded_call", "helpdesk_recording"], "development": ["traffic"]}
    return PublishNotice(
        notice=name,
        channel="web",
        texts={"sv": words},
        purposes=[NoticePurpose(purpose=purpose, categories=each) for purpose, each in explained.items()],
        withdrawal_url="https://operator.example/consents",
        **({"controller": "Operatören AB", "valid_from": clock.now() - timedelta(days=800)} | other),
    )


def question(anna: UUID | str, purpose: str, category: str, operation: str | None = None, **context) -> Evaluation:
    return Evaluation(
        subject=Entity(type="principal", id=str(anna)),
        action=Action(name=purpose, properties={"operation": operation} if operation else {}),
        resource=Entity(type=category, id="any"),
        context=context,
    )
