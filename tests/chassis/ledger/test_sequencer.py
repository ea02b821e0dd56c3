"""Positions are gap-free, each committed event has exactly one, and a cause always stands before its effect."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chassis.ledger import checkpoint, events, merkle, schema
from chassis.ledger.sequencer import Bell, Sequencer
from chassis.ledger.tree import frontier_at, range_roots
from tests.patience import PATIENCE, busy

TENANT = UUID("0190a000-0000-7000-8000-000000000001")
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


@pytest.fixture
async def stream(house):
    return await asyncio.to_thread(house, schema.create)


async def write(house, connection, type="thing.done", tenant=TENANT, **data) -> events.Composed:
    fact = events.compose(
        source=f"/wardline/{house.service}",
        type=type,
        tenant=tenant,
        subject=None,
        data=data,
        time=datetime.now(UTC),
        traceparent=None,
    )
    await connection.execute(*events.inserting(house.service, [fact]))
    return fact


async def write_many(house, count: int) -> None:
    connection = await house.connect()
    async with house.transaction(connection, TENANT):
        for n in range(count):
            await write(house, connection, n=n)
    await connection.close()


async def sequence_all(house, sequencer: Sequencer) -> int:
    total = 0
    async with sequencer.session() as connection:
        while (done := await sequencer.sequence(connection)) != 0:
            if done is None:
                # The server has not yet noticed that the process which held the lock is dead.
                await asyncio.sleep(0.1)
            else:
                total += done
    return total


async def entries(house) -> list[asyncpg.Record]:
    connection = await house.connect_system()
    rows = await connection.fetch(
        "SELECT l.position, l.event_id, l.leaf, e.body, e.seq FROM ledger_entry l LEFT JOIN event e ON e.id = l.event_id ORDER BY 1"
    )
    await connection.close()
    return rows


async def grown_to(house, sequencer: Sequencer, size: int) -> None:
    while True:
        turn = sequencer.grown.turn()
        if len(await entries(house)) >= size:
            return
        await turn.wait()


async def last_note(house) -> str:
    connection = await house.connect_system()
    note = await connection.fetchval("SELECT note FROM ledger_checkpoint ORDER BY size DESC LIMIT 1")
    await connection.close()
    return note


async def assert_whole(house, expected: set[UUID]) -> None:
    """Gap-free, each event once, leaves over the bodies, and a signed head over exactly these leaves."""
    rows = await entries(house)
    assert [row["position"] for row in rows] == list(range(1, len(expected) + 1))
    assert {row["event_id"] for row in rows} == expected
    assert all(row["leaf"] == merkle.leaf_hash(row["body"]) for row in rows)
    head = checkpoint.verify(await last_note(house), [KEY.public_key()])
    assert (head.size, head.root) == (len(rows), merkle.root([row["leaf"] for row in rows]))


async def test_an_empty_ledger_has_a_signed_head(stream):
    assert await sequence_all(stream, Sequencer(stream.connect_system, stream.service, KEY)) == 0
    await assert_whole(stream, set())


async def test_fifty_writers_with_rollbacks_give_a_gap_free_ledger_in_causal_order(stream):
    dice, committed, chain = random.Random(7), [], []

    async def writer(number: int) -> None:
        connection = await stream.connect()
        for step in range(8):
            try:
                async with stream.transaction(connection, TENANT):
                    await asyncio.sleep(dice.random() / 100)
                    if number % 5 == 0:
                        # Everything written under this lock is a chain of causes.
                        await connection.execute("SELECT pg_advisory_xact_lock(42)")
                    written = [
                        await write(stream, connection, writer=number, step=step) for _ in range(dice.randint(1, 3))
                    ]
                    await asyncio.sleep(dice.random() / 100)
                    if dice.random() < 0.3:
                        raise ZeroDivisionError
                    if number % 5 == 0:
                        chain.extend(event.id for event in written)
                committed.extend(event.id for event in written)
            except ZeroDivisionError:
                continue
        await connection.close()

    sequencers = [Sequencer(stream.connect_system, stream.service, KEY, batch=batch) for batch in (7, 5000)]
    running = [asyncio.create_task(sequencer.run()) for sequencer in sequencers]
    await asyncio.gather(*map(writer, range(50)))
    async with asyncio.timeout(PATIENCE):
        await grown_to(stream, sequencers[0], len(committed))
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    await assert_whole(stream, set(committed))
    place = {row["event_id"]: row["position"] for row in await entries(stream)}
    assert [place[id] for id in chain] == sorted(place[id] for id in chain)


async def test_an_event_that_commits_after_later_ones_were_sequenced_is_not_lost(stream):
    sequencer = Sequencer(stream.connect_system, stream.service, KEY)
    slow, quick = await stream.connect(), await stream.connect()
    async with sequencer.session() as connection:
        slow_transaction = stream.transaction(slow, TENANT)
        await slow_transaction.__aenter__()
        early = await write(stream, slow)
        async with stream.transaction(quick, TENANT):
            late = await write(stream, quick)
        assert await sequencer.sequence(connection) == 1
        assert await sequencer.sequence(connection) == 0
        await slow_transaction.__aexit__(None, None, None)
        assert await sequencer.sequence(connection) == 1
    await assert_whole(stream, {early.id, late.id})
    assert [row["event_id"] for row in await entries(stream)] == [late.id, early.id]
    await asyncio.gather(slow.close(), quick.close())


async def test_only_one_of_two_sequencers_works_at_a_time(stream):
    await write_many(stream, 3)
    first, second = (Sequencer(stream.connect_system, stream.service, KEY) for _ in range(2))
    async with first.session() as one, second.session() as two:
        async with one.transaction():
            await one.fetchval("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"ledger of {stream.service}")
            assert await second.sequence(two) is None
        assert await second.sequence(two) == 3
        assert await first.sequence(one) == 0


async def test_a_frozen_sequencer_loses_its_lock_after_two_seconds(stream):
    await write_many(stream, 1)
    frozen, other = (Sequencer(stream.connect_system, stream.service, KEY) for _ in range(2))
    async with frozen.session() as held, other.session() as free:
        await held.execute("BEGIN")
        await held.fetchval("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"ledger of {stream.service}")
        assert await other.sequence(free) is None
        await asyncio.sleep(2)
        async with asyncio.timeout(2 * busy()):
            while (came := await other.sequence(free)) is None:
                await asyncio.sleep(0.05)
        assert came == 1


async def test_the_tree_goes_on_over_the_borders_of_its_tiles_and_after_a_restart(stream):
    expected = 0
    for batch in (1, 254, 1, 1, 300, 513):
        await write_many(stream, batch)
        expected += batch
        # A new sequencer each time: the frontier is read back from the stored rows.
        assert await sequence_all(stream, Sequencer(stream.connect_system, stream.service, KEY)) == batch
    rows = await entries(stream)
    await assert_whole(stream, {row["event_id"] for row in rows})
    leaves = [row["leaf"] for row in rows]
    connection = await stream.connect_system()
    for old in (1, 255, 256, 257, 511, 512, 513, 1000, expected):
        assert (await frontier_at(connection, stream.service, old)).root() == merkle.root(leaves[:old])
        proof = await range_roots(connection, stream.service, merkle.consistency_ranges(old, expected))
        assert proof == merkle.consistency_proof(leaves, old)
        proof = await range_roots(connection, stream.service, merkle.inclusion_ranges(old - 1, expected))
        assert proof == merkle.inclusion_proof(leaves, old - 1)
    await connection.close()


@pytest.mark.parametrize("role", ["", "_system", "_owner"])
@pytest.mark.parametrize("table", ["event", "ledger_entry", "ledger_node", "ledger_checkpoint"])
async def test_nobody_may_change_or_delete_what_is_written(stream, role, table):
    connection = await stream.cluster.connect("postgres", stream.service)
    await connection.execute(f"SET ROLE {stream.service}{role}")
    column = {"event": "type", "ledger_entry": "leaf", "ledger_node": "hash", "ledger_checkpoint": "note"}[table]
    for attempt in (f"UPDATE {table} SET {column} = NULL", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(attempt)
    await connection.close()


async def test_a_tenant_sees_its_own_events_only_and_writes_for_nobody_else(stream):
    connection, stranger = await stream.connect(), uuid4()
    async with stream.transaction(connection, TENANT):
        await write(stream, connection)
        assert await connection.fetchval("SELECT count(*) FROM event") == 1
    async with stream.transaction(connection, stranger):
        assert await connection.fetchval("SELECT count(*) FROM event") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with stream.transaction(connection, stranger):
            await write(stream, connection, tenant=TENANT)
    await connection.close()


@pytest.mark.parametrize("column", ["seq", "xid"])
async def test_a_service_cannot_choose_where_the_sequencer_looks(stream, column):
    connection = await stream.connect()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with stream.transaction(connection, TENANT):
            await connection.execute(
                f"INSERT INTO event (id, type, tenant, time, body, {column}) OVERRIDING SYSTEM VALUE "
                "VALUES (gen_random_uuid(), 'hidden.deed', $1, now(), '', '3')",
                TENANT,
            )
    await connection.close()


async def test_the_bell_rings_when_entries_came(stream):
    sequencer = Sequencer(stream.connect_system, stream.service, KEY)
    running = asyncio.create_task(sequencer.run())
    await asyncio.sleep(0.3)
    turn = sequencer.grown.turn()
    await write_many(stream, 1)
    # Written by another process, which calls nobody: the promise is a second.
    async with asyncio.timeout(2 * busy()):
        await turn.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_who_waits_looks_when_the_line_to_the_database_is_there_again(stream):
    """What was told meanwhile was told to nobody."""
    sequencer = Sequencer(stream.connect_system, stream.service, KEY)
    turns = sequencer.grown.turn(), sequencer.grown.turn(["never.told"])
    async with sequencer.session():
        assert all(turn.is_set() for turn in turns)


async def test_who_waits_for_a_type_is_woken_by_it_alone_and_who_waits_for_anything_by_all(stream):
    sequencer = Sequencer(stream.connect_system, stream.service, KEY)
    async with sequencer.session() as listening, sequencer.session() as connection:
        anything, deeds = sequencer.grown.turn(), sequencer.grown.turn(["other.deed", "thing.undone"])
        await write_many(stream, 1)
        await sequencer.sequence(connection)
        async with asyncio.timeout(PATIENCE):
            await anything.wait()
        assert not deeds.is_set()
        writing = await stream.connect()
        async with stream.transaction(writing, TENANT):
            for type in ("thing.done", "other.deed"):
                await write(stream, writing, type)
        await writing.close()
        await sequencer.sequence(connection)
        async with asyncio.timeout(PATIENCE):
            await deeds.wait()
        assert not listening.is_closed()


def test_a_bell_that_is_silenced_wakes_everybody_and_keeps_nobody_who_went_away():
    bell = Bell()
    turns = bell.turn(), bell.turn(["thing.done"])
    gone = bell.turn(["thing.done"])
    del gone
    assert len(bell._choosy) == 1
    bell.silence()
    assert all(turn.is_set() for turn in turns)


_A_SEQUENCER = """
import asyncio, sys, asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from chassis.ledger.sequencer import Sequencer
socket, service = sys.argv[1:]
async def connect():
    return await asyncpg.connect(host=socket, user=service + "_system", database="postgres")
