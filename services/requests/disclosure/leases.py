"""An order is acknowledged only when nothing that it holds can still be erased by an older answer.

An erasure asks twice what is held: before its effect, and under a lease just before it commits. The lease is written and committed
**before** the holds are read. So an erasure that did not see a new hold has a lease that whoever placed the hold sees after its
commit; the order's answer then waits until that erasure is settled, or its lease is over. An erasure that froze in between commits
no more: its store ends an idle transaction in half the time of a lease.
"""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import Depends

from chassis.db import Database, Transaction, Tx
from services.requests.disclosure.desk import EVERYBODY, TheDesk

SECONDS = 10.0
_LOOK_AGAIN = 0.02

_LEND = """
INSERT INTO hold_lease (tenant, step, until) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (tenant, step) DO UPDATE SET until = excluded.until"""
_END = "DELETE FROM hold_lease WHERE step = $1"
_OLDER = "SELECT step, until FROM hold_lease WHERE until > clock_timestamp()"
_STILL = """
SELECT EXISTS (SELECT FROM hold_lease l JOIN unnest($1::uuid[], $2::timestamptz[]) o(step, until) USING (step, until)
WHERE l.until > clock_timestamp())"""
_OVER = "DELETE FROM hold_lease WHERE until < clock_timestamp() - interval '1 minute'"


async def lend(database: Database, tenant: UUID | None, step: UUID) -> float:
    """A transaction of its own: it must be seen before the holds are read. Asked again, the step's lease begins anew."""
    whose = tenant or EVERYBODY
    async with database.transaction(whose) as tx:
        await tx.connection.execute(_LEND, whose, step, SECONDS)
    return SECONDS


async def end(tx: Transaction, step: UUID) -> None:
    await tx.connection.execute(_END, step)


async def barrier(database: Database) -> None:
    """Until no erasure can commit any more by an answer that is older than this moment."""
    async with database.system() as connection:
        await connection.execute(_OVER)
        older = await connection.fetch(_OLDER)
    steps, untils = [row["step"] for row in older], [row["until"] for row in older]
    while steps:
        await asyncio.sleep(_LOOK_AGAIN)
        async with database.system() as connection:
            if not await connection.fetchval(_STILL, steps, untils):
                return


async def _acknowledged_after(tx: Tx, desk: TheDesk) -> None:
    """Also before a repeated answer: the first one may have been lost while it waited."""
    tx.after_commit(lambda: barrier(desk.database))


AfterBarrier = Annotated[None, Depends(_acknowledged_after, scope="function")]
