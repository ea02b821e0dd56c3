"""An order arrives, is changed, is withdrawn. A refused order is an outcome, not an error: it leaves a trace."""

from datetime import datetime
from hashlib import sha256
from uuid import UUID

from sqlmodel import delete, select

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.errors import Forbidden, Invalid
from chassis.ids import new_id
from chassis.ledger.canonical import canonical
from services.registry.contract import PolicyBook
from services.requests.disclosure.commands import duties, holds
from services.requests.disclosure.contract import (
    AuthMismatch,
    AuthorityUnknown,
    CancelOrder,
    ChangeOrder,
    Fault,
    Order,
    OrderStatus,
    PlaceOrder,
    StaleGeneration,
    StateForbidden,
    TaskKind,
    TaskStatus,
)
from services.requests.disclosure.custody import note
from services.requests.disclosure.desk import Desk
from services.requests.disclosure.queries import authority_of, order_state, tasks_of, usable, visible_order
from services.requests.disclosure.rules import states, targets, times
from services.requests.disclosure.rules.validation import Case, Competence, faults
from services.requests.disclosure.tables import Authority, DisclosureOrder, OrderVersion, Task

RUNNING = (OrderStatus.AwaitingApproval, OrderStatus.Approved)


async def place_order(tx: Transaction, desk: Desk, caller: Caller, wish: PlaceOrder) -> Order:
    authority = await _spoken_for(tx, caller, wish)
    await _one_at_a_time(tx, authority.id, wish)
    now, book = clock.now(), desk.book
    wrong = faults(_case(wish, authority, book, now, duplicate=await _is_here(tx, authority.id, wish)))
    row = _row(tx, authority.id, wish, book, now, wrong)
    tx.session.add(row)
    await tx.session.flush()
    await _write_version(tx, desk, caller, row, wish)
    if caller.kind == "staff":
        await duties.take(tx, caller, row.id, "intake")
    told = {"order": row.id, "authority": authority.id, "instrument": wish.instrument, "order_hash": row.order_hash}
    if wrong:
        await note(tx, "order.refused", caller, **told, codes=[fault.code for fault in wrong])
    else:
        await note(tx, "order.received", caller, **told, due_at=row.due_at.isoformat() if row.due_at else None)
        await _make_tasks(tx, desk, row, wish)
    return await order_state(tx, row)


async def change_order(tx: Transaction, desk: Desk, caller: Caller, order: UUID, wish: ChangeOrder) -> Order:
    """A new version with a hash of its own, so that no approval is left. One with faults changes nothing."""
    row = await visible_order(tx, caller, order, lock=True)
    authority = await _spoken_for(tx, caller, wish.order)
    if row.status != OrderStatus.AwaitingApproval:
        raise StateForbidden("Only an order that awaits approval can be changed.")
    if row.generation != wish.generation:
        raise StaleGeneration
    if authority.id != row.authority:
        raise AuthMismatch
    if caller.kind == "staff":
        await duties.take(tx, caller, row.id, "intake")
    await _one_at_a_time(tx, authority.id, wish.order)
    now, book = clock.now(), desk.book
    twice = await _is_here(tx, authority.id, wish.order, beside=row.id)
    wrong = faults(_case(wish.order, authority, book, now, duplicate=twice))
    if wrong:
        await note(tx, "order.change_refused", caller, order=row.id, codes=[fault.code for fault in wrong])
        return (await order_state(tx, row)).model_copy(update={"errors": wrong})
    _fill(row, wish.order, book)
    row.generation += 1
    row.order_hash = _hash(row, wish.order)
    await _write_version(tx, desk, caller, row, wish.order)
    await tx.session.execute(delete(Task).where(Task.order_id == row.id))
    kept = await _make_tasks(tx, desk, row, wish.order)
    await holds.end_those_of(tx, row.id, "changed", keep=kept)
    await note(tx, "order.changed", caller, order=row.id, generation=row.generation, order_hash=row.order_hash)
    return await order_state(tx, row)


async def cancel_order(tx: Transaction, caller: Caller, order: UUID, wish: CancelOrder) -> Order:
    """The authority lifts it, itself or by a message that intake recorded: what is not done stays undone, holds end."""
    row = await visible_order(tx, caller, order, lock=True)
    if row.status not in RUNNING:
        raise StateForbidden("It has ended already.")
    for task in await tasks_of(tx, row.id):
        if not states.ends(TaskKind(task.kind), TaskStatus(task.status)):
            await move(tx, task, "cancel")
    row.status, row.stage = OrderStatus.Cancelled, None
    await holds.end_those_of(tx, row.id, "cancelled")
    await note(tx, "order.cancelled", caller, order=row.id, reason_code=wish.reason_code)
    return await order_state(tx, row)


async def move(tx: Transaction, task: Task, event: str, reason: str | None = None) -> None:
    """One task's next status, and its event."""
    task.status = states.moved(TaskKind(task.kind), TaskStatus(task.status), event)
    task.reason = reason or task.reason
    await note(tx, "task.moved", None, order=task.order_id, task=task.id, status=task.status, reason=reason)


