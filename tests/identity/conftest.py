"""One issuer for all of these tests, as the supervisor runs it, on a real database; each test brings its own tenant."""

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest

from ops.stack import Stack
from tests.identity.parties import CALLBACK, Client, Issuer


@pytest.fixture(scope="session")
def house() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="wardline-identity-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with Stack(Path(folder), only=("identity",)) as stack:
            yield stack


@pytest.fixture(scope="session")
def clients(house: Stack) -> dict[str, Client]:
    """The clients with keys; their public halves are registered while the issuer is running."""
    made = {name: Client.new(name) for name in ("helpdesk", "callserver", "regulator", "authority-se", "seeder")}
    tenant = str(uuid4())
    entries = {name: {"jwk": client.public, "tenant": tenant} for name, client in made.items()}
    entries["selfservice"] = entries["staff"] = {"redirect_uris": [CALLBACK]}
    path = house.home.secrets("identity") / "clients.json"
    path.write_text(json.dumps(entries))
    processes = {name: Client.of(name, house.home.secrets(name) / "client.jwk") for name in ("rights", "public", "internal")}
    return made | processes


@pytest.fixture
async def issuer(house: Stack, clients: dict[str, Client]) -> AsyncIterator[Issuer]:
    async with httpx2.AsyncClient(base_url=house.url("identity"), trust_env=False) as http:
        discovered = (await http.get("/.well-known/openid-configuration")).json()
        yield Issuer(http, discovered["issuer"], clients)


@pytest.fixture
def tenant() -> UUID:
    return uuid4()
