"""One issuer with its access register for all of these tests, on a real database; each test brings its own tenant."""

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from chassis.client import trust
from chassis.db import Database
from chassis.settings import Settings
from ops.postgres import PORT
from ops.stack import Stack
from tests.identity.parties import CALLBACK, Client, Issuer, Register
from tests.identity.provider import Provider, provider
from tests.patience import PATIENCE


@pytest.fixture(scope="package")
def eid() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture(scope="package")
def house(eid: Provider) -> Iterator[Stack]:
    with (
        tempfile.TemporaryDirectory(prefix="wardline-identity-", dir="/tmp") as folder,
        pytest.MonkeyPatch.context() as told,
    ):
        Path(folder).chmod(0o755)
        stack = Stack(Path(folder), only=("identity", "registry"))
        secrets = stack.home.secrets("identity")
        secrets.mkdir(parents=True)
        (secrets / "eid.jwk").write_text(json.dumps(eid.ours.as_dict(private=True)))
        told.setenv("WARDLINE_EID", eid.settings())
        with stack:
            yield stack


@pytest.fixture(scope="package")
def clients(house: Stack) -> dict[str, Client]:
    """The clients with keys; their public halves are registered while the issuer is running."""
    made = {name: Client.new(name) for name in ("helpdesk", "callserver", "regulator", "authority-se", "seeder")}
    tenant = str(uuid4())
    entries = {name: {"jwk": client.public, "tenant": tenant} for name, client in made.items()}
    entries["selfservice"] = entries["staff"] = {"redirect_uris": [CALLBACK]}
    path = house.home.secrets("identity") / "clients.json"
    path.write_text(json.dumps(entries))
    processes = {
        name: Client.of(name, house.home.secrets(name) / "client.jwk") for name in ("rights", "public", "internal")
    }
    return made | processes


@pytest.fixture(scope="package")
def register(house: Stack) -> Register:
    return Register(house.url("registry"))


@pytest.fixture
async def issuer(house: Stack, clients: dict[str, Client], register: Register) -> AsyncIterator[Issuer]:
    async with httpx2.AsyncClient(
        base_url=house.url("identity"), trust_env=False, timeout=PATIENCE, verify=trust()
    ) as http:
        discovered = (await http.get("/.well-known/openid-configuration")).json()
        yield Issuer(http, discovered["issuer"], clients, register=register)


@pytest.fixture
async def superuser(house: Stack) -> AsyncIterator[asyncpg.Connection]:
    """Sees what is really stored, whatever the policies hide."""
    connection = await _connect(house, "postgres", "postgres/superuser")
    yield connection
    await connection.close()


@pytest.fixture
async def serving(house: Stack) -> AsyncIterator[asyncpg.Connection]:
    """The issuer's own role."""
    connection = await _connect(house, "identity", "identity/db")
    yield connection
    await connection.close()


@pytest.fixture
async def tidying(house: Stack) -> AsyncIterator[Database]:
    """The issuer's own way to its rows, for what its clock would do only later."""
    settings = Settings(
        secrets_dir=house.home.secrets("identity"),
        issuer="http://issuer",
        jwks_url="http://issuer/jwks",
        database_host=str(house.postgres.socket_dir),
        database_port=PORT,
    )
    database = Database(settings, "identity")
    yield database
    await database.close()


async def _connect(house: Stack, role: str, secret: str) -> asyncpg.Connection:
    password = (house.home.path / "secrets" / f"{secret}.password").read_text().strip()
    where = {"host": str(house.postgres.socket_dir), "port": PORT, "database": "wardline"}
    return await asyncpg.connect(**where, user=role, password=password, server_settings={"search_path": "identity"})


@pytest.fixture
def tenant() -> UUID:
    return uuid4()