# --- whose order ------------------------------------------------------------------------------------------------------


async def _spoken_for(tx: Transaction, caller: Caller, wish: PlaceOrder) -> Authority:
    """The authority whose order it is: its own client's, or the one that intake names, with where its letter lies."""
    if caller.kind == "client":
        own = await authority_of(tx, caller)
        if wish.authority not in (None, own.id):
            raise AuthMismatch
        return own
    if caller.kind != "staff":
        raise Forbidden
    if wish.authority is None or wish.intake_reference is None:
        raise Invalid("Intake names the authority, and in intake_reference where its letter is.")
    named = await tx.session.get(Authority, (tx.tenant, wish.authority))
    if named is None or not usable(named):
        raise AuthorityUnknown
    return named


async def _one_at_a_time(tx: Transaction, authority: str, wish: PlaceOrder) -> None:
    """The same reference twice at the same moment: the second waits, and is then refused as a duplicate."""
    key = f"{tx.tenant} {authority} {wish.instrument} {wish.reference}"
    await tx.lock(key)


async def _is_here(tx: Transaction, authority: str, wish: PlaceOrder, beside: UUID | None = None) -> bool:
    same = select(DisclosureOrder.id).where(
        DisclosureOrder.authority == authority,
        DisclosureOrder.instrument == wish.instrument,
        DisclosureOrder.reference == wish.reference,
        DisclosureOrder.status.in_(RUNNING),
    )
    return any(found != beside for found in (await tx.session.execute(same)).scalars())


def _case(wish: PlaceOrder, authority: Authority, book: PolicyBook, now: datetime, *, duplicate: bool) -> Case:
    return Case(wish, Competence(authority.country, tuple(authority.instruments)), book, now, duplicate)


# --- rows -------------------------------------------------------------------------------------------------------------


def _row(
    tx: Transaction, authority: str, wish: PlaceOrder, book: PolicyBook, now: datetime, wrong: list[Fault]
) -> DisclosureOrder:
    row = DisclosureOrder(
        tenant=tx.tenant,
        id=new_id(),
        authority=authority,
        status=OrderStatus.Rejected if wrong else OrderStatus.AwaitingApproval,
        generation=1,
        approvals_needed=1,
        received_at=now,
        errors=[fault.model_dump(mode="json") for fault in wrong],
        policy_version=book.version,
        beyond_cap=False,
    )
    if wrong:
        _name(row, wish)
    else:
        _fill(row, wish, book)
    row.order_hash = _hash(row, wish)
    return row


def _name(row: DisclosureOrder, wish: PlaceOrder) -> None:
    row.instrument, row.reference = wish.instrument, wish.reference
    row.served_at, row.emergency = wish.served_at, wish.emergency


def _fill(row: DisclosureOrder, wish: PlaceOrder, book: PolicyBook) -> None:
    """What follows from a valid wording."""
    instrument = book.instrument(wish.instrument)
    _name(row, wish)
    row.due_at = times.due_at(instrument, wish.served_at, wish.emergency, book)
    row.approvals_needed = times.approvals_needed(instrument, wish.emergency)
    row.policy_version = book.version


def _hash(row: DisclosureOrder, wish: PlaceOrder) -> str:
    """What an approval signs: exactly these words, of this order, in this version."""
    said = {"order": str(row.id), "generation": row.generation, "authority": row.authority}
    return sha256(canonical(said | {"content": wish.model_dump(mode="json")})).hexdigest()


async def _write_version(tx: Transaction, desk: Desk, caller: Caller, row: DisclosureOrder, wish: PlaceOrder) -> None:
    said = wish.model_dump_json().encode()
    sealed = await desk.sealer.seal(tx.connection, tx.tenant, row.id, "order_version", "sealed", said)
    version = OrderVersion(
        tenant=tx.tenant,
        order_id=row.id,
        generation=row.generation,
        order_hash=row.order_hash,
        sealed=sealed,
        entered_by=caller.subject,
        client=caller.original_client,
        at=clock.now(),
    )
    tx.session.add(version)


async def _make_tasks(tx: Transaction, desk: Desk, row: DisclosureOrder, wish: PlaceOrder) -> list[UUID]:
    """One task for each identifier; where the instrument says at once, it is held from now on. Returns the holds."""
    instrument, kept = desk.book.instrument(row.instrument), []
    for at, target in enumerate(wish.identifiers):
        for wanted in wish.tasks:
            period = wanted.period or wish.period
            task = Task(
                tenant=tx.tenant,
                id=new_id(),
                order_id=row.id,
                kind=wanted.kind,
                category=wanted.category,
                subtype=wanted.subtype,
                target=at,
                period_from=period.from_,
                period_to=period.to,
                status=states.FIRST[wanted.kind],
            )
            tx.session.add(task)
            known = targets.known_as(target)
            if wanted.kind is TaskKind.LP and times.holds_at_once(instrument) and known:
                until = times.held_until(instrument, clock.now(), desk.book)
                kept.append((await holds.place(tx, desk, task, known, "provisional", until)).id)
    await tx.session.flush()
    return kept
