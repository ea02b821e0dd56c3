"""Reads of the letters by which customer organisations were told of breaches, with what proves that they arrived."""

from uuid import UUID

import asyncpg

from services.registry.contract.breaches import BreachLetter
from services.registry.queries.changes import sent

_LETTERS = """
SELECT * FROM breach_letter
WHERE ($1::uuid IS NULL OR breach = $1) AND ($2::uuid IS NULL OR tenant = $2) AND ($3::uuid IS NULL OR id = $3) ORDER BY id"""
_SAID = ("breach", "clock", "tenant", "contract", "statement", "subject", "body", "written_at")


async def letters(
    connection: asyncpg.Connection, *, breach: UUID | None = None, tenant: UUID | None = None
) -> list[BreachLetter]:
    """Of one breach, or those to one organisation; oldest first."""
    return [await _letter(connection, row) for row in await connection.fetch(_LETTERS, breach, tenant, None)]


async def one(connection: asyncpg.Connection, letter: UUID) -> BreachLetter:
    return await _letter(connection, await connection.fetchrow(_LETTERS, None, None, letter))


async def _letter(connection: asyncpg.Connection, row: asyncpg.Record) -> BreachLetter:
    return BreachLetter(letter=row["id"], sent=await sent(connection, row), **{name: row[name] for name in _SAID})
