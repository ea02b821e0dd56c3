"""Epochs of people's keys: what was erased is gone from the backups once its epoch's key is destroyed, and nothing else is."""

import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.sealing import Sealer, Shredded
from ops import epochs, migrate
from ops.catalogue import Process
from ops.postgres import Postgres
from services.registry.contract import Period

SEALING = """
from alembic import op
from chassis import sealing
revision, down_revision = "0001", None

def upgrade():
    sealing.create(op, "rights")
"""
KEPT = Period.model_validate("90 days")
DAYS = 86_400


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A service that only seals, in a database of its own."""
    folder = tmp_path_factory.mktemp("sealing")
    versions = folder / "sealing_service" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "sealing_service" / "__init__.py").touch()
    (versions / "0001_keys.py").write_text(SEALING)
    sys.path.insert(0, str(folder))
    yield Process("rights", "sealing_service", "sealing_service.app:create_app", 0, "sealing")
    sys.path.remove(str(folder))


@pytest.fixture
async def cluster(server: Postgres, toy: Process, tmp_path: Path) -> migrate.Cluster:
    """With its own copy of the secrets, since a test destroys some."""
    shutil.copytree(server.home.path / "secrets", tmp_path / "secrets")
    cluster = migrate.Cluster(str(server.socket_dir), tmp_path / "secrets")
    await migrate.migrate(cluster, [toy], say=lambda _: None)
    return cluster


class House:
    """A process that seals, and what a backup of its keys would hold."""

    def __init__(self, cluster: migrate.Cluster, connection: asyncpg.Connection, tenant: UUID) -> None:
        self.folder = cluster.secrets / "rights" / "epochs"
        self.connection, self.tenant, self.sealer = connection, tenant, Sealer(self.folder, b"i" * 32)

    async def seal(self, person: UUID) -> bytes:
        return await self.sealer.seal(self.connection, self.tenant, person, "request", "text", b"070-1740605")

    async def open(self, person: UUID, sealed: bytes) -> bytes:
        return await self.sealer.open(self.connection, self.tenant, person, "request", "text", sealed)

    async def row(self, person: UUID) -> asyncpg.Record:
        return await self.connection.fetchrow("SELECT * FROM subject_key WHERE subject = $1", person)

    def began_days_ago(self, epoch: int, days: int) -> None:
        file = self.folder / f"{epoch}.key"
        then = file.stat().st_mtime - days * DAYS
        os.utime(file, (then, then))


@pytest.fixture
async def house(cluster: migrate.Cluster) -> AsyncIterator[House]:
    tenant = uuid4()
    connection = await asyncpg.connect(
        host=cluster.host,
        port=cluster.port,
        database="sealing",
        user="rights",
        password=cluster.password("rights", "db"),
        server_settings={"search_path": "rights", "app.tenant": str(tenant)},
    )
    yield House(cluster, connection, tenant)
    await connection.execute("DELETE FROM subject_key")
    await connection.close()


async def test_what_was_erased_cannot_be_read_from_a_backup_once_its_epoch_is_destroyed(
    cluster: migrate.Cluster, toy: Process, house: House
) -> None:
    anna, bo = uuid4(), uuid4()
    of_anna, of_bo = await house.seal(anna), await house.seal(bo)
    backup = await house.row(bo)
    await house.sealer.shred(house.connection, house.tenant, bo)
    said: list[str] = []
    await epochs.begin(cluster, KEPT, [toy], said.append)
    assert said == ["rights: epoch 2 began, 1 keys of people lie under it now; epochs destroyed: none yet"]
    house.began_days_ago(2, 91)
    await epochs.begin(cluster, KEPT, [toy], said.append)
    assert said[1] == "rights: epoch 3 began, 1 keys of people lie under it now; epochs destroyed: 1"
    assert sorted(file.name for file in house.folder.iterdir()) == ["2.key", "3.key"]
    assert await house.open(anna, of_anna) == b"070-1740605"
    await house.connection.execute(
        "INSERT INTO subject_key (tenant, subject, epoch, wrapped, version) VALUES ($1, $2, $3, $4, $5)",
        *(backup[name] for name in ("tenant", "subject", "epoch", "wrapped", "version")),
    )
    house.sealer = Sealer(house.folder, b"i" * 32)
    with pytest.raises(Shredded):
        await house.open(bo, of_bo)


async def test_an_epoch_stays_as_long_as_backups_of_it_are_kept(
    cluster: migrate.Cluster, toy: Process, house: House
) -> None:
    await epochs.begin(cluster, KEPT, [toy], lambda _: None)
    house.began_days_ago(2, 89)
    await epochs.begin(cluster, KEPT, [toy], lambda _: None)
    assert (house.folder / "1.key").exists()


async def test_a_running_process_seals_for_new_people_under_the_epoch_that_began_since(
    cluster: migrate.Cluster, toy: Process, house: House
) -> None:
    await epochs.begin(cluster, KEPT, [toy], lambda _: None)
    person = uuid4()
    await house.seal(person)
    assert (await house.row(person))["epoch"] == 2


async def test_services_that_seal_nothing_have_no_epochs(cluster: migrate.Cluster, server: Postgres) -> None:
    consent = next(one for one in migrate.SERVICES if one.name == "consent")
    await migrate.migrate(cluster, [consent], say=lambda _: None)
    said: list[str] = []
    await epochs.begin(cluster, KEPT, [consent], said.append)
    assert not said and not (cluster.secrets / "consent" / "epochs" / "2.key").exists()
