"""What no rule decides is decided by people: one proposes, another reviews where the rule says so, and it is carried out.

Of two who decide at once the second finds that the task moved on: whoever changes a task locks its request first.
"""

import hashlib
from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlmodel import col, select

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.ids import new_id
from chassis.ledger.canonical import canonical
from services.registry.contract import PolicyBook, Text
from services.requests.rights import queries
from services.requests.rights.commands import answering, clocks, letters, steps
from services.requests.rights.contract import (
    CannotCharge,
    Charge,
    Controller,
    ControllerNamed,
    FeePaid,
    Matter,
    NameController,
    Paid,
    Propose,
    ReasonUnknown,
    Refuse,
    Request,
    Review,
    SamePerson,
    State,
    Task,
    TaskMoved,
    TaskMovedOn,
    Verdict,
    VerdictUnfit,
)
from services.requests.rights.moves import emit_moved, moved
from services.requests.rights.office import Office
from services.requests.rights.rules import clock as counting
from services.requests.rights.rules import kinds, way
from services.requests.rights.tables import ControllerRow, RequestRow, TaskRow

# What the two parts of a request have in common.
_SHARED = set(
    "tenant principal kind channel language recording elements purpose ground agent by_post evidence_method vouched_by".split()
)


async def open_task(
    tx: Transaction, office: Office, row: RequestRow, matter: Matter, due_on: date | None = None
) -> TaskRow:
    """At most one at a time for a request."""
    task = TaskRow(
        id=new_id(),
        tenant=tx.tenant,
        request=row.id,
        matter=matter,
        party=row.party,
        eyes=kinds.eyes_of(office.book, row.kind, matter),
        due_on=due_on or row.due_on,
    )
    tx.session.add(task)
    await tx.flush()
    return task


async def decide_first(tx: Transaction, office: Office, row: RequestRow, matter: Matter) -> None:
    """The request waits for a person."""
    row.state = State.deciding
    await open_task(tx, office, row, matter)
    await emit_moved(tx, "request.deciding", row)


async def propose(tx: Transaction, office: Office, caller: Caller, task: UUID, wish: Propose) -> Task:
    found, row = await _locked(tx, office, caller, task)
    if found.state != "open":
        raise TaskMovedOn(state=found.state)
    return await _propose(tx, office, caller, found, row, wish)


async def review(tx: Transaction, office: Office, caller: Caller, task: UUID, wish: Review) -> Task:
    """Another person than who proposed it; what she disagrees with is open again."""
    found, row = await _locked(tx, office, caller, task)
    if found.state != "proposed" or found.digest != wish.proposal:
        raise TaskMovedOn(state=found.state)
    if found.proposed_by == caller.subject:
        raise SamePerson
    if wish.agreed:
        _must_fit(office.book, found, row, Verdict(found.verdict), found.reason)
        await _decided(tx, office, found, row, caller)
    else:
        await _sent_back(tx, office, found, row, caller)
    return await queries.task_view(tx, office, found, row)


async def refuse(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: Refuse) -> Request:
    """What a rule would grant is to be refused: proposed here, and refused once another person agrees."""
    row = await _taken_back(tx, office, caller, request, Matter.refuse)
    (task,) = await _open_tasks(tx, row)
    proposal = Propose(verdict=Verdict.refused, reason=wish.reason, text=wish.text)
    await _propose(tx, office, caller, task, row, proposal)
    return await queries.view(tx, row)


async def charge(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: Charge) -> Request:
    """Dealt with for a fee: proposed here, and the person is told once another agrees. Raises CannotCharge."""
    most = office.book.number("fee_most")
    if wish.reason not in kinds.CHARGEABLE or wish.fee_ore > most:
        raise CannotCharge(reasons=sorted(kinds.CHARGEABLE), most=most)
    row = await _taken_back(tx, office, caller, request, Matter.charge)
    if row.fee_ore is not None:
        raise CannotCharge("It was charged for and paid.", reasons=sorted(kinds.CHARGEABLE), most=most)
    (task,) = await _open_tasks(tx, row)
    task.fee_ore = wish.fee_ore
    proposal = Propose(verdict=Verdict.charged, reason=wish.reason, text=wish.text)
    await _propose(tx, office, caller, task, row, proposal)
    return await queries.view(tx, row)


async def paid(tx: Transaction, office: Office, caller: Caller, request: UUID, wish: Paid) -> Request:
    """It goes on, and its clock too."""
    row = await queries.find(tx, office, caller, request, lock=True)
    way.must_stand_in(State(row.state), {State.awaiting_fee})
    await clocks.resume(tx, office, row, "fee")
    row.outcome = row.refusal = row.executes_at = None
    row.state = State.identified if row.principal else State.received
    said = FeePaid(**moved(row), fee_ore=row.fee_ore, by=caller.subject)
    await tx.emit("request.paid", said.model_dump(mode="json", exclude_none=True), row.principal)
    await tx.enqueue("rights.prepare", row.id)
    return await queries.view(tx, row)


