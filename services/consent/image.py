"""What a decision point remembers, kept in the database: the next one to start reads that and the entries since, not all there were.

An image is taken while the memory changes under it. It holds everything up to its position, and here and there something later;
reading on from its position takes those in once more, which changes nothing (`Memory.apply`). It is a copy, never the truth:
without one, or with one of another format, a decision point reads the ledger from its beginning.
"""

import asyncpg

from services.consent.memory import PARTS, Memory

EVERY = 50_000
FORMAT = 1

_MINE = "SELECT pg_try_advisory_xact_lock(hashtextextended('consent image', 0))"
_POSITION = "SELECT position FROM memory_image WHERE part = 0"
_PUT = "INSERT INTO memory_image (part, position, body) VALUES ($1, $2, $3)"
_WHOLE = "SELECT body FROM memory_image WHERE part > 0 ORDER BY part"
_INDEX = "SELECT position, body FROM memory_image WHERE part = 0"
_AT_ONCE = 16


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


async def recall(connection: asyncpg.Connection, memory: Memory) -> None:
    """Into a memory that holds nothing yet."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        index = await connection.fetchrow(_INDEX)
        if index is None or index["body"][0] != FORMAT:
            return
        part = 0
        async for row in connection.cursor(_WHOLE, prefetch=_AT_ONCE):
            memory.recall(part, row["body"])
            part += 1
        memory.recall_index(index["body"][1:], index["position"])
