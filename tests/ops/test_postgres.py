"""The embedded PostgreSQL starts, is adopted, survives crashes, and lets nobody in without a password."""

import asyncio
import os
import shutil
from pathlib import Path

import asyncpg
import pytest

from ops import keys
from ops.home import CannotRun, Home
from ops.postgres import PORT, Account, Postgres, create_database, create_role


@pytest.fixture
def fresh(home: Home) -> Postgres:
    keys.make(home)
    return Postgres(home)


def ended(pid: int) -> bool:
    """A zombie has ended; whoever is process 1 here may not have noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_running_server_is_adopted_by_whoever_starts_it_again(fresh: Postgres) -> None:
    fresh.start()
    pid = fresh.pid()
    again = Postgres(fresh.home)
    again.start()
    assert again.pid() == pid
    again.stop()
    assert not fresh.is_running()
    assert ended(pid)


def test_data_outlive_a_crash(fresh: Postgres) -> None:
    async def fill() -> None:
        connection = await fresh.connect()
        await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('kept')")
        await connection.close()

    async def word() -> str:
        connection = await fresh.connect()
        try:
            return await connection.fetchval("SELECT word FROM kept")
        finally:
            await connection.close()

    fresh.start()
    asyncio.run(fill())
    fresh.kill()
    fresh.start()
    assert asyncio.run(word()) == "kept"


def test_a_pid_file_naming_a_stranger_does_not_prevent_the_start(fresh: Postgres) -> None:
    fresh.start()
    fresh.stop()
    (fresh.data / "postmaster.pid").write_text(f"{os.getpid()}\n{fresh.data}\n")
    assert not fresh.is_running()
    fresh.start()
    assert fresh.is_running()


def test_a_start_that_was_interrupted_half_way_is_made_good(fresh: Postgres) -> None:
    fresh._prepare()
    (fresh.place / "data.new").mkdir()
    (fresh.place / "data.new" / "PG_VERSION").write_text("18")
    fresh.start()
    assert fresh.is_running()


async def test_nobody_enters_without_the_password(server: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host=str(server.socket_dir), port=PORT, user="postgres", password="guess", database="postgres"
        )


async def test_the_server_never_runs_as_root(server: Postgres) -> None:
    assert Path(f"/proc/{server.pid()}").stat().st_uid != 0


async def test_only_invited_roles_enter_a_database(server: Postgres) -> None:
    admin = await server.connect()
    await create_role(admin, "guest", password="it's a guest")
    await create_database(admin, "private")
    await create_database(admin, "private")
    await admin.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(
            host=str(server.socket_dir), port=PORT, user="guest", password="it's a guest", database="private"
        )


def test_a_long_path_gets_a_short_socket_directory(home: Home) -> None:
    deep = Home(home.path / ("deep-" * 20))
    deep.make()
    keys.make(deep)
    server = Postgres(deep)
    try:
        server.start()
        assert server.is_running()
        assert len(str(server.socket_dir)) < 60
    finally:
        server.remove()
    assert not server.socket_dir.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has directories that its database's user may not enter")
def test_a_house_behind_a_closed_door_keeps_its_data_elsewhere(home: Home) -> None:
    closed = home.path / "closed"
    closed.mkdir(mode=0o700)
    inner = Home(closed / "house")
    inner.make()
    keys.make(inner)
    server = Postgres(inner)
    try:
        server.start()
        assert server.is_running()
        assert str(server.place).startswith("/var/tmp/wardline-")
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        server.remove()
    assert not server.place.exists()
    shutil.rmtree(closed)


def test_binaries_behind_a_closed_door_work_from_their_copy(fresh: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    open_door = Account.walks_to
    monkeypatch.setattr(Account, "walks_to", lambda self, path: "pginstall" not in str(path) and open_door(self, path))
    fresh.start()
    assert fresh.is_running()
    assert (Path("/proc") / str(fresh.pid()) / "exe").readlink().is_relative_to(fresh.place)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a directory of another user")
def test_a_socket_directory_of_somebody_else_is_refused(home: Home) -> None:
    deep = Home(home.path / ("deep-" * 20))
    deep.make()
    keys.make(deep)
    server = Postgres(deep)
    server.socket_dir.mkdir()
    os.chown(server.socket_dir, 12345, 12345)
    try:
        with pytest.raises(CannotRun, match="belongs to someone else"):
            server.start()
    finally:
        shutil.rmtree(server.socket_dir)
