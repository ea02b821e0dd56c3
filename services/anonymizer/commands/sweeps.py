"""A sweep: everything whose time is over goes, store by store, piece by piece, as durable work.

It decides by the book and the moment at which it was asked, however often it is interrupted. Each piece is done once by the store's
own journal, then noted here; a killed sweep begins again and passes over what is done. While the holds can't be read it is `paused`,
and the job comes back by itself.
"""

from datetime import datetime
from uuid import UUID

import orjson

from chassis import clock
from chassis.db import Database, Transaction
from chassis.durable import Job
from chassis.ids import new_id
from services.anonymizer.commands import backups
from services.anonymizer.connectors.outcomes import Piece
from services.anonymizer.contract import HoldsUnreadable, Sweep, SweepDone, SweepRequest, SweepUnknown, Swept
from services.anonymizer.holds import Holds
from services.anonymizer.house import House
from services.registry.client import PolicyShelf

_ASK = "INSERT INTO sweep (tenant, id, stores, state, asked_at) VALUES ($1, $2, $3, 'running', $4)"
_READ = "SELECT state, stores, asked_at FROM sweep WHERE id = $1"
_PIECES = "SELECT swept FROM sweep_piece WHERE sweep = $1 ORDER BY number"
_NOTE = """
INSERT INTO sweep_piece (tenant, sweep, step, swept) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"""
_STATE = "UPDATE sweep SET state = $2 WHERE id = $1 AND state <> 'done'"
_DONE = "UPDATE sweep SET state = 'done', done_at = $2 WHERE id = $1 AND state <> 'done' RETURNING true"
_IN_BACKUPS = "SELECT max(until) FROM in_backups WHERE id = $1"

JOB = "sweep"


async def ask_sweep(tx: Transaction, house: House, wish: SweepRequest) -> Sweep:
    """Raises StoreUnknown."""
    stores = list(house.connectors) if wish.stores is None else wish.stores
    for store in stores:
        house.connector(store)
    sweep = new_id()
    await tx.connection.execute(_ASK, tx.tenant, sweep, stores, clock.now())
    await tx.enqueue(JOB, sweep)
    return Sweep(sweep=sweep, state="running", items=[])


async def read_sweep(tx: Transaction, sweep: UUID) -> Sweep:
    row = await tx.connection.fetchrow(_READ, sweep)
    if row is None:
        raise SweepUnknown
    pieces = await tx.connection.fetch(_PIECES, sweep)
    items = [Swept.model_validate(one, strict=False) for piece in pieces for one in piece["swept"]]
    until = await tx.connection.fetchval(_IN_BACKUPS, sweep)
    return Sweep(sweep=sweep, state=row["state"], items=items, backups_until=until)


class Sweeper:
    def __init__(self, database: Database, house: House, holds: Holds, policy: PolicyShelf) -> None:
        self.database, self.house, self.holds, self.policy = database, house, holds, policy

    async def __call__(self, job: Job) -> None:
        async with self.database.transaction(job.tenant) as tx:
            row = await tx.connection.fetchrow(_READ, job.id)
        if row is None or row["state"] == "done":
            return
        try:
            for store in row["stores"]:
                await self._store(job, store, row["asked_at"])
        except HoldsUnreadable:
            await self._set(job, "paused")
            raise
        await self._conclude(job)

    async def _store(self, job: Job, store: str, as_of: datetime) -> None:
        terms = await self.house.terms(self.policy.at(as_of), as_of)
        # Unreadable holds pause a sweep before it touches anything.
        await self.holds.held()
        await self._set(job, "running")
        async for piece in self.house.connector(store).sweep(job.id, terms, self.holds, self.house.known):
            await self.holds.settle(piece.step, store, piece.preserved)
            await self._note(job, piece)

    async def _note(self, job: Job, piece: Piece) -> None:
        swept = orjson.dumps([one.model_dump(mode="json") for one in piece.swept]).decode()
        async with self.database.transaction(job.tenant) as tx:
            await tx.connection.execute(_NOTE, job.tenant, job.id, piece.step, swept)

    async def _set(self, job: Job, state: str) -> None:
        async with self.database.transaction(job.tenant) as tx:
            await tx.connection.execute(_STATE, job.id, state)

    async def _conclude(self, job: Job) -> None:
        now = clock.now()
        async with self.database.transaction(job.tenant) as tx:
            if await tx.connection.fetchval(_DONE, job.id, now):
                for store in sorted({one.store for one in (await read_sweep(tx, job.id)).items}):
                    await backups.note(tx, job.id, store, "sweep", now, backups.until(self.policy.current(), now))
                done = await read_sweep(tx, job.id)
                told = SweepDone(sweep=job.id, items=done.items, backups_until=done.backups_until)
                await tx.emit("sweep.done", told.model_dump(mode="json"))
