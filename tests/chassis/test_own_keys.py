"""Who holds other keys than those a database was written with does not begin to work in it."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from joserfc.jwk import ECKey, OKPKey

import chassis.ledger.schema
from chassis import own_keys, sealing
from chassis.app import create_app
from chassis.client import trust
from chassis.db import Database
from chassis.own_keys import StrangeKeys, recognised
from chassis.sealing import Sealer
from chassis.settings import Settings
from tests.chassis.conftest import Cluster, House
from tests.patience import PATIENCE
from tests.serving import serve

TENANT = uuid4()


def make_keys(folder: Path) -> Path:
    """All that a process is given, fresh."""
    (folder / "epochs").mkdir(parents=True)
    (folder / "epochs" / "1.key").write_bytes(os.urandom(32))
    (folder / "index.key").write_bytes(os.urandom(32))
    for name, key in (("client", ECKey.generate_key("P-256")), ("ledger", OKPKey.generate_key("Ed25519"))):
        (folder / f"{name}.jwk").write_text(json.dumps(key.as_dict(private=True)))
    for name in ("db", "db_system"):
        (folder / f"{name}.password").write_text("trusted here")
    return folder


@pytest.fixture
async def schema_of(house: Callable[..., House]) -> House:
    """Of a service that seals and keeps a ledger."""
    parts = (chassis.ledger.schema.create, sealing.create, lambda op, _: own_keys.create(op))
    return await asyncio.to_thread(house, *parts)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    return make_keys(tmp_path / "secrets")


async def knows(schema_of: House, secrets: Path) -> bool:
    connection = await schema_of.connect_system()
    try:
        return await recognised(connection, schema_of.service, secrets)
    finally:
        await connection.close()


async def seal(schema_of: House, secrets: Path, person: UUID) -> None:
    connection = await schema_of.connect()
    async with schema_of.transaction(connection, TENANT):
        sealer = Sealer(secrets / "epochs", bytes(32))
        await sealer.seal(connection, TENANT, person, "request", "text", b"070-1740605")
    await connection.close()


def settings(cluster: Cluster, secrets: Path, **told) -> Settings:
    usual = {"issuer": "none", "jwks_url": "none", "database_host": str(cluster.socket), "database_name": "postgres"}
    return Settings(secrets_dir=secrets, **usual | told)


def app_of(schema_of: House, secrets: Path, **told) -> FastAPI:
    return create_app(schema_of.service, settings(schema_of.cluster, secrets, **told), package="services.toy")


@pytest.fixture
async def begun(schema_of: House, secrets: Path) -> Path:
    """The keys of a process that has run once, sealed for somebody and signed its ledger."""
    async with serve(app_of(schema_of, secrets)):
        await seal(schema_of, secrets, uuid4())
        connection = await schema_of.connect_system()
        async with asyncio.timeout(PATIENCE):
            while not await connection.fetchval("SELECT count(*) FROM ledger_checkpoint"):
                await asyncio.sleep(0.01)
        await connection.close()
    return secrets


async def begin(schema_of: House, secrets: Path) -> None:
    app = app_of(schema_of, secrets)
    async with app.router.lifespan_context(app):
        pass


async def test_who_comes_back_with_its_own_keys_begins(schema_of: House, begun: Path) -> None:
    await begin(schema_of, begun)
    assert await knows(schema_of, begun)


@pytest.mark.parametrize(
    "lost, named",
    [
        (["epochs/1.key"], "epochs/1.key"),
        (["ledger.jwk"], "ledger.jwk"),
        (["index.key"], "index.key"),
        (["epochs/1.key", "ledger.jwk", "index.key"], "epochs/1.key, ledger.jwk"),
    ],
)
async def test_a_process_with_fresh_keys_does_not_begin_and_says_which_are_missed(
    schema_of: House, begun: Path, tmp_path: Path, lost: list[str], named: str
) -> None:
    fresh = make_keys(tmp_path / "fresh")
    for file in lost:
        shutil.copy(begun / file, tmp_path / "kept")
        shutil.copy(fresh / file, begun / file)
        shutil.copy(tmp_path / "kept", fresh / file)
    heads = await ledger_of(schema_of)
    with pytest.raises(StrangeKeys, match=f"put back {named} and the rest"):
        await begin(schema_of, begun)
    assert await ledger_of(schema_of) == heads
    for file in lost:
        shutil.copy(fresh / file, begun / file)
    await begin(schema_of, begun)


async def ledger_of(schema_of: House) -> list[str]:
    connection = await schema_of.connect_system()
    notes = [row["note"] for row in await connection.fetch("SELECT note FROM ledger_checkpoint")]
    await connection.close()
    return notes


async def test_a_caller_is_told_no_file_of_the_house(schema_of: House, begun: Path, tmp_path: Path) -> None:
    with pytest.raises(StrangeKeys) as refused:
        await knows(schema_of, make_keys(tmp_path / "fresh"))
    assert "fresh" in str(refused.value) and "fresh" not in refused.value.response().body.decode()


async def test_a_database_that_comes_later_is_looked_at_before_anybody_works_in_it(
    schema_of: House, begun: Path, tmp_path: Path
) -> None:
    """A process may begin before its database does."""
    fresh, heads = make_keys(tmp_path / "fresh"), await ledger_of(schema_of)
    away = tmp_path / "away"
    app = app_of(schema_of, fresh, database_host=str(away))
    async with serve(app) as url, httpx2.AsyncClient(base_url=url, verify=trust()) as http:
        assert (await http.get("/health/ready")).json() == {"ready": False, "waiting_for": ["database"]}
        assert (await http.get("/health/live")).status_code == 200
        away.symlink_to(schema_of.cluster.socket)
        async with asyncio.timeout(PATIENCE):
            while (await http.get("/health/live")).status_code == 200:
                await asyncio.sleep(0.05)
        assert (await http.get("/health/ready")).json() == {"ready": False, "waiting_for": ["database"]}
        for enter in (app.state.database.transaction(TENANT), app.state.database.system()):
            with pytest.raises(StrangeKeys):
                async with enter:
                    pass
    assert await ledger_of(schema_of) == heads


async def test_replicas_that_begin_together_remember_one_index_key(
    schema_of: House, secrets: Path, tmp_path: Path
) -> None:
    others = make_keys(tmp_path / "others")
    told = await asyncio.gather(*(knows(schema_of, keys) for keys in [secrets, others] * 10), return_exceptions=True)
    by_keys = {True: 0, StrangeKeys: 0}
    for each in told:
        by_keys[each if each is True else type(each)] += 1
    assert by_keys == {True: 10, StrangeKeys: 10}


async def test_a_new_epoch_and_the_end_of_an_old_one_change_nothing(schema_of: House, begun: Path) -> None:
    (begun / "epochs" / "2.key").write_bytes(os.urandom(32))
    await seal(schema_of, begun, uuid4())
    assert await knows(schema_of, begun)
    connection = await schema_of.connect_system()
    assert await Sealer(begun / "epochs", bytes(32)).rewrap(connection) == 1
    await connection.close()
    (begun / "epochs" / "1.key").unlink()
    await begin(schema_of, begun)
    assert await knows(schema_of, begun)


async def test_the_key_of_an_epoch_that_people_still_need_is_missed_between_others(
    schema_of: House, begun: Path
) -> None:
    for epoch in (2, 3):
        (begun / "epochs" / f"{epoch}.key").write_bytes(os.urandom(32))
        await seal(schema_of, begun, uuid4())
    (begun / "epochs" / "2.key").unlink()
    with pytest.raises(StrangeKeys, match="put back epochs/2.key and"):
        await knows(schema_of, begun)


async def test_a_ledger_key_that_was_rotated_is_known_as_long_as_the_old_one_is_kept(
    schema_of: House, begun: Path, tmp_path: Path
) -> None:
    (begun / "retired").mkdir()
    old = OKPKey.import_key(json.loads((begun / "ledger.jwk").read_bytes()))
    (begun / "retired" / "old.jwk").write_text(json.dumps(old.as_dict(private=False)))
    shutil.copy(make_keys(tmp_path / "fresh") / "ledger.jwk", begun / "ledger.jwk")
    assert await knows(schema_of, begun)
    (begun / "retired" / "old.jwk").unlink()
    with pytest.raises(StrangeKeys, match="ledger.jwk"):
        await knows(schema_of, begun)


async def test_an_emptied_database_begins_with_the_kept_keys_and_with_fresh_ones(
    house: Callable[..., House], schema_of: House, begun: Path, tmp_path: Path
) -> None:
    for keys in (begun, make_keys(tmp_path / "fresh")):
        parts = (chassis.ledger.schema.create, sealing.create, lambda op, _: own_keys.create(op))
        emptied = await asyncio.to_thread(house, *parts)
        await begin(emptied, keys)
        assert await knows(emptied, keys)


async def test_a_house_of_before_is_looked_at_too_and_remembers_once_it_can(
    house: Callable[..., House], secrets: Path, tmp_path: Path
) -> None:
    """Its schema has not been migrated yet: what can be opened is, and nothing is remembered."""
    older = await asyncio.to_thread(house, chassis.ledger.schema.create, sealing.create)
    await seal(older, secrets, uuid4())
    assert not await knows(older, secrets)
    with pytest.raises(StrangeKeys):
        await knows(older, make_keys(tmp_path / "fresh"))


async def test_all_who_come_while_it_is_looked_share_one_look(schema_of: House, begun: Path, monkeypatch) -> None:
    """A database that comes back is met by everybody at once, and has room for so many."""
    opened, connecting = 0, asyncpg.connect

    async def connect(*where, **how):
        nonlocal opened
        opened += 1
        return await connecting(*where, **how)

    monkeypatch.setattr(asyncpg, "connect", connect)
    database = Database(settings(schema_of.cluster, begun), schema_of.service, guarded=True)
    await asyncio.gather(*(database.recognise() for _ in range(100)))
    assert opened == 1
    await database.close()
