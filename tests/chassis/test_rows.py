"""What a session's rows were given is written for all of them together, and is what the ORM itself would have written."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Column, DateTime, Field, SQLModel, col, select

from chassis.db import Database, Transaction
from chassis.rows import changing, new_row
from tests.patience import PATIENCE

TENANT = uuid4()
_TABLE = """
CREATE TABLE {0}.deed (kind text, id uuid, "order" int, said jsonb, seal bytea, at timestamptz, note text, PRIMARY KEY (kind, id));
CREATE TABLE {0}.drawn (number bigserial, who text);
GRANT SELECT, INSERT, UPDATE, DELETE ON {0}.deed, {0}.drawn TO {0}; GRANT USAGE ON SEQUENCE {0}.drawn_number_seq TO {0}"""
_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'"


class Deed(SQLModel, table=True):
    """With a key of two, and a column that SQL has another use for."""

    __tablename__ = "deed"
    kind: str = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    order: int | None = None
    said: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    seal: bytes | None = None
    at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    note: str | None = "new"


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def table(cluster, database: Database) -> None:
    owner = await cluster.connect("postgres")
    await owner.execute(_TABLE.format(database.service))
    await owner.close()


async def planted(database: Database, count: int = 3) -> list[UUID]:
    ids = sorted(uuid4() for _ in range(count))
    async with database.transaction(TENANT) as tx:
        tx.insert(Deed, [new_row(Deed, kind="a", id=id, order=n) for n, id in enumerate(ids)])
    return ids


async def deeds(tx: Transaction) -> list[Deed]:
    return list(await tx.session.scalars(select(Deed).order_by(col(Deed.id))))


async def stand(database: Database) -> list[tuple[Any, ...]]:
    async with database.transaction(TENANT) as tx:
        found = await tx.connection.fetch('SELECT id, "order", said, seal, at, note FROM deed ORDER BY id')
        return [tuple(row) for row in found]


async def test_what_rows_were_given_stands_there_whatever_it_is_and_however_many_they_are(database):
    ids, instant = await planted(database), datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=UTC)
    async with database.transaction(TENANT) as tx:
        one, other, third = await deeds(tx)
        for row in (one, other):
            row.order, row.said = 7, {"å": [1, None]}
        third.said, third.seal, third.at, third.note = {}, b"\x00\xff", instant, None
    assert await stand(database) == [
        (ids[0], 7, {"å": [1, None]}, None, None, "new"),
        (ids[1], 7, {"å": [1, None]}, None, None, "new"),
        (ids[2], 2, {}, b"\x00\xff", instant, None),
    ]
    async with database.transaction(TENANT) as tx:
        for row in await deeds(tx):
            row.said = None
    async with database.transaction(TENANT) as tx:
        assert await tx.connection.fetchval("SELECT count(*) FROM deed WHERE said IS NULL") == 3


async def test_all_that_changed_alike_is_one_statement_and_what_is_as_it_was_none(database):
    await planted(database)
    async with database.transaction(TENANT) as tx:
        one, other, third = await deeds(tx)
        one.note = other.note = "seen"
        third.note = "new"
        [(statement, _, ids, notes)] = changing(tx.session.sync_session)
        assert statement.startswith("UPDATE deed SET note = given.note FROM unnest(")
        assert {*ids} == {one.id, other.id} and notes == ["seen", "seen"]
        assert changing(tx.session.sync_session) == []


async def test_what_was_written_once_is_not_written_again_and_what_changes_after_it_is(database):
    await planted(database, 1)
    async with database.transaction(TENANT) as tx:
        [row] = await deeds(tx)
        row.note = "first"
        await tx.flush()
        seen = await tx.connection.fetchval("SELECT note FROM deed")
        statements: list[str] = []
        event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
        await deeds(tx)
        assert [each for each in statements if "UPDATE" in each] == [], "the session takes it for written"
        row.note = "second"
        assert (await deeds(tx))[0].note == "second", "the ORM's own look writes what has changed since"
        row.order = 9
    assert seen == "first"
    assert [(order, note) for _, order, *_, note in await stand(database)] == [(9, "second")]


async def test_new_rows_of_a_session_and_changed_ones_are_written_in_one_transaction(database):
    [id] = await planted(database, 1)
    async with database.transaction(TENANT) as tx:
        [row] = await deeds(tx)
        row.note = "changed"
        tx.session.add(Deed(kind="b", id=id, note="added"))
        await tx.connection.execute("SELECT 1")
    assert [note for *_, note in await stand(database)] == ["changed", "added"]


async def test_a_row_that_somebody_removed_meanwhile_is_missed_and_nothing_else_is_written(database):
    [gone, left] = await planted(database, 2)
    with pytest.raises(StaleDataError):
        async with database.transaction(TENANT) as tx:
            for row in await deeds(tx):
                row.note = "changed"
            async with database.transaction(TENANT) as other:
                await other.connection.execute("DELETE FROM deed WHERE id = $1", gone)
    assert [(id, note) for id, *_, note in await stand(database)] == [(left, "new")]


async def test_what_is_due_with_a_change_is_done_after_whoever_had_the_row_before(database, cluster):
    """So that of two facts about one row the later has the higher number."""
    await planted(database, 1)
    owner, schema = await cluster.connect("postgres"), database.service

    async def second() -> None:
        async with database.transaction(TENANT) as tx:
            [row] = await deeds(tx)
            row.note = "second"
            tx.write("INSERT INTO drawn (who) VALUES ($1)", "second")

    async with owner.transaction():
        await owner.execute(f"UPDATE {schema}.deed SET note = 'first'")
        waiting = asyncio.create_task(second())
        async with asyncio.timeout(PATIENCE):
            while not await owner.fetchval(_WAITS, schema):
                await asyncio.sleep(0.01)
        await owner.execute(f"INSERT INTO {schema}.drawn (who) VALUES ('first')")
    await waiting
    drawn = await owner.fetch(f"SELECT who FROM {schema}.drawn ORDER BY number")
    await owner.close()
    assert [who for (who,) in drawn] == ["first", "second"]
