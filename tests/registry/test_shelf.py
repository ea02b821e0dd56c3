"""How a service follows the book: it keeps every signed version, starts from its last, and takes no unsigned one."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chassis.client import TokenSource
from chassis.db import Database
from chassis.errors import Unavailable
from ops.catalogue import Process
from services.registry.client import Held, PolicyShelf, RegistryClient, chosen
from services.registry.contract import NotInBook, PolicyBook
from tests.patience import PATIENCE
from tests.registry.conftest import BOOK, Site
from tests.serving import Issuer

MIGRATION = """
from alembic import op
from services.registry.client import policy_table
from tests.patience import PATIENCE
revision, down_revision = "0001", None

def upgrade():
    policy_table(op)
"""
NOWHERE = "http://127.0.0.1:9"


class Tokens(TokenSource):
    """Tokens of the test's issuer for the service `webhooks`, which the registry lists."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer

    async def token(self, audience: str, tenant: Any = None) -> str:
        return self.issuer.token(audience, "policy.read", client_id="webhooks")


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The package of a service that follows the book and does nothing else."""
    folder = tmp_path_factory.mktemp("follower")
    versions = folder / "policy_follower" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "policy_follower" / "__init__.py").touch()
    (versions / "0001_book.py").write_text(MIGRATION)
    sys.path.insert(0, str(folder))
    yield "policy_follower"
    sys.path.remove(str(folder))


@pytest.fixture
async def database(site: Site, follower: str) -> AsyncIterator[Database]:
    await site.migrate(Process("webhooks", follower, "", 0, site.database))
    database = Database(site.settings("webhooks"), "webhooks")
    yield database
    await database.close()


@asynccontextmanager
async def shelf_at(url: str, site: Site, database: Database) -> AsyncIterator[PolicyShelf]:
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
        shelf = PolicyShelf(database, RegistryClient(http, url, Tokens(site.issuer)))
        await shelf.start()
        try:
            yield shelf
        finally:
            await shelf.stop()


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not fact():
            await asyncio.sleep(0.02)


async def test_a_service_without_any_version_is_unready_and_refuses(site: Site, database: Database) -> None:
    async with shelf_at(NOWHERE, site, database) as shelf:
        assert not shelf.ready
        with pytest.raises(Unavailable):
            shelf.current()


async def test_a_service_starts_from_its_last_version_while_the_registry_is_away(
    site: Site, database: Database, book: PolicyBook
) -> None:
    async with site.registry() as registry, shelf_at(registry.url, site, database) as shelf:
        await until(lambda: shelf.ready)
    async with shelf_at(NOWHERE, site, database) as shelf:
        assert shelf.current().version == book.version
        assert shelf.version(book.version) == book
        with pytest.raises(NotInBook):
            shelf.version("0")


async def test_a_new_version_reaches_a_running_service(
    site: Site, database: Database, changed_book: Callable[..., Path]
) -> None:
    changed = changed_book(
        ('version: "2026.1"', 'version: "2026.2"'),
        (
            'period: 14 days, source: "house: rights"}\n  - {key: package_downloads',
            'period: 7 days, source: "house: rights"}\n  - {key: package_downloads',
        ),
    )
    async with site.registry(BOOK) as registry, shelf_at(registry.url, site, database) as shelf:
        await until(lambda: shelf.ready)
        assert str(shelf.current().period("package_link_expiry")) == "14 days"
        await registry.adopt(changed)
        await until(lambda: shelf.current().version == "2026.2")
        assert str(shelf.current().period("package_link_expiry")) == "7 days"


async def test_what_another_key_signed_is_not_taken(site: Site, database: Database) -> None:
    async with site.registry() as registry, httpx2.AsyncClient(timeout=PATIENCE) as http:
        client = RegistryClient(http, registry.url, Tokens(site.issuer))
        keys = await client.keys()
        keys.keys[:] = [key for key in keys.keys if "signing" not in key.kid]
        client.keys = lambda: asyncio.sleep(0, keys)
        shelf = PolicyShelf(database, client)
        await shelf.start()
        await asyncio.sleep(1)
        assert not shelf.ready
        await shelf.stop()


def held(book: PolicyBook, version: str, valid_from: datetime, known_from: datetime) -> Held:
    return Held(version, valid_from, known_from, book)


def day(written: str) -> datetime:
    return datetime.combine(date.fromisoformat(written), datetime.min.time(), UTC)


@pytest.mark.parametrize(
    ("instant", "version"),
    [
        ("2026-02-01", "first"),
        ("2026-03-09", "first"),  # the second one was known, and had not begun
        ("2026-03-11", "second"),
        ("2026-04-11", "third"),
        ("2025-06-01", "first"),  # before anything was known: the first that covers it
        ("2026-04-02", "second"),  # the correction of March was learned only later
    ],
)
def test_the_version_is_the_one_in_force_as_it_was_known_then(book: PolicyBook, instant: str, version: str) -> None:
    versions = [
        held(book, "first", day("2024-01-01"), day("2026-01-10")),
        held(book, "second", day("2026-03-10"), day("2026-02-10")),
        held(book, "third", day("2026-03-15"), day("2026-04-10")),
    ]
    assert chosen(versions, day(instant)).version == version


def test_before_every_version_there_is_none(book: PolicyBook) -> None:
    with pytest.raises(Unavailable):
        chosen([held(book, "first", day("2024-01-01"), day("2026-01-10"))], day("2023-01-01"))
