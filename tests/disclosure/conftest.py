"""One house and one served disclosure service for the session; each test has a tenant, staff and an authority of its
own.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest_asyncio

from ops.postgres import Postgres
from services.requests.disclosure.app import create_app
from tests.disclosure.house import Anonymizer, Desk, House
from tests.patience import PATIENCE
from tests.serving import Issuer, serve


@dataclass(frozen=True)
class Served:
    house: House
    issuer: Issuer
    anonymizer: Anonymizer
    url: str
    http: httpx2.AsyncClient
    clock: Path


@pytest_asyncio.fixture(scope="package")
async def served(server: Postgres, tmp_path_factory) -> AsyncIterator[Served]:
    house, issuer, clock = await House.made(server), Issuer(), tmp_path_factory.mktemp("clock") / "offset"
    anonymizer = Anonymizer(issuer)
    async with serve(issuer.app) as issuer_url, serve(anonymizer.app) as peer:
        app = create_app(house.settings(issuer, issuer_url, peer, clock))
        limits = httpx2.Limits(max_connections=60)
        async with serve(app) as url, httpx2.AsyncClient(trust_env=False, limits=limits, timeout=PATIENCE) as http:
            while (await http.get(f"{url}/health/ready")).status_code != 200:
                await asyncio.sleep(0.05)
            yield Served(house, issuer, anonymizer, url, http, clock)


@pytest_asyncio.fixture
async def desk(served: Served) -> AsyncIterator[Desk]:
    served.anonymizer.rows, served.anonymizer.cut = [], False
    served.anonymizer.asked.clear()
    served.anonymizer.released.clear()
    made = Desk(served.house, served.http, served.url, served.issuer, served.anonymizer, served.clock)
    await made.register()
    yield made
    served.clock.unlink(missing_ok=True)
