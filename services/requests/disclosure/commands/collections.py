"""Collecting: a person sets it going, a job counts first and then collects, and the result is sealed in one commit.

Only an approved task makes a query, and only its own identifier, category and period are in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from services.requests.disclosure.commands import duties
from services.requests.disclosure.commands.holds import living_of
from services.requests.disclosure.commands.orders import move
from services.requests.disclosure.contract import (
    CollectOrder,
    Order,
    OrderStatus,
    StateForbidden,
    TaskKind,
    TaskStatus,
)
from services.requests.disclosure.custody import note
from services.requests.disclosure.desk import Desk
from services.requests.disclosure.package import Sealed
from services.requests.disclosure.queries import content_of, order_state, tasks_of, visible_order
from services.requests.disclosure.rules import states, targets
from services.requests.disclosure.tables import Authority, DisclosureOrder, Task

_KEEP = """
INSERT INTO sealed_package
    (tenant, id, order_id, order_hash, root, sha256, length, recipient_kid, collected_by, sealed_at, content)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""


@dataclass(frozen=True)
class Wanted:
    """One approved task as a question; `known` is None where no store is kept by such an identifier."""

    task: UUID
    category: str
    subtype: str | None
    known: tuple[str, str] | None
    query: Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """What the job works on: one version of one order, in one stage. It writes only while both are still the same. `holds`: what
    was preserved for this authority; what was preserved for another is not there for it."""

    order: UUID
    order_hash: str
    stage: str
    instrument: str
    reference: str
    authority: str
    encryption_key: Mapping[str, Any]
    copies: tuple[str, ...]
    holds: tuple[UUID, ...]
    cap: int | None
    wanted: tuple[Wanted, ...]


async def collect_order(tx: Transaction, caller: Caller, order: UUID, wish: CollectOrder) -> Order:
    """From approved: count, then collect. From stopped: collect all the same, for the reason that this person gives."""
    row = await visible_order(tx, caller, order, lock=True)
    if row.status != OrderStatus.Approved or (row.stage == "stopped" and wish.beyond_cap is None):
        raise StateForbidden("Nothing to collect, or more than the book allows without a reason.")
    row.stage = states.stage_after(row.stage, "collect" if row.stage == "stopped" else "count")
    row.beyond_cap = wish.beyond_cap is not None
    await duties.take(tx, caller, row.id, "collector")
    told = {"order": row.id, "stage": row.stage, "beyond_cap": row.beyond_cap}
    await note(tx, "collection.started", caller, **told)
    await tx.enqueue("disclosure.collect", row.id)
    return await order_state(tx, row)


async def claim(tx: Transaction, desk: Desk, order: UUID) -> Claim | None:
    """What the job has to do; None when the order moved on."""
    row = await _row(tx, order)
    if row.status != OrderStatus.Approved or row.stage not in ("counting", "collecting"):
        return None
    content, book = await content_of(tx, desk, row), desk.policy.at(row.received_at)
    authority = await tx.session.get(Authority, (tx.tenant, row.authority))
    instrument = book.instrument(row.instrument)
    return Claim(
        order=row.id,
        order_hash=row.order_hash,
        stage=row.stage,
        instrument=row.instrument,
        reference=row.reference,
        authority=row.authority,
        encryption_key=authority.encryption_key,
        copies=instrument.copies,
        holds=await living_of(tx, row.authority),
        cap=None if row.beyond_cap else book.number("order_rows"),
        wanted=tuple(
            _wanted(task, content.identifiers[task.target], instrument.copies) for task in await _awaited(tx, row)
        ),
    )


async def counted(tx: Transaction, claimed: Claim, rows: Mapping[UUID, int]) -> bool:
    """Whether to go on and collect: not with nothing, nor with more than the book allows without a person's word."""
    row = await _still(tx, claimed)
    if row is None:
        return False
    for task in await _awaited(tx, row):
        task.rows = rows[task.id]
    total = sum(rows.values())
    await note(tx, "order.counted", None, order=row.id, rows=total, cap=claimed.cap)
    if total == 0:
        await _find_nothing(tx, row, set())
        return False
    over = claimed.cap is not None and total > claimed.cap
    row.stage = states.stage_after(row.stage, "stop" if over else "collect")
    return not over


async def sealed(
    tx: Transaction, claimed: Claim, package: UUID, result: Sealed, recipient_kid: str, rows: Mapping[UUID, int]
) -> None:
    """The package, its record and the order's stage: one commit, and no second package of the same version."""
    row = await _still(tx, claimed)
    if row is None:
        return
    for task in await _awaited(tx, row):
        task.rows = rows[task.id]
    if not any(rows.values()):
        await _find_nothing(tx, row, set())
        return
    if claimed.cap is not None and sum(rows.values()) > claimed.cap:
        row.stage = states.stage_after(row.stage, "stop")
        return
    await _find_nothing(tx, row, {task for task, found in rows.items() if found})
    row.stage = states.stage_after(row.stage, "seal")
    collector = await duties.holder(tx, row.id, "collector")
    kept = (result.root, result.sha256, len(result.content), recipient_kid, collector, clock.now(), result.content)
    await tx.connection.execute(_KEEP, tx.tenant, package, row.id, row.order_hash, *kept)
    told = {"order": row.id, "package": package, "root": result.root, "sha256": result.sha256}
    await note(tx, "package.sealed", None, **told, order_hash=row.order_hash)


async def _still(tx: Transaction, claimed: Claim) -> DisclosureOrder | None:
    """The order, locked, unless somebody (or another worker) moved it on since."""
    row = await _row(tx, claimed.order)
    same = row.status == OrderStatus.Approved and row.stage == claimed.stage and row.order_hash == claimed.order_hash
    return row if same else None


async def _row(tx: Transaction, order: UUID) -> DisclosureOrder:
    return await tx.session.get_one(DisclosureOrder, (tx.tenant, order), with_for_update=True)


async def _awaited(tx: Transaction, row: DisclosureOrder) -> list[Task]:
    return [task for task in await tasks_of(tx, row.id) if task.status == TaskStatus.AwaitingDisclosure]


async def _find_nothing(tx: Transaction, row: DisclosureOrder, found: set[UUID]) -> None:
    """An honest end for tasks about which no store holds anything; without any other the order is at its end, too."""
    for task in await _awaited(tx, row):
        if task.id not in found:
            await move(tx, task, "find_nothing", "NO_DATA")
    if not found:
        row.stage = None


def _wanted(task: Task, target, copies: tuple[str, ...]) -> Wanted:
    known = targets.known_as(target)
    query = {
        "task": str(task.id),
        "kind": TaskKind(task.kind).value,
        "category": task.category,
        "subtype": task.subtype,
        "identifier": {"type": target.type, "value": target.value},
        "period": {"from": task.period_from.isoformat(), "to": task.period_to.isoformat()},
        "copies": list(copies),
    }
    return Wanted(task.id, task.category, task.subtype, known, query)