async def give_up_fee(tx: Transaction, office: Office, request: UUID) -> None:
    """Nobody paid in time: refused, and the person is told how to complain."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state == State.awaiting_fee and row.executes_at <= clock.now():
        row.executes_at, row.outcome, row.refusal = None, Verdict.refused, "fee_unpaid"
        await _answer(tx, office, row)


async def name_controller(tx: Transaction, caller: Caller, wish: NameController) -> Controller:
    """From here on this organisation decides itself about the data of which it is controller."""
    queries.must_decide(caller, "tenant")
    row = await tx.session.get(ControllerRow, tx.tenant, with_for_update=True)
    if row is None:
        row = ControllerRow(tenant=tx.tenant, name="", contact="", named_by="", named_at=clock.now())
        tx.session.add(row)
    row.name, row.contact, row.named_by, row.named_at = wish.name, wish.contact, caller.subject, clock.now()
    await tx.emit("controller.named", ControllerNamed(by=caller.subject).model_dump(mode="json"))
    return Controller(name=row.name, contact=row.contact, named_at=row.named_at)


async def _taken_back(tx: Transaction, office: Office, caller: Caller, request: UUID, matter: Matter) -> RequestRow:
    """What a rule would grant waits for two people instead."""
    row = await queries.find(tx, office, caller, request, lock=True)
    queries.must_decide(caller, row.party)
    way.must_stand_in(State(row.state), way.REFUSABLE)
    for task in await _open_tasks(tx, row):
        task.state = "void"
    await tx.flush()
    await decide_first(tx, office, row, matter)
    return row


async def _propose(
    tx: Transaction, office: Office, caller: Caller, task: TaskRow, row: RequestRow, wish: Propose
) -> Task:
    _must_fit(office.book, task, row, wish.verdict, wish.reason)
    key = await office.sealer.key_for_sealing(tx.connection, tx.tenant, queries.shelf_of(row.id))
    task.text = key.seal("request_task", "text", wish.text.model_dump_json().encode())
    task.verdict, task.reason = wish.verdict, wish.reason
    said = {"task": str(task.id), "verdict": wish.verdict, "reason": wish.reason, "text": wish.text.model_dump()}
    said |= {"fee_ore": task.fee_ore} if task.fee_ore is not None else {}
    task.digest = hashlib.sha256(canonical(said)).hexdigest()
    task.proposed_by, task.proposed_at = caller.subject, clock.now()
    if task.eyes == 1:
        await _decided(tx, office, task, row, caller)
    else:
        task.state = "proposed"
        await _tell(tx, "request.proposed", task, row, caller)
    return await queries.task_view(tx, office, task, row)


def _must_fit(book: PolicyBook, task: TaskRow, row: RequestRow, verdict: Verdict, reason: str | None) -> None:
    fitting = kinds.verdicts(book, Matter(task.matter), row.purpose)
    if verdict not in fitting:
        raise VerdictUnfit(verdicts=sorted(fitting))
    reasons = {row.key for row in book.refusals}
    if reason is not None and reason not in reasons:
        raise ReasonUnknown(reasons=sorted(reasons))


async def _decided(tx: Transaction, office: Office, task: TaskRow, row: RequestRow, caller: Caller) -> None:
    task.state, task.decided_by, task.decided_at = "decided", caller.subject, clock.now()
    text = await queries.task_text(tx, office, task)
    await _tell(tx, "request.decided", task, row, caller)
    await _carry_out(tx, office, task, row, text)


async def _carry_out(tx: Transaction, office: Office, task: TaskRow, row: RequestRow, text: Text) -> None:
    verdict = Verdict(task.verdict)
    if verdict is Verdict.stays:
        await clocks.end(tx, row, clocks.INVESTIGATION)
        await letters.write(tx, office, row, "restriction_stays", text=text.in_(row.language))
        # Its reason may end as well: it is looked at again, or nobody could ever lift it.
        period, today = office.book.right(row.kind).investigation, counting.day_of(clock.now(), office.book.tz)
        await open_task(tx, office, row, Matter.investigate, period.last_day(today) if period else None)
        return
    if verdict is Verdict.lifted:
        await clocks.end(tx, row, clocks.INVESTIGATION)
        row.executes_at = office.book.period("restriction_notice").after(clock.now(), office.book.tz)
        day = row.executes_at.astimezone(office.book.tz).date().isoformat()
        await letters.write(tx, office, row, "restriction_ends", text=text.in_(row.language), day=day)
        return
    if verdict is Verdict.charged:
        await _await_fee(tx, office, task, row, text)
        return
    row.outcome, row.refusal = verdict, task.reason
    key = await office.sealer.key_for_sealing(tx.connection, tx.tenant, queries.shelf_of(row.id))
    row.reason = key.seal("request", "reason", text.model_dump_json().encode())
    if verdict is Verdict.granted and task.matter in (Matter.correct, Matter.controller):
        row.state = State.identified
        await tx.enqueue("rights.prepare", row.id)
    else:
        await _answer(tx, office, row)


async def _answer(tx: Transaction, office: Office, row: RequestRow) -> None:
    """What stood still while an objection was weighed goes on first, if she does not get her way."""
    if row.outcome != Verdict.granted and await stands_still(tx, row):
        row.state = State.executing
        await steps.add(tx, steps.standing(row, "overrule" if row.outcome == Verdict.overruled else "unobject"))
    else:
        await answering.answer_decided(tx, office, row)


async def stands_still(tx: Transaction, row: RequestRow) -> bool:
    """Whether processing was stopped for this objection."""
    return any(step.verb == "object" for step in await queries.steps_of(tx, row.id))


async def _await_fee(tx: Transaction, office: Office, task: TaskRow, row: RequestRow, text: Text) -> None:
    row.state, row.fee_ore = State.awaiting_fee, task.fee_ore
    row.executes_at = office.book.period("fee_awaited").after(clock.now(), office.book.tz)
    await clocks.pause(tx, office, row, "fee")
    reason = next(one for one in office.book.refusals if one.key == task.reason)
    fee = f"{task.fee_ore // 100},{task.fee_ore % 100:02} kr"
    day = row.executes_at.astimezone(office.book.tz).date().isoformat()
    said = {"reason": f"{reason.label.in_(row.language)} ({reason.legal_ref})", "fee": fee, "day": day}
    await letters.write(tx, office, row, "fee", text=text.in_(row.language), **said)
    await emit_moved(tx, "request.awaiting_fee", row)


async def _sent_back(tx: Transaction, office: Office, task: TaskRow, row: RequestRow, caller: Caller) -> None:
    """The second person disagrees. A refusal is off the table with that; anything else is open again."""
    await _tell(tx, "request.sent_back", task, row, caller)
    task.state = "void"
    await tx.flush()
    if task.matter not in (Matter.refuse, Matter.charge):
        await open_task(tx, office, row, Matter(task.matter), task.due_on)
        return
    row.state = State.identified if row.principal else State.received
    await tx.enqueue("rights.prepare", row.id)


async def part(tx: Transaction, office: Office, row: RequestRow) -> None:
    """The other controller's part: the same wish, received at the same moment, and decided by its privacy contact."""
    theirs = RequestRow(
        **row.model_dump(include=_SHARED),
        id=new_id(),
        state=State.identified,
        party="tenant",
        part_of=row.id,
        received_at=row.received_at,
        recorded_at=clock.now(),
        due_on=row.due_on,
    )
    await answering.reseal(tx, office, row, theirs, ("said", "identifiers", "passphrase", "changes"))
    tx.session.add(theirs)
    await tx.flush()
    tx.session.add(clocks.begun(tx, office, theirs, office.book.right(row.kind).due))
    await emit_moved(tx, "request.received", theirs)
    await emit_moved(tx, "request.identified", theirs)
    await tx.enqueue("rights.prepare", theirs.id)


async def _locked(tx: Transaction, office: Office, caller: Caller, task: UUID) -> tuple[TaskRow, RequestRow]:
    row = await queries.find_of_task(tx, office, caller, task)
    found = await tx.session.get(TaskRow, task, with_for_update=True)
    return found, row


async def _open_tasks(tx: Transaction, row: RequestRow) -> Sequence[TaskRow]:
    wanted = select(TaskRow).where(TaskRow.request == row.id, col(TaskRow.state).in_(("open", "proposed")))
    return (await tx.session.scalars(wanted)).all()


async def void_tasks(tx: Transaction, row: RequestRow) -> None:
    """Nobody needs to decide any more."""
    for task in await _open_tasks(tx, row):
        task.state = "void"


async def _tell(tx: Transaction, type: str, task: TaskRow, row: RequestRow, caller: Caller) -> None:
    said = TaskMoved(request=row.id, task=task.id, matter=task.matter, verdict=task.verdict, by=caller.subject)
    await tx.emit(type, said.model_dump(mode="json"), row.principal)
