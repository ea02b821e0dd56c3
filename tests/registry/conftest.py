"""The registry on real PostgreSQL, each one in a database of its own, spoken to over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio

from chassis import clock
from chassis.client import trust
from ops import migrate
from ops.catalogue import BY_NAME, Process
from ops.postgres import Postgres
from services.registry.app import create_app
from services.registry.books import read_book
from services.registry.contract import PolicyBook
from services.registry.settings import Settings
from tests.patience import PATIENCE
from tests.registry.dataplane import DataPlane, data_plane
from tests.registry.desk import Desk, open_desk
from tests.serving import Issuer, serve

BOOK = Path(__file__).parents[2] / "policy" / "book.yaml"
OPERATOR = UUID(int=7)
MIGRATED = "registry_migrated"
NOWHERE = "http://127.0.0.1:9"
SCOPES = "policy.read registry.read registry.export events.read ledger.read"


@pytest.fixture(scope="package")
def book() -> PolicyBook:
    return read_book(BOOK)


@dataclass(frozen=True)
class Registry:
    url: str
    http: httpx2.AsyncClient
    issuer: Issuer

    async def get(self, path: str, scopes: str | None = SCOPES, **query: Any) -> httpx2.Response:
        headers = (
            {"authorization": f"Bearer {self.issuer.token('registry', scopes, client_id='public')}"} if scopes else {}
        )
        return await self.http.get(self.url + path, params=query, headers=headers)

    async def send(
        self, method: str, path: str, body: Any, who: str, scopes: str, key: str = "", **claims: Any
    ) -> httpx2.Response:
        """A write by one of the staff, through the internal edge."""
        claims = {"sub": who, "kind": "staff", "client_id": "internal", "tenant": OPERATOR} | claims
        headers = {"authorization": f"Bearer {self.issuer.token('registry', scopes, **claims)}"}
        return await self.http.request(
            method, self.url + path, json=body, headers=headers | {"idempotency-key": key or uuid4().hex}
        )

    async def adopt(self, file: Path) -> dict[str, Any]:
        """A changed book in force: proposed by an officer, looked at, approved by a lawyer."""
        wish = {"file": file.read_text(), "reason": "a test asks for it", "correction": True}
        made = await self.send("POST", "/v1/policy/proposals", wish, "officer", "policy.propose")
        assert made.status_code == 201, made.text
        told = await self.checked(made.json()["proposal"])
        seen = {"sha256": told["sha256"], "seen": told["simulated_at"]}
        path = f"/v1/policy/proposals/{told['proposal']}/approval"
        approved = await self.send("POST", path, seen, "lawyer", "policy.approve")
        assert approved.status_code == 200, approved.text
        return approved.json()

    async def checked(self, proposal: str) -> dict[str, Any]:
        """A proposal as it stands when its consequences are known."""
        async with asyncio.timeout(PATIENCE):
            path = f"/v1/policy/proposals/{proposal}"
            while (told := (await self.send("GET", path, None, "officer", "policy.read")).json())[
                "state"
            ] == "checking":
                await asyncio.sleep(0.05)
        return told

    async def found(self) -> None:
        """The operator's organisation is the one whose people manage access."""
        managers = [{"person": str(uuid4()), "organisation": str(OPERATOR)} for _ in range(2)]
        founding = {
            "managers": managers,
            "purpose": "maintaining_service",
            "justification": "the first two of the house",
        }
        until = {"valid_to": (clock.now() + timedelta(days=300)).isoformat()}
        answer = await self.send("POST", "/v1/access/founding", founding | until, "seeder", "access.found")
        assert answer.status_code in (201, 409), answer.text

    async def wait_for(self, path: str, status: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while (await self.http.get(self.url + path)).status_code != status:
                await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Site:
    """One database and one issuer; registries may be started in it, one after the other."""

    cluster: migrate.Cluster
    database: str
    issuer: Issuer
    jwks_url: str
    plane: DataPlane

    def settings(self, process: str = "registry", **more: Any) -> Settings:
        return Settings(
            environment="development",
            secrets_dir=self.cluster.secrets / process,
            issuer=self.issuer.name,
            jwks_url=self.jwks_url,
            database_host=self.cluster.host,
            database_name=self.database,
            **{"peers": self.plane.peers} | more,
        )

    @asynccontextmanager
    async def registry(
        self, policy_book: Path = BOOK, until: str = "/health/ready", says: int = 200, **more: Any
    ) -> AsyncIterator[Registry]:
        settings = self.settings(policy_book=policy_book, **more)
        async with serve(create_app(settings)) as url, httpx2.AsyncClient(timeout=60, verify=trust()) as http:
            registry = Registry(url, http, self.issuer)
            await registry.wait_for(until, says)
            if says == 200:
                await registry.found()
            yield registry

    async def migrate(self, process: Process) -> None:
        await migrate.migrate(self.cluster, [process], say=lambda _: None)


@asynccontextmanager
async def new_site(server: Postgres) -> AsyncIterator[Site]:
    issuer = Issuer()
    cluster = migrate.Cluster(str(server.socket_dir), server.home.path / "secrets")
    async with serve(issuer.app) as url, data_plane() as plane:
        site = Site(cluster, f"registry_{uuid4().hex[:12]}", issuer, f"{url}/jwks", plane)
        await _copied(server, cluster, site.database)
        await site.migrate(_registry(site.database))
        yield site


def _registry(database: str) -> Process:
    return Process("registry", "services.registry", BY_NAME["registry"].app, 0, database)


async def _copied(server: Postgres, cluster: migrate.Cluster, database: str) -> None:
    """The tables are made once; whoever wants a database gets a copy, of which a migration finds that it has nothing to do."""
    admin = await server.connect()
    try:
        if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", MIGRATED):
            await migrate.migrate(cluster, [_registry(MIGRATED)], say=lambda _: None)
        await admin.execute(f"CREATE DATABASE {database} TEMPLATE {MIGRATED} STRATEGY file_copy")
    finally:
        await admin.close()


@pytest.fixture
async def site(server: Postgres) -> AsyncIterator[Site]:
    """A site of the test's own, to start registries with other books in."""
    async with new_site(server) as site:
        yield site


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def registry(server: Postgres) -> AsyncIterator[Registry]:
    """One registry with the first book in force, for everybody who only reads."""
    async with new_site(server) as site, site.registry() as registry:
        yield registry


@pytest.fixture
def changed_book(tmp_path: Path) -> Callable[..., Path]:
    """A copy of the book's file with lines replaced: `changed_book(("keep: 30 days", "keep: 31 days"), …)`."""

    def change(*replaced: tuple[str, str]) -> Path:
        text = BOOK.read_text()
        for old, new in replaced:
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the book"
            text = text.replace(old, new)
        copy = tmp_path / f"book-{uuid4().hex[:8]}.yaml"
        copy.write_text(text)
        return copy

    return change


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def _desk(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with new_site(server) as site:
        settings = site.settings(policy_book=BOOK, clock_file=tmp_path_factory.mktemp("clock") / "clock")
        async with open_desk(settings, site.issuer) as desk:
            yield desk


@pytest.fixture
async def desk(_desk: Desk) -> AsyncIterator[Desk]:
    """A registry with a clock of its own, today, and with two people who manage access."""
    _desk.move(0)
    assert (await _desk.found()).status_code in (201, 409)
    yield _desk
    _desk.move(0)