print("runs", flush=True)
asyncio.run(Sequencer(connect, service, Ed25519PrivateKey.from_private_bytes(b"k" * 32), batch=5).run())
"""


@asynccontextmanager
async def sequencer_process(stream) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _A_SEQUENCER, str(stream.cluster.socket), stream.service),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    await process.stdout.readline()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def steady_writing(stream) -> AsyncIterator[list[UUID]]:
    """Writes until the block ends; the list grows with what was committed."""
    committed: list[UUID] = []

    async def go_on() -> None:
        connection = await stream.connect()
        try:
            while True:
                async with stream.transaction(connection, TENANT):
                    events = [await write(stream, connection) for _ in range(3)]
                committed.extend(event.id for event in events)
                await asyncio.sleep(0.005)
        finally:
            connection.terminate()

    writing = asyncio.create_task(go_on())
    try:
        yield committed
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def test_sequencers_killed_at_any_moment_leave_no_gap_and_no_second_entry(stream):
    dice = random.Random(11)
    async with steady_writing(stream):
        for _ in range(6):
            async with sequencer_process(stream) as process:
                await asyncio.sleep(dice.uniform(0.05, 0.3) * busy())
                process.kill()
    assert len(await entries(stream)) > 0
    await sequence_all(stream, Sequencer(stream.connect_system, stream.service, KEY))
    superuser = await stream.cluster.connect("postgres", stream.service)
    await assert_whole(stream, {row["id"] for row in await superuser.fetch("SELECT id FROM event")})
    await superuser.close()


async def test_a_stopped_sequencer_process_is_replaced_and_goes_on_when_it_is_woken(stream):
    async with sequencer_process(stream) as process:
        other = Sequencer(stream.connect_system, stream.service, KEY)
        async with steady_writing(stream) as committed:
            await asyncio.sleep(0.3)
            os.kill(process.pid, signal.SIGSTOP)
            replacement = asyncio.create_task(other.run())
            async with asyncio.timeout(4 * busy()):
                await grown_to(stream, other, len(await entries(stream)) + 50)
            os.kill(process.pid, signal.SIGCONT)
            await asyncio.sleep(0.3)
        replacement.cancel()
        await asyncio.gather(replacement, return_exceptions=True)
        await write_many(stream, 1)
        # The session only listens: what grows now is the work of the process that was woken.
        async with other.session(), asyncio.timeout(5 * busy()):
            await grown_to(stream, other, len(committed) + 1)
    await assert_whole(stream, {row["event_id"] for row in await entries(stream)})
