"""Writes that share a transaction: each has an outcome of its own, whatever happens to its neighbours."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import orjson
import pytest
from pydantic import BaseModel

from chassis import idempotency, schema
from chassis.db import Transaction
from chassis.errors import Conflict, KeyReused, Problem
from chassis.idempotency import Write
from chassis.together import Made, Together

TENANT = uuid4()


class Note(BaseModel):
    words: str


def made(words: str) -> Made:
    body = Note(words=words).model_dump_json().encode()
    return Made(body, body if words != "long" else b'{"words":"short"}')


class Desk:
    """A service of notes; `groups`: how many were written in each transaction."""

    def __init__(self, house) -> None:
        self.house, self.groups, self.refused = house, [], {"refuse me"}
        self.together = Together(self, self.record)

    @asynccontextmanager
    async def transaction(self, tenant, lock=(), share=()):
        connection = await self.house.connect()
        try:
            async with self.house.transaction(connection, tenant):
                tx = Transaction(self.house.service, tenant, connection, None)
                await tx.lock(*lock)
                yield tx
                await tx.finish()
        finally:
            await connection.close()

    async def record(self, tx: Transaction, words: Sequence[str]) -> list[Made | Problem]:
        self.groups.append(len(words))
        for each in words:
            if each not in self.refused:
                await tx.connection.execute("INSERT INTO note (tenant, words) VALUES ($1, $2)", tx.tenant, each)
        return [Conflict("No.") if each in self.refused else made(each) for each in words]

    async def send(self, words: str, key: str | None = None):
        return await self.together(TENANT, Write("client", key or str(uuid4()), words.encode(), 201), words)

    async def kept(self) -> list[str]:
        async with self.transaction(TENANT) as tx:
            return [row["words"] for row in await tx.connection.fetch("SELECT words FROM note ORDER BY words")]


def create(op, _service) -> None:
    op.execute("CREATE TABLE note (tenant uuid, words text UNIQUE)")
    schema.tenant_table(op, "note")
    idempotency.create(op)


@pytest.fixture
async def desk(house) -> Desk:
    return Desk(await asyncio.to_thread(house, create))


def said(reply) -> str:
    return orjson.loads(reply.body)["words"]


async def test_a_lone_write_waits_for_nobody_and_is_told_again_under_its_key(desk: Desk):
    first, again = await desk.send("one", "key"), await desk.send("one", "key")
    assert (said(first), said(again)) == ("one", "one")
    assert (first.again, again.again) == (False, True)
    assert again.response().headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.response().headers
    with pytest.raises(KeyReused):
        await desk.send("two", "key")
    assert await desk.kept() == ["one"]


async def test_many_at_once_share_transactions_and_each_gets_its_own_answer(desk: Desk):
    words = [f"n{n:02}" for n in range(40)]
    assert [said(reply) for reply in await asyncio.gather(*map(desk.send, words))] == words
    assert await desk.kept() == words and len(desk.groups) < 5


async def test_a_crowd_is_shared_out_evenly_and_late_comers_come_along(desk: Desk):
    late = [asyncio.create_task(desk.send(f"a{n:02}")) for n in range(40)]
    await asyncio.sleep(0)
    late += [asyncio.create_task(desk.send(f"b{n:02}")) for n in range(8)]
    await asyncio.gather(*late)
    assert desk.groups == [24, 24]


async def test_who_asks_again_is_told_what_was_kept(desk: Desk):
    first, again = await desk.send("long", "key"), await desk.send("long", "key")
    assert (said(first), said(again), again.again) == ("long", "short", True)


async def test_what_a_rule_refuses_leaves_nothing_and_its_neighbours_stand(desk: Desk):
    outcomes = await asyncio.gather(*map(desk.send, ["a", "refuse me", "b"]), return_exceptions=True)
    assert isinstance(outcomes[1], Conflict) and [said(outcomes[0]), said(outcomes[2])] == ["a", "b"]
    with pytest.raises(Conflict):
        await desk.send("refuse me")
    assert await desk.kept() == ["a", "b"]


async def test_one_that_the_database_refuses_takes_nobody_with_it(desk: Desk):
    await desk.send("there")
    outcomes = await asyncio.gather(*map(desk.send, ["a", "there", "b"]), return_exceptions=True)
    assert isinstance(outcomes[1], asyncpg.UniqueViolationError)
    assert await desk.kept() == ["a", "b", "there"]


async def test_the_same_write_many_times_at_once_is_done_once(desk: Desk):
    replies = await asyncio.gather(*(desk.send("one", "key") for _ in range(20)))
    assert {said(reply) for reply in replies} == {"one"} and await desk.kept() == ["one"]
    assert sum(not reply.again for reply in replies) == 1


async def test_what_was_answered_before_is_told_again_beside_new_writes_also_where_it_would_be_refused_now(desk: Desk):
    await desk.send("old", "key")
    desk.refused = {"old"}
    sent = [("a", None), ("old", "key"), ("b", None)]
    replies = await asyncio.gather(*(desk.send(*each) for each in sent))
    assert [(said(reply), reply.again) for reply in replies] == [("a", False), ("old", True), ("b", False)]
    desk.refused = set()
    replies = await asyncio.gather(*(desk.send(*each) for each in [("c", None), ("old", "key")]))
    assert [(said(reply), reply.again) for reply in replies] == [("c", False), ("old", True)]
    assert await desk.kept() == ["a", "b", "c", "old"]


async def test_a_key_used_for_two_things_at_once_is_one_of_them(desk: Desk):
    outcomes = await asyncio.gather(*(desk.send(f"n{n}", "key") for n in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, KeyReused) for outcome in outcomes) == 4 and len(await desk.kept()) == 1


async def test_two_processes_that_get_the_same_writes_in_another_order_do_each_once(desk: Desk):
    other, keys = Desk(desk.house), [f"k{n:02}" for n in range(12)]
    ours, theirs = (
        asyncio.gather(*(one.send(each, each) for each in each_way))
        for one, each_way in ((desk, keys), (other, keys[::-1]))
    )
    replies = await ours + await theirs
    assert await desk.kept() == keys
    assert sorted(said(reply) for reply in replies if not reply.again) == keys


async def test_a_caller_that_hangs_up_takes_nobody_with_it(desk: Desk):
    asked = [asyncio.create_task(desk.send(words)) for words in ("a", "b", "c")]
    await asyncio.sleep(0)
    asked[0].cancel()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError) and [said(each) for each in outcomes[1:]] == ["b", "c"]
    assert await desk.kept() == ["a", "b", "c"]
