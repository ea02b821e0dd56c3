"""A real issuer, and the public edge in this process, so that a test can stand in for the services behind it and watch closely."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest

from chassis.client import trust
from gateway import public
from ops.stack import Stack
from tests.gateway.behind import Behind
from tests.identity.parties import CALLBACK, Client, Issuer, Register
from tests.patience import PATIENCE
from tests.serving import serve


@pytest.fixture(scope="package")
def house() -> Iterator[Stack]:
    """The issuer and the access register with both edges, as the supervisor runs them."""
    with tempfile.TemporaryDirectory(prefix="wardline-gateway-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with Stack(Path(folder), only=("identity", "registry", "public", "internal")) as stack:
            yield stack


@pytest.fixture(scope="package")
def clients(house: Stack) -> dict[str, Client]:
    made = {name: Client.new(name) for name in ("helpdesk", "callserver", "regulator", "authority-se", "seeder")}
    entries = {name: {"jwk": client.public, "tenant": str(uuid4())} for name, client in made.items()}
    entries["selfservice"] = entries["staff"] = {"redirect_uris": [CALLBACK]}
    (house.home.secrets("identity") / "clients.json").write_text(json.dumps(entries))
    return made | {
        name: Client.of(name, house.home.secrets(name) / "client.jwk") for name in ("rights", "public", "internal")
    }


@pytest.fixture
async def internal(house: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=house.url("internal"), trust_env=False, timeout=PATIENCE, verify=trust()
    ) as http:
        yield http


@pytest.fixture(scope="package")
def register(house: Stack) -> Register:
    return Register(house.url("registry"))


@pytest.fixture
async def issuer(
    house: Stack, clients: dict[str, Client], internal: httpx2.AsyncClient, register: Register
) -> AsyncIterator[Issuer]:
    """As it is seen through the public edge, where people and the operator's systems find it."""
    async with httpx2.AsyncClient(
        base_url=house.url("public"), trust_env=False, timeout=PATIENCE, verify=trust()
    ) as http:
        yield Issuer(http, house.url("public"), clients, (internal, "internal"), register)


@pytest.fixture(scope="package")
async def service() -> AsyncIterator[Behind]:
    behind = Behind()
    async with serve(behind) as behind.url:
        yield behind


@pytest.fixture
def behind(service: Behind) -> Behind:
    """What stands in for consent: it tells what it was sent."""
    service.behave()
    return service


@pytest.fixture(scope="package")
async def own_url(house: Stack, service: Behind) -> AsyncIterator[str]:
    async with own_edge(house, service) as url:
        yield url


@pytest.fixture
async def edge(own_url: str, behind: Behind) -> AsyncIterator[httpx2.AsyncClient]:
    """The public edge in this process, with `behind` in the place of consent and nobody in that of rights."""
    async with httpx2.AsyncClient(base_url=own_url, trust_env=False, timeout=PATIENCE, verify=trust()) as http:
        yield http


@asynccontextmanager
async def own_edge(house: Stack, behind: Behind) -> AsyncIterator[str]:
    settings = {
        "WARDLINE_PEERS": json.dumps(
            {"identity": house.url("identity"), "consent": behind.url, "rights": "http://127.0.0.1:9"}
        ),
        "WARDLINE_ENVIRONMENT": "development",
        "WARDLINE_ISSUER": house.url("public"),
        "WARDLINE_JWKS_URL": f"{house.url('identity')}/jwks",
        "WARDLINE_SECRETS_DIR": str(house.home.secrets("public")),
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        app = public.create_app()
    async with (
        serve(app) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE, verify=trust()) as http,
    ):
        while (await http.get("/health/ready")).status_code != 200:
            await asyncio.sleep(0.05)
        yield url


@pytest.fixture
def tenant() -> UUID:
    return uuid4()
