"""Sweeps that nobody has to ask for: a schedule names stores, days and an hour, and each time that comes a sweep is asked as a person
would ask it.

The time is moved on in the transaction that asks, under the row's lock: however many replicas look, one sweep begins. While the last
one of a schedule still runs or is paused, the next waits for it.
"""

from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from chassis import clock, telemetry
from chassis.db import Database, Transaction
from chassis.errors import Problem
from services.anonymizer.commands.sweeps import ask_sweep
from services.anonymizer.contract import ScheduledSweep, SetSchedules, SweepRequest, SweepSchedules
from services.anonymizer.house import House
from services.anonymizer.rules.schedules import next_time
from services.registry.client import PolicyShelf

EVERY = 20.0

_FORGET = "DELETE FROM sweep_schedule"
_KEEP = """
INSERT INTO sweep_schedule (tenant, number, stores, every_days, at, next_at) VALUES ($1, $2, $3, $4, $5, $6)"""
_READ = "SELECT * FROM sweep_schedule ORDER BY number"
_TENANTS = "SELECT DISTINCT tenant FROM sweep_schedule WHERE next_at <= $1"
_DUE = "SELECT * FROM sweep_schedule WHERE next_at <= $1 ORDER BY number FOR UPDATE SKIP LOCKED"
_UNFINISHED = "SELECT true FROM sweep WHERE id = $1 AND state <> 'done'"
_NEXT = "UPDATE sweep_schedule SET next_at = $2, last_sweep = $3 WHERE number = $1"


async def set_schedules(tx: Transaction, house: House, zone: ZoneInfo, wish: SetSchedules) -> SweepSchedules:
    """In place of all that were set before. Raises StoreUnknown and VerbUnsupported."""
    for store in {store for each in wish.items for store in each.stores or ()}:
        house.connector(store)
    now = clock.now()
    await tx.lock("sweep schedules")
    await tx.connection.execute(_FORGET)
    for number, each in enumerate(wish.items):
        first = next_time(_hour(each.at), each.every_days, None, now, zone)
        await tx.connection.execute(_KEEP, tx.tenant, number, each.stores, each.every_days, each.at, first)
    return await read_schedules(tx)


async def read_schedules(tx: Transaction) -> SweepSchedules:
    rows = await tx.connection.fetch(_READ)
    told = ("stores", "every_days", "at", "next_at", "last_sweep")
    return SweepSchedules(items=[ScheduledSweep(**{name: row[name] for name in told}) for row in rows])


@dataclass
class Schedules:
    database: Database
    house: House
    policy: PolicyShelf

    async def tick(self) -> None:
        if not self.policy.ready:
            return
        now = clock.now()
        async with self.database.system() as connection:
            tenants = [row["tenant"] for row in await connection.fetch(_TENANTS, now)]
        for tenant in tenants:
            async with self.database.transaction(tenant) as tx:
                await self._ask(tx, now)

    async def _ask(self, tx: Transaction, now: datetime) -> None:
        zone = self.policy.current().tz
        for row in await tx.connection.fetch(_DUE, now):
            if await tx.connection.fetchval(_UNFINISHED, row["last_sweep"]):
                continue
            try:
                asked = await ask_sweep(tx, self.house, SweepRequest(stores=row["stores"]))
            except Problem as refused:
                # A store that is not open yet, or is no longer in the map: the others' schedules go on.
                telemetry.log().warning("a scheduled sweep could not begin", problem=refused.code)
                continue
            then = next_time(_hour(row["at"]), row["every_days"], row["next_at"], now, zone)
            await tx.connection.execute(_NEXT, row["number"], then, asked.sweep)


def _hour(at: str) -> time:
    return time.fromisoformat(at)
