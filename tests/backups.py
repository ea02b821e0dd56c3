"""A service's database as an older backup has it."""

import asyncpg


async def lose_what_came_after(admin: asyncpg.Connection, schema: str, position: int) -> None:
    """Of the ledger alone; its sequencer goes on from there."""
    gone = f'(SELECT event_id FROM "{schema}".ledger_entry WHERE position > $1)'
    async with admin.transaction():
        for table, which in (
            ("event", f"id IN {gone}"),
            ("ledger_entry", "position > $1"),
            ("ledger_node", "(index + 1) * 256 ^ level > $1"),
            ("ledger_checkpoint", "size > $1"),
        ):
            await admin.execute(f'DELETE FROM "{schema}".{table} WHERE {which}', position)
