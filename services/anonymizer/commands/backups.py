"""What is gone from a store is in its backups until the last of those is dropped: each is noted with that day, and told when it is over.

Nothing can be taken out of a backup. What can be promised is the day, and that whoever is brought back until then is erased again
(`replays`); afterwards the marks that it took are gone too.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis import clock
from chassis.db import Database, Transaction
from services.anonymizer.contract import BackupsOver, GoneFrom, InBackups
from services.registry.contract import PolicyBook

EVERY = 600.0

_NOTE = """
INSERT INTO in_backups (tenant, id, store, what, gone_at, until) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"""
_TENANTS = "SELECT DISTINCT tenant FROM in_backups WHERE until <= $1 AND over_at IS NULL"
_OVER = """
UPDATE in_backups SET over_at = $1 WHERE until <= $1 AND over_at IS NULL RETURNING id, store, what, gone_at, until"""
_MARKS = "DELETE FROM replay WHERE until <= $1"
_LEFT = """
SELECT store, what, until, count(*) AS count, min(gone_at) AS since FROM in_backups WHERE over_at IS NULL
GROUP BY store, what, until ORDER BY until, store, what"""


def until(book: PolicyBook, gone_at: datetime) -> datetime:
    """When the last backup is dropped that can have what went then."""
    return book.retention_rule("backups").keep.after(gone_at, book.tz)


async def note(tx: Transaction, id: UUID, store: str, what: str, gone_at: datetime, until: datetime) -> None:
    """In the transaction that notes an erasure or a sweep as done."""
    await tx.connection.execute(_NOTE, tx.tenant, id, store, what, gone_at, until)


async def left(tx: Transaction) -> InBackups:
    """By store and day, the next to be over first."""
    return InBackups(items=[GoneFrom(**dict(row)) for row in await tx.connection.fetch(_LEFT)])


@dataclass
class Backups:
    database: Database

    async def tick(self) -> None:
        now = clock.now()
        async with self.database.system() as connection:
            await connection.execute(_MARKS, now)
            tenants = [row["tenant"] for row in await connection.fetch(_TENANTS, now)]
        for tenant in tenants:
            async with self.database.transaction(tenant) as tx:
                for row in await tx.connection.fetch(_OVER, now):
                    await tx.emit("backups.over", BackupsOver(**dict(row)).model_dump(mode="json"))
