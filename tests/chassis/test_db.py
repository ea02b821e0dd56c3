"""What a process gives back of its connections, and that nobody who comes meanwhile notices; what is read under a lock."""

import asyncio
import time
from uuid import uuid4

import pytest
from sqlmodel import Field, SQLModel, select

from chassis.db import Database
from tests.patience import busy

POOL = 5  # connections, where nobody says otherwise


@pytest.mark.parametrize("late", range(1, 6))
async def test_who_comes_while_idle_connections_are_given_back_neither_waits_nor_leaves_one_open(
    database: Database, cluster, late: int
):
    """`late`: how many turns of the loop after the giving back began."""
    await all_at_once(database)
    await database.rest()
    async with asyncio.TaskGroup() as group:
        group.create_task(database.rest())
        for _ in range(late):
            await asyncio.sleep(0)
        began = time.monotonic()
        await one(database)
        assert time.monotonic() - began < 2 * busy()
    assert await opened(database, cluster) == database.engine.pool.checkedin() == 1


async def test_who_is_stopped_while_giving_back_leaves_the_rest_to_the_end(database: Database, cluster):
    await all_at_once(database)
    await database.rest()
    giving = asyncio.create_task(database.rest())
    await asyncio.sleep(0)
    giving.cancel()
    await asyncio.gather(giving, return_exceptions=True)
    await database.close()
    assert await opened(database, cluster, most=0) == 0


async def test_the_last_connection_stays_while_somebody_comes_now_and_then(
    database: Database, cluster, monkeypatch: pytest.MonkeyPatch
):
    await one(database)
    for _ in range(3):
        await database.rest()
    assert await opened(database, cluster) == 1
    monkeypatch.setattr("chassis.db._NOW_AND_THEN", 0.0)
    await database.rest()
    assert await opened(database, cluster, most=0) == 0


class Counter(SQLModel, table=True):
    __tablename__ = "counter"
    id: int = Field(primary_key=True)
    value: int
    note: str = ""


@pytest.mark.parametrize("by", ["get", "select"])
async def test_what_is_read_under_a_lock_is_what_stands_there_then_and_not_what_was_seen_before(
    database: Database, cluster, by: str
):
    async def add(together: asyncio.Barrier) -> None:
        async with database.transaction(tenant) as tx:
            seen = await tx.session.get(Counter, 1)
            await together.wait()
            seen.note = "kept"
            if by == "get":
                row = await tx.session.get(Counter, 1, with_for_update=True)
            else:
                row = (await tx.session.scalars(select(Counter).with_for_update())).one()
            assert row is seen and row.note == "kept", "and what was changed here is not lost"
            row.value += 1

    tenant, schema = uuid4(), database.service
    owner = await cluster.connect("postgres")
    try:
        await owner.execute(
            f"CREATE TABLE {schema}.counter (id int PRIMARY KEY, value int, note text); "
            f"GRANT SELECT, UPDATE ON {schema}.counter TO {schema}; INSERT INTO {schema}.counter VALUES (1, 0, '')"
        )
        together = asyncio.Barrier(POOL)
        await asyncio.gather(*(add(together) for _ in range(POOL)))
        assert await owner.fetchval(f"SELECT value FROM {schema}.counter") == POOL
    finally:
        await owner.close()


async def all_at_once(database: Database) -> None:
    """As many at once as the pool has connections."""
    together = asyncio.Barrier(POOL)
    async with asyncio.TaskGroup() as group:
        for _ in range(POOL):
            group.create_task(one(database, together))


async def one(database: Database, together: asyncio.Barrier | None = None) -> None:
    async with database.transaction(uuid4()) as tx:
        await tx.connection.fetchval("SELECT 1")
        if together:
            await together.wait()


async def opened(database: Database, cluster, most: int = 1) -> int:
    """How many connections the server has of this service, when those that were closed are gone."""
    connection = await cluster.connect("postgres")
    try:
        for _ in range(500):
            query = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1"
            count = await connection.fetchval(query, database.service)
            if count <= most:
                break
            await asyncio.sleep(0.02)
    finally:
        await connection.close()
    return count
