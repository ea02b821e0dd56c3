"""What a decision point remembers, kept in the database: the next one to start reads that and the entries since, not all there were.

An image is taken while the memory changes under it. It holds everything up to its position, and here and there something later;
reading on from its position takes those in once more, which changes nothing (`Memory.apply`). It is a copy, never the truth:
without one, or with one of another format, a decision point begins with what counts on each matter, one row of `standing` for each,
whatever else was said before.
"""

import asyncio

import asyncpg

from chassis.ledger import queries as ledger
from services.consent.memory import PARTS, Memory

EVERY = 50_000
FORMAT = 1

_MINE = "SELECT pg_try_advisory_xact_lock(hashtextextended('consent image', 0))"
_POSITION = "SELECT position FROM memory_image WHERE part = 0"
_PUT = "INSERT INTO memory_image (part, position, body) VALUES ($1, $2, $3)"
_WHOLE = "SELECT part, body FROM memory_image WHERE part > 0 AND position = $1"
_INDEX = "SELECT position, body FROM memory_image WHERE part = 0"
_RULES = """
SELECT l.position, e.type, e.tenant, e.subject, e.body FROM event e JOIN ledger_entry l ON l.event_id = e.id
WHERE e.type IN ('notice.published', 'duty.recorded', 'duty.ended') ORDER BY l.position"""
_COUNTS = """
SELECT tenant, principal, kind, regulation, purpose, state, (extract(epoch FROM occurred_at) * 1000000)::bigint,
       (extract(epoch FROM valid_until) * 1000000)::bigint, notice, notice_version
FROM standing WHERE statement IS NOT NULL"""
_AT_ONCE, _ROWS_AT_ONCE = 16, 500


async def keep(connection: asyncpg.Connection, memory: Memory) -> bool:
    """In the caller's transaction, which sees everything of one moment. False while the last image is good enough, or taken elsewhere."""
    position = memory.position
    if not await connection.fetchval(_MINE):
        return False
    if position - (await connection.fetchval(_POSITION) or 0) < EVERY:
        return False
    await connection.execute("DELETE FROM memory_image")
    for part in range(PARTS):
        await connection.execute(_PUT, part + 1, position, memory.part(part))
    # Last, so that it names every number the parts use.
    await connection.execute(_PUT, 0, position, bytes([FORMAT]) + memory.index())
    return True


async def begin(connection: asyncpg.Connection, service: str, memory: Memory) -> None:
    """What is known without reading the whole ledger, into a memory that holds nothing yet; its position says up to where."""
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if not await recall(connection, memory):
                await _take_standing(connection, service, memory)
    except BaseException:
        memory.forget()  # half of one beginning is no ground for another
        raise


async def recall(connection: asyncpg.Connection, memory: Memory) -> bool:
    """False where there is no image that can be read whole; then nothing of it is remembered."""
    index = await connection.fetchrow(_INDEX)
    if index is None or index["body"][:1] != bytes([FORMAT]):
        return False
    parts = 0
    async for row in connection.cursor(_WHOLE, index["position"], prefetch=_AT_ONCE):
        memory.recall(row["part"] - 1, row["body"])
        parts += 1
    if parts != PARTS:
        memory.forget()  # whose objection is not known would be taken for somebody who has none
        return False
    memory.recall_index(index["body"][1:], index["position"])
    return True


async def _take_standing(connection: asyncpg.Connection, service: str, memory: Memory) -> None:
    """An event and the standing it left were committed together, before the event got its position: of one moment, all entries
    there are have had their effect."""
    position, rules = await ledger.head(connection, service), await connection.fetch(_RULES)
    cursor = await connection.cursor(_COUNTS)
    while rows := await cursor.fetch(_ROWS_AT_ONCE):
        for tenant, principal, *about, state, occurred_at, until, notice, version in rows:
            named = (notice, version) if notice else None
            memory.hear(tenant, principal, tuple(about), state, occurred_at, until, named)
        await asyncio.sleep(0)
    for row in rules:
        memory.read(*row)
    memory.position = position
