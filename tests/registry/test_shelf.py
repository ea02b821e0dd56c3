"""How a service follows the book: it keeps every signed version, starts from its last, and takes no unsigned one."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from structlog.testing import capture_logs

from chassis import clock
from chassis.client import TokenSource, trust
from chassis.db import Database
from chassis.errors import Unavailable
from chassis.ledger.sequencer import Bell
from ops.catalogue import Process
from ops.postgres import Postgres
from services.registry.client import Held, PolicyShelf, RegistryClient, chosen, with_periods
from services.registry.contract import PolicyBook
from tests.patience import PATIENCE, busy, until
from tests.registry.conftest import BOOK, Registry, Site
from tests.serving import Issuer

MIGRATION = """
from alembic import op
from services.registry.client import policy_table, policy_versions_may_be_lost, tenant_periods_table
revision, down_revision = "0001", None

def upgrade():
    policy_table(op)
    policy_versions_may_be_lost(op)
    tenant_periods_table(op)
"""
NOWHERE = "http://127.0.0.1:9"


class Tokens(TokenSource):
    """Tokens of the test's issuer for the service `webhooks`, which the registry lists."""

    scopes = "policy.read events.read"

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer

    async def token(self, audience: str, tenant: Any = None) -> str:
        return self.issuer.token(audience, self.scopes, client_id="webhooks")


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
    of_its_own = f"{site.database}_follower"
    await site.migrate(Process("webhooks", follower, "", 0, of_its_own))
    database = Database(site.settings("webhooks").model_copy(update={"database_name": of_its_own}), "webhooks")
    yield database
    await database.close()


@asynccontextmanager
async def shelf_at(url: str, site: Site, database: Database) -> AsyncIterator[PolicyShelf]:
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE, verify=trust()) as http:
        shelf = PolicyShelf(database, RegistryClient(http, url, Tokens(site.issuer)), tenants=True)
        shelf._loss.lasts = 0.0
        await shelf.start()
        try:
            yield shelf
        finally:
            await shelf.stop()


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
        assert shelf.current() == book.on(clock.now().astimezone(book.tz).date())


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


async def _heard_after(site: Site, database: Database, changed: Path) -> float:
    """Seconds from a decision to the service that follows, which would look by itself after half a minute."""
    async with site.registry(BOOK) as registry, shelf_at(registry.url, site, database) as shelf:
        await until(lambda: shelf.ready and shelf._heard)
        await registry.adopt(changed)
        began = time.monotonic()
        await until(lambda: shelf.current().version == "2026.2")
        return time.monotonic() - began


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.registry.client._ASK_AGAIN", 60.0)
    monkeypatch.setattr("services.registry.client._WAIT", 30.0)


