"""Holds: what an order names is kept beside the ordinary tables until the hold ends, and then it goes.

provisional (kept from the order's arrival) → active (approved) → ending (the anonymizer is being told) → ended.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson
from sqlmodel import select

from chassis import clock, durable
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.ids import new_id
from services.requests.disclosure.contract import (
    AskHolds,
    Held,
    Holds,
    Named,
    Period,
    Settled,
    SettleHolds,
    TaskKind,
    TaskStatus,
)
from services.requests.disclosure.custody import note
from services.requests.disclosure.desk import Desk
from services.requests.disclosure.rules import states
from services.requests.disclosure.tables import DisclosureOrder, Hold, Task

LIVING = ("provisional", "active")
_HELD = """
SELECT id, tenant, order_id, sealed, categories, period_from, period_to FROM hold
WHERE state IN ('provisional', 'active') AND ($1::bytea[] IS NULL OR index = ANY($1)) ORDER BY id"""
_OVER = "SELECT id, tenant FROM hold WHERE state IN ('provisional', 'active') AND expires_at <= $1"
_WHOSE = "SELECT tenant, state FROM hold WHERE id = $1"
_SETTLE = """
INSERT INTO settlement (tenant, step, store, preserved, at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, step, store) DO NOTHING RETURNING true"""


async def place(
    tx: Transaction, desk: Desk, task: Task, known: tuple[str, str], state: str, expires_at: datetime
) -> Hold:
    """Keeps what the task names, `known` to the anonymizer as (type, value); or takes over a hold on the same of the
    same order: what it kept must not go in between.
    """
    index = desk.index(known)
    found = select(Hold).where(Hold.order_id == task.order_id, Hold.index == index, Hold.state.in_(LIVING))
    for same in (await tx.session.execute(found.with_for_update())).scalars():
        if same.categories == [task.category]:
            same.period_from, same.period_to, same.state = task.period_from, task.period_to, state
            task.hold = same.id
            return same
    said = orjson.dumps({"type": known[0], "value": known[1]})
    hold = Hold(
        tenant=tx.tenant,
        id=new_id(),
        order_id=task.order_id,
        index=index,
        sealed=await desk.sealer.seal(tx.connection, tx.tenant, task.order_id, "hold", "sealed", said),
        categories=[task.category],
        period_from=task.period_from,
        period_to=task.period_to,
        state=state,
        placed_at=clock.now(),
        expires_at=expires_at,
    )
    tx.session.add(hold)
    task.hold = hold.id
    await note(tx, "hold.placed", None, order=task.order_id, hold=hold.id, state=state)
    return hold


async def end(tx: Transaction, hold: Hold, reason: str) -> None:
    """Nothing new is kept from here on; the job lets go of what was. Ending twice is ending once."""
    if hold.state not in LIVING:
        return
    hold.state, hold.ended_at = "ending", clock.now()
    await note(tx, "hold.ended", None, order=hold.order_id, hold=hold.id, reason=reason)
    await tx.enqueue("disclosure.release_hold", hold.id)


async def living_of(tx: Transaction, authority: str) -> tuple[UUID, ...]:
    """The living holds of every order of one authority."""
    orders = select(DisclosureOrder.id).where(DisclosureOrder.authority == authority)
    found = select(Hold.id).where(Hold.order_id.in_(orders), Hold.state.in_(LIVING)).order_by(Hold.id)
    return tuple((await tx.session.execute(found)).scalars())


async def end_those_of(tx: Transaction, order: UUID, reason: str, keep: Iterable[UUID] = ()) -> None:
    found = select(Hold).where(Hold.order_id == order, Hold.state.in_(LIVING)).with_for_update()
    for hold in (await tx.session.execute(found)).scalars():
        if hold.id not in keep:
            await end(tx, hold, reason)


# --- the clock and the job --------------------------------------------------------------------------------------------


async def over(connection: asyncpg.Connection, now: datetime) -> list[asyncpg.Record]:
    """(id, tenant) of the holds whose time is over, whosever they are; a connection of the system role."""
    return await connection.fetch(_OVER, now)


async def expire(tx: Transaction, hold: UUID) -> None:
    row = await _locked(tx, hold)
    if row.state not in LIVING or row.expires_at > clock.now():
        return
    for task in (await tx.session.execute(select(Task).where(Task.hold == hold))).scalars():
        task.status = states.moved(TaskKind(task.kind), TaskStatus(task.status), "expire")
        await note(tx, "task.moved", None, order=task.order_id, task=task.id, status=task.status)
    await end(tx, row, "expired")


async def to_release(tx: Transaction, hold: UUID) -> bool:
    row = await tx.session.get(Hold, (tx.tenant, hold))
    return row is not None and row.state not in LIVING


async def released(tx: Transaction, hold: UUID, erased: dict[str, int]) -> None:
    """What the anonymizer let go of, certified here and nowhere else."""
    row = await _locked(tx, hold)
    row.state = "ended"
    await note(tx, "hold.released", None, order=row.order_id, hold=hold, erased=erased)


async def _locked(tx: Transaction, hold: UUID) -> Hold:
    return (await tx.session.execute(select(Hold).where(Hold.id == hold).with_for_update())).scalar_one()


# --- what the anonymizer asks and says --------------------------------------------------------------------------------


async def held(tx: Transaction, system: asyncpg.Connection, desk: Desk, caller: Caller, question: AskHolds) -> Holds:
    """Across tenants, on the system role's connection; the question itself is noted in the asker's transaction."""
    named = question.identifiers
    indexes = None if named is None else [desk.index((one.type, one.value)) for one in named]
    rows = await system.fetch(_HELD, indexes)
    found = [await _told(system, desk, row) for row in rows]
    await note(tx, "holds.asked", caller, identifiers=None if named is None else len(named), held=len(found))
    return Holds(holds=found)


async def _told(system: asyncpg.Connection, desk: Desk, row: asyncpg.Record) -> Held:
    said = await desk.sealer.open(system, row["tenant"], row["order_id"], "hold", "sealed", row["sealed"])
    return Held(
        hold=row["id"],
        identifiers=[Named.model_validate_json(said)],
        categories=row["categories"],
        period=Period(from_=row["period_from"], to=row["period_to"]),
    )


async def settle(tx: Transaction, system: asyncpg.Connection, caller: Caller, wish: SettleHolds) -> Settled:
    """Recorded once per step and store. What was kept for a hold that ended meanwhile is let go of again."""
    preserved = [one.model_dump(mode="json") for one in wish.preserved]
    once = (tx.tenant, wish.step, wish.store, orjson.dumps(preserved).decode(), clock.now())
    if await tx.connection.fetchval(_SETTLE, *once):
        await note(tx, "holds.settled", caller, step=wish.step, store=wish.store, preserved=preserved)
        for one in wish.preserved:
            await _let_go_if_ended(tx, system, one.hold)
    return Settled(step=wish.step)


async def _let_go_if_ended(tx: Transaction, system: asyncpg.Connection, hold: UUID) -> None:
    found = await system.fetchrow(_WHOSE, hold)
    if found is not None and found["state"] not in LIVING:
        await durable.enqueue(
            tx.connection, tx.service, found["tenant"], [durable.Wanted("disclosure.release_hold", hold)]
        )
