"""What a connection asks about types: nothing that this process knows already, everything that is a database's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from uuid import uuid4

import asyncpg
import pytest

from chassis import known_types
from chassis.known_types import Connection

THOSE_OF_POSTGRESQL = "SELECT $1::uuid[] AS ids, $2::timestamptz[] AS times, $3::jsonb[] AS said"


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_types, "_known", {})


@asynccontextmanager
async def connected(cluster) -> AsyncIterator[tuple[Connection, list[str]]]:
    """A new connection, and what it asks the catalogue."""
    asked: list[str] = []

    def heard(logged: asyncpg.connection.LoggedQuery) -> None:
        if "typeinfo_tree" in logged.query:
            asked.append(logged.query)

    connection = await asyncpg.connect(
        host=str(cluster.socket), user="postgres", database="postgres", connection_class=Connection
    )
    connection.add_query_logger(heard)
    try:
        yield connection, asked
    finally:
        await connection.close()


async def test_the_second_connection_knows_what_the_first_one_learned(cluster):
    given, answers = ([uuid4(), uuid4()], [], ['{"a": 1}']), []
    for times in (1, 0):
        async with connected(cluster) as (connection, asked):
            for _ in range(2):
                answers.append(tuple(await connection.fetchrow(THOSE_OF_POSTGRESQL, *given)))
            assert len(asked) == times
    assert answers == [given] * 4


async def test_what_was_learned_together_is_known_alone_and_among_others(cluster):
    async with connected(cluster) as (connection, _):
        await connection.fetchval("SELECT $1::uuid[], $2::int8[]", [], [])
        await connection.fetchval("SELECT $1::date[]", [])
    async with connected(cluster) as (connection, asked):
        assert await connection.fetchval("SELECT $1::int8[] || 2::int8 FROM unnest($2::date[]) d", [1], [date.max]) == [
            1,
            2,
        ]
        assert not asked


async def test_a_codec_of_its_own_goes_for_its_arrays_too_though_another_connection_learned_them(cluster):
    async with connected(cluster) as (connection, _):
        assert await connection.fetchval("SELECT $1::jsonb[]", ["1"]) == ["1"]
    async with connected(cluster) as (connection, _):
        await connection.set_type_codec("jsonb", encoder=str, decoder=int, schema="pg_catalog")
        assert await connection.fetchval("SELECT $1::jsonb[]", [1, 2]) == [1, 2]


async def test_what_a_database_made_itself_is_asked_for_on_each_connection(cluster):
    """Elsewhere another type has its number."""
    async with connected(cluster) as (connection, _):
        await connection.execute("CREATE TYPE mood AS ENUM ('glad')")
    try:
        for _ in range(2):
            async with connected(cluster) as (connection, asked):
                assert await connection.fetchval("SELECT $1::mood[]", ["glad"]) == ["glad"]
                assert await connection.fetchval("SELECT $1::uuid[]", []) == []
                assert len(asked) >= 1
        assert known_types._known and max(known_types._known) < 10_000
    finally:
        async with connected(cluster) as (connection, _):
            await connection.execute("DROP TYPE mood")