@pytest.mark.usefixtures("patient")
async def test_a_decision_is_heard_at_once(
    site: Site, database: Database, version: Callable[[str, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.ledger.routes._LOOK_AGAIN", 60.0)
    assert await _heard_after(site, database, version("2026.2", 7)) < 2 * busy()


@pytest.mark.usefixtures("patient")
async def test_a_decision_that_was_told_to_nobody_is_found_none_the_less(
    site: Site, database: Database, version: Callable[[str, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.ledger.routes._LOOK_AGAIN", 0.5)
    monkeypatch.setattr(Bell, "ring", lambda *types: None)
    assert await _heard_after(site, database, version("2026.2", 7)) < 3 * busy()


async def test_who_may_not_hear_the_registry_asks_it_again_and_again(
    site: Site, database: Database, version: Callable[[str, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.registry.client._ASK_AGAIN", 0.05)
    monkeypatch.setattr(Tokens, "scopes", "policy.read")
    async with site.registry(BOOK) as registry, shelf_at(registry.url, site, database) as shelf:
        await until(lambda: shelf.ready)
        await registry.adopt(version("2026.2", 7))
        await until(lambda: shelf.current().version == "2026.2")


async def test_what_another_key_signed_is_not_taken(site: Site, database: Database) -> None:
    async with site.registry() as registry, httpx2.AsyncClient(timeout=PATIENCE, verify=trust()) as http:
        client = RegistryClient(http, registry.url, Tokens(site.issuer))
        keys = await client.keys()
        keys.keys[:] = [key for key in keys.keys if "signing" not in key.kid]
        client.keys = lambda: asyncio.sleep(0, keys)
        shelf = PolicyShelf(database, client)
        await shelf.start()
        await asyncio.sleep(1)
        assert not shelf.ready
        await shelf.stop()


LINK = 'period: 14 days, source: "house: rights"}\n  - {key: package_downloads'
LOST = "the registry has lost policy that is in force here; propose it again, or another book"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.registry.client._ASK_AGAIN", 0.05)
    monkeypatch.setattr("services.registry.client._WAIT", 0.05)


@pytest.fixture
def version(changed_book: Callable[..., Path]) -> Callable[[str, int], Path]:
    """A book by its name and by how many days the link to a package is good for."""

    def made(name: str, days: int) -> Path:
        return changed_book(('version: "2026.1"', f'version: "{name}"'), (LINK, LINK.replace("14", str(days), 1)))

    return made


class Backups:
    """Of the registry's database, while no registry runs."""

    def __init__(self, server: Postgres, site: Site) -> None:
        self.server, self.database = server, site.database

    async def keep(self, name: str) -> None:
        await self._copy(self.database, f"{self.database}_{name}")

    async def restore(self, name: str) -> None:
        await self._copy(f"{self.database}_{name}", self.database)

    async def _copy(self, source: str, copy: str) -> None:
        admin = await self.server.connect()
        await admin.execute(f"DROP DATABASE IF EXISTS {copy} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {copy} TEMPLATE {source} STRATEGY file_copy")
        await admin.close()


@pytest.fixture
def backups(server: Postgres, site: Site) -> Backups:
    return Backups(server, site)


def link(shelf: PolicyShelf) -> str:
    return str(shelf.current().period("package_link_expiry"))


async def told(lines: list[Any], event: str) -> dict[str, Any]:
    """The next line of this event; what was told before it is forgotten."""
    del lines[:]
    await until(lambda: any(line["event"] == event for line in lines))
    return next(line for line in lines if line["event"] == event)


async def quiet(lines: list[Any], seconds: float = 0.5) -> bool:
    del lines[:]
    await asyncio.sleep(seconds)
    return [line["event"] for line in lines if line["event"].startswith(LOST)] == []


async def _first_and_second(site: Site, database: Database, backups: Backups, second: Path) -> None:
    """The first book is in the registry's backup; the second was approved after it, and is in force here."""
    async with site.registry():
        pass
    await backups.keep("older")
    async with site.registry() as registry:
        await registry.adopt(second)
        async with shelf_at(registry.url, site, database) as shelf:
            await until(lambda: shelf.ready and shelf.current().version == "2026.2")
    await backups.keep("newer")
    await backups.restore("older")


@pytest.mark.usefixtures("soon")
async def test_what_a_restored_registry_has_lost_stays_in_force_and_is_told_until_the_registry_has_it_again(
    site: Site, database: Database, backups: Backups, version: Callable[[str, int], Path]
) -> None:
    second = version("2026.2", 7)
    await _first_and_second(site, database, backups, second)
    async with site.registry() as registry:
        assert (await registry.get("/v1/policy/current")).json()["version"] == "2026.1"
        async with shelf_at(registry.url, site, database) as shelf:
            with capture_logs() as lines:
                line = await told(lines, LOST)
                assert (line["log_level"], str(line["exc_info"])) == ("warning", "version 2026.2")
                assert shelf.ready and link(shelf) == "7 days"
                await registry.adopt(second)
                await told(lines, f"{LOST}: over")
                assert await quiet(lines)
            assert link(shelf) == "7 days"


@pytest.mark.usefixtures("soon")
async def test_another_book_of_the_same_name_takes_the_place_of_one_that_was_lost(
    site: Site, database: Database, backups: Backups, version: Callable[[str, int], Path]
) -> None:
    await _first_and_second(site, database, backups, version("2026.2", 7))
    while_lost = clock.now()
    async with site.registry() as registry, shelf_at(registry.url, site, database) as shelf:
        with capture_logs() as lines:
            await told(lines, LOST)
            await registry.adopt(version("2026.2", 5))
            await told(lines, f"{LOST}: over")
        assert link(shelf) == "5 days"
    async with shelf_at(NOWHERE, site, database) as shelf:
        assert link(shelf) == "5 days", "also after a start without a registry"
        assert [one.lost for one in shelf._held] == [False, True, False]
        before = shelf.at(while_lost)
        assert str(before.period("package_link_expiry")) == "7 days", "what was decided then is decided so again"


@pytest.mark.usefixtures("soon")
async def test_a_registry_that_lost_everything_and_began_anew_from_the_file_changes_no_rule(
    server: Postgres, site: Site, database: Database, backups: Backups, version: Callable[[str, int], Path]
) -> None:
    await backups.keep("empty")
    await _first_and_second(site, database, backups, version("2026.2", 7))
    await backups.restore("empty")
    async with site.registry() as registry, shelf_at(registry.url, site, database) as shelf:
        with capture_logs() as lines:
            await told(lines, LOST)
        assert link(shelf) == "7 days"
        await registry.adopt(version("2026.3", 6))
        await until(lambda: link(shelf) == "6 days")


@pytest.mark.usefixtures("soon")
async def test_a_newer_backup_has_it_and_nothing_is_lost_any_more(
    site: Site, database: Database, backups: Backups, version: Callable[[str, int], Path]
) -> None:
    await _first_and_second(site, database, backups, version("2026.2", 7))
    async with site.registry() as registry, shelf_at(registry.url, site, database) as shelf:
        with capture_logs() as lines:
            await told(lines, LOST)
    await backups.restore("newer")
    async with site.registry() as registry, shelf_at(registry.url, site, database) as shelf:
        await until(lambda: not any(one.lost for one in shelf._held))
        with capture_logs() as lines:
            assert await quiet(lines)
        assert (link(shelf), len(shelf._held)) == ("7 days", 2)
    async with shelf_at(NOWHERE, site, database) as shelf:
        assert [one.lost for one in shelf._held] == [False, False]


@pytest.mark.usefixtures("soon")
async def test_what_a_customer_set_counts_though_the_registry_lost_it_until_it_sets_it_anew(
    site: Site, database: Database, backups: Backups
) -> None:
    bank, rule = UUID(int=0xBA2C), "service_objects"

    async def sets(registry: Registry, keep: str) -> None:
        begins = str((clock.now() + timedelta(days=1)).date())
        wish = {"periods": [{"rule": rule, "keep": keep, "valid_from": begins}]}
        answer = await registry.send("PUT", "/v1/pack/periods", wish, "contact", "pack.manage", tenant=bank)
        assert answer.status_code == 200, answer.text

    def kept(shelf: PolicyShelf) -> str:
        last = with_periods(shelf.current(), shelf._periods)
        return str([row.keep for row in last.tenant_periods if row.tenant == bank][-1])

    async with site.registry():
        pass
    await backups.keep("older")
    async with site.registry() as registry, shelf_at(registry.url, site, database) as shelf:
        await sets(registry, "3 months")
        await until(lambda: len(shelf._periods) == 1)
    await backups.restore("older")
    async with site.registry() as registry, shelf_at(registry.url, site, database) as shelf:
        with capture_logs() as lines:
            line = await told(lines, LOST)
            assert str(line["exc_info"]) == f"what organisation {bank} set"
            assert kept(shelf) == "3 months"
            await sets(registry, "6 months")
            await told(lines, f"{LOST}: over")
        assert kept(shelf) == "6 months"


@pytest.mark.usefixtures("soon")
async def test_what_the_registry_knew_earlier_and_told_later_is_heard(
    server: Postgres, site: Site, database: Database
) -> None:
    """Two customers set their times at once: whose instant was read first may be recorded last."""
    first, second = UUID(int=1), UUID(int=2)
    admin = await server.connect(site.database)
    async with site.registry() as registry:
        for tenant in (first, second):
            wish = {"periods": []}
            answer = await registry.send("PUT", "/v1/pack/periods", wish, "contact", "pack.manage", tenant=tenant)
            assert answer.status_code == 200, answer.text
        row = await admin.fetchrow("DELETE FROM registry.tenant_periods WHERE tenant = $1 RETURNING *", first)
        async with shelf_at(registry.url, site, database) as shelf:
            await until(lambda: [one.tenant for one in shelf._periods] == [second])
            await admin.execute("INSERT INTO registry.tenant_periods VALUES ($1, $2, $3)", *row)
            await until(lambda: [one.tenant for one in shelf._periods] == [first, second])
    await admin.close()


FIRST, SECOND, THIRD = "2026-01-10", "2026-02-10", "2026-04-10"


@pytest.mark.parametrize(
    ("third_begins", "third_is", "instant", "counts"),
    [
        ("2026-04-10", None, "2026-04-09", "second"),  # nothing else was approved yet
        ("2026-04-10", "another", "2026-04-11", "third"),
        ("2026-03-01", "another", "2026-04-11", "third"),  # though the lost one begins later
        ("2026-06-01", "another", "2026-05-01", "second"),  # until that day it goes on
        ("2026-06-01", "another", "2026-06-02", "third"),
        ("2024-01-01", "the first again", "2026-04-11", "second"),  # from the file of a new house
        ("2026-03-10", "the first again", "2026-04-11", "second"),
        ("2026-03-01", "the second again", "2026-04-11", "third"),
    ],
)
def test_a_lost_book_ends_only_when_people_have_decided_again(
    book: PolicyBook, third_begins: str, third_is: str | None, instant: str, counts: str
) -> None:
    books = {
        name: book.model_copy(update={"version": name}) for name in ("the first again", "the second again", "another")
    }
    versions = [
        held(books["the first again"], "first", day("2024-01-01"), day(FIRST)),
        replace(held(books["the second again"], "second", day("2026-03-10"), day(SECOND)), lost=True),
    ]
    if third_is:
        versions.append(held(books[third_is], "third", day(third_begins), day(THIRD)))
    assert chosen(versions, day(instant)).version == counts


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
