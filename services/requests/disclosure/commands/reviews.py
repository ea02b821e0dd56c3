"""Approval: each reviewer signs the hash of what was read, and the last one needed sets the order in motion."""

from uuid import UUID

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from services.requests.disclosure.commands import duties, holds
from services.requests.disclosure.commands.orders import move
from services.requests.disclosure.contract import (
    FourEyes,
    Order,
    OrderStatus,
    ReviewOrder,
    StaleGeneration,
    StateForbidden,
    TaskKind,
    TaskStatus,
)
from services.requests.disclosure.custody import note
from services.requests.disclosure.desk import Desk
from services.requests.disclosure.queries import approvals, content_of, order_state, reviews_of, tasks_of, visible_order
from services.requests.disclosure.rules import states, targets, times
from services.requests.disclosure.tables import DisclosureOrder

_RECORD = """
INSERT INTO review (tenant, order_id, order_hash, actor, verdict, reason_code, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant, order_id, order_hash, actor) DO NOTHING RETURNING true"""


async def review_order(tx: Transaction, desk: Desk, caller: Caller, order: UUID, wish: ReviewOrder) -> Order:
    """Reviewers of one order queue at its row, so of any number at once exactly one is the last one needed."""
    row = await visible_order(tx, caller, order, lock=True)
    if not _awaits_review(row):
        raise StateForbidden("It does not await a review.")
    if wish.order_hash != row.order_hash:
        raise StaleGeneration
    await duties.take(tx, caller, row.id, "approver")
    said = (row.order_hash, caller.subject, wish.verdict, wish.reason_code, clock.now())
    if not await tx.connection.fetchval(_RECORD, tx.tenant, row.id, *said):
        raise FourEyes("The same person's word counts once; somebody else must review it.")
    told = {"order": row.id, "order_hash": row.order_hash, "verdict": wish.verdict, "reason_code": wish.reason_code}
    await note(tx, "order.reviewed", caller, **told)
    if wish.verdict == "reject":
        await _reject(tx, row)
    elif row.status == OrderStatus.AwaitingApproval and await _approved_by_all(tx, row):
        await _approve(tx, desk, row)
    return await order_state(tx, row)


def _awaits_review(row: DisclosureOrder) -> bool:
    """An emergency order went ahead on one person's word; the second reviews it afterwards."""
    return row.status == OrderStatus.AwaitingApproval or (row.emergency and row.status == OrderStatus.Approved)


async def _approved_by_all(tx: Transaction, row: DisclosureOrder) -> bool:
    return approvals(await reviews_of(tx, row.id), row.order_hash) >= row.approvals_needed


async def _reject(tx: Transaction, row: DisclosureOrder) -> None:
    row.status, row.stage = OrderStatus.Rejected, None
    for task in await tasks_of(tx, row.id):
        if not states.ends(TaskKind(task.kind), TaskStatus(task.status)):
            # Only a second review of an emergency finds something preserved already.
            await move(tx, task, "cancel" if task.status == TaskStatus.Preserved else "reject")
    await holds.end_those_of(tx, row.id, "rejected")
    await note(tx, "order.rejected", None, order=row.id)


async def _approve(tx: Transaction, desk: Desk, row: DisclosureOrder) -> None:
    row.status = OrderStatus.Approved
    content = await content_of(tx, desk, row)
    book = desk.policy.at(row.received_at)
    instrument = book.instrument(row.instrument)
    for task in await tasks_of(tx, row.id):
        known = targets.known_as(content.identifiers[task.target])
        if task.kind == TaskKind.LD:
            await move(tx, task, "approve")
            row.stage = "approved"
        elif known is None:
            await move(tx, task, "find_nothing", "NO_DATA")
        else:
            until = times.held_until(instrument, clock.now(), book)
            await holds.place(tx, desk, task, known, "active", until)
            await move(tx, task, "approve")
    await note(tx, "order.approved", None, order=row.id, order_hash=row.order_hash)
