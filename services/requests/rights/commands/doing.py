"""What is done in the stores: plan the steps, claim one, record what it did, and move the request on.

The result, the check of the fence and the request's next move are one transaction. Whoever finishes last moves the
request on: every recorder locks the request's row first, so there is exactly one last.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from chassis import clock
from chassis.db import Transaction
from chassis.ids import new_id
from services.anonymizer.contract import Action, Scope, StepResult, StepState, Store
from services.requests.rights import queries
from services.requests.rights.commands import answering
from services.requests.rights.contract import Kind, State
from services.requests.rights.moves import emit_moved, emit_step
from services.requests.rights.office import Office
from services.requests.rights.rules import way
from services.requests.rights.tables import RequestRow, StepRow


@dataclass(frozen=True)
class Claim:
    """One step, for whoever claimed it last: `fence` is what proves that. `spool_key` only where something is
    collected."""

    step: UUID
    fence: int
    request: UUID
    principal: UUID
    store: str
    verb: str
    scope: Scope | None
    spool_key: bytes | None


@dataclass(frozen=True)
class ToPrepare:
    """A request whose person or steps are not known yet; `identifiers` is the sealed JSON, opened."""

    principal: UUID | None
    identifiers: bytes | None


async def to_prepare(tx: Transaction, office: Office, request: UUID) -> ToPrepare | None:
    row = await tx.session.get(RequestRow, request)
    if row is None or row.state not in (State.received, State.identified) or await queries.steps_of(tx, request):
        return None
    opened = None
    if row.identifiers is not None:
        opened = await office.sealer.open(tx.connection, tx.tenant, request, "request", "identifiers", row.identifiers)
    return ToPrepare(row.principal, opened)


async def identified(tx: Transaction, row: RequestRow, principal: UUID) -> None:
    row.state, row.principal = State.identified, principal
    await emit_moved(tx, "request.identified", row)


async def clarification_needed(tx: Transaction, request: UUID) -> None:
    """The identifiers belong to different people; somebody has to ask again."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row is not None and row.state == State.received:
        row.state = State.clarification
        await emit_moved(tx, "request.clarification_needed", row)


async def prepare_later(tx: Transaction, request: UUID) -> None:
    """Whoever knows people and stores is away; a queue's own growing pauses would keep the person waiting for no
    reason."""
    await tx.enqueue("rights.prepare", request, after=way.SOON)


async def plan(tx: Transaction, office: Office, request: UUID, principal: UUID, stores: Sequence[Store]) -> None:
    """One row and one job for each store. Done already: nothing."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row is None or row.state not in (State.received, State.identified) or await queries.steps_of(tx, request):
        return
    if row.state == State.received:
        await identified(tx, row, principal)
    if row.kind == Kind.access:
        key = await office.sealer.key_for_sealing(tx.connection, tx.tenant, row.id)
        row.spool_key = key.seal("request", "spool_key", os.urandom(32))
    planned = way.first_steps(Kind(row.kind), row.recording is not None, stores)
    for each in planned:
        await _add(tx, row, each.store.store, each.store.label.model_dump(), each.store.verbs, each.verb)
    if row.recording is not None:
        row.state = State.executing
        await emit_moved(tx, "request.executing", row)
    await _move_on(tx, office, row)


async def claim(tx: Transaction, office: Office, step: UUID) -> Claim | None:
    """None when there is nothing left to do. A step that runs may be claimed again: its worker is dead, or will be
    refused."""
    row = await tx.session.get(StepRow, step, with_for_update=True)
    if row is None or row.state not in ("pending", "running"):
        return None
    request = await tx.session.get(RequestRow, row.request)
    if request.state == State.withdrawn:
        row.state = "failed"
        answering.remove(office.folder(request.id))
        return None
    spool_key = None
    if row.verb == "collect":
        spool_key = await answering.open_sealed(tx, office, request, "spool_key")
    row.state, row.fence, row.tries, row.next_at = "running", row.fence + 1, row.tries + 1, None
    return Claim(
        step=row.id,
        fence=row.fence,
        request=row.request,
        principal=request.principal,
        store=row.store,
        verb=row.verb,
        scope=Scope(recording=request.recording) if request.recording else None,
        spool_key=spool_key,
    )


async def postpone(tx: Transaction, claim: Claim, problem: str) -> None:
    """The store, or the way to it, is down: seen in the step, and tried again later. Nothing else waits for it."""
    row = await tx.session.get(StepRow, claim.step, with_for_update=True)
    if not _is_ours(row, claim):
        return
    pause = way.retry_after(row.tries, problem)
    row.state, row.problem, row.next_at = "pending", problem, clock.now() + pause
    await tx.enqueue("rights.step", row.id, after=pause)


async def record(tx: Transaction, office: Office, claim: Claim, result: StepResult | dict[str, int]) -> None:
    """What a step did (or the counts it collected), and what follows from it."""
    request = await tx.session.get(RequestRow, claim.request, with_for_update=True)
    row = await tx.session.get(StepRow, claim.step, with_for_update=True)
    if not _is_ours(row, claim):
        return
    row.problem, row.done_at = None, clock.now()
    if isinstance(result, dict):
        row.state, row.result = "done", {"counts": result}
    else:
        row.state, row.result = "done", result.model_dump(mode="json", include={"outcomes", "remaining", "findings"})
        await _after(tx, office, request, row, result)
    if request.state in way.ANSWERED:
        await _tell_deferred(tx, request, row)
    elif request.state == State.withdrawn:
        answering.remove(office.folder(request.id))
    else:
        await emit_step(tx, "request.step_done", request, row)
        await _move_on(tx, office, request)


async def collect_again(tx: Transaction, request: UUID, steps: Sequence[UUID]) -> None:
    """What these steps had collected is gone from the disk."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state != State.packing:
        return
    row.state = State.identified
    for step in steps:
        lost = await tx.session.get(StepRow, step, with_for_update=True)
        lost.state = "pending"
        await tx.enqueue("rights.step", step)


async def execute(tx: Transaction, office: Office, request: UUID) -> None:
    """The time to change one's mind is over: erase in every store that was previewed."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state != State.cooling_off or row.executes_at > clock.now():
        return
    row.state = State.executing
    for step in await queries.steps_of(tx, request):
        if "erase" in step.verbs:
            await _add(tx, row, step.store, step.label, step.verbs, "erase")
    await emit_moved(tx, "request.executing", row)
    await _move_on(tx, office, row)


async def resume_deferred(tx: Transaction, step: UUID) -> None:
    """The reason for keeping may have ended: the erasure runs again."""
    row = await tx.session.get(StepRow, step, with_for_update=True)
    if row.state == "deferred" and row.due_at <= clock.now():
        row.state = "pending"
        await tx.enqueue("rights.step", row.id)


async def _after(tx: Transaction, office: Office, request: RequestRow, row: StepRow, result: StepResult) -> None:
    """An erasure is checked; one that left something is done again; what a rule keeps waits for the rule's end."""
    if row.verb == "erase":
        await _add(tx, request, row.store, row.label, row.verbs, "verify", row.round)
    elif row.verb == "verify" and (result.state is not StepState.done or result.remaining != 0):
        row.state, row.problem = "failed", "rights.something_remains"
        pause = way.retry_after(row.round, row.problem)
        await _add(tx, request, row.store, row.label, row.verbs, "erase", row.round + 1, pause=pause)
    elif row.verb == "verify":
        await _defer(tx, office, request, row)


async def _defer(tx: Transaction, office: Office, request: RequestRow, row: StepRow) -> None:
    same_round = [
        step
        for step in await queries.steps_of(tx, request.id)
        if step.store == row.store and step.verb == "erase" and step.round == row.round
    ]
    kept = [outcome for step in same_round for outcome in queries.outcomes(step)]
    when = way.deferred_until(kept, clock.now(), office.book.tz)
    if when is None:
        return
    later = await _add(tx, request, row.store, row.label, row.verbs, "erase", row.round + 1, state="deferred")
    later.due_at, later.due_on = when


async def _tell_deferred(tx: Transaction, request: RequestRow, row: StepRow) -> None:
    erased = [outcome for outcome in queries.outcomes(row) if outcome.action is not Action.keep and outcome.count]
    if row.verb == "erase" and erased:
        await emit_step(tx, "request.deferred_erased", request, row)


async def _move_on(tx: Transaction, office: Office, row: RequestRow) -> None:
    """Where the request goes once its steps stand as they do; called with its row locked."""
    await tx.session.flush()
    steps = await queries.steps_of(tx, row.id)
    if row.state == State.executing and way.are_all_checking(steps):
        row.state = State.checking
    if not way.is_finished(steps):
        return
    if row.state == State.checking:
        await answering.answer_deletion(tx, office, row, steps)
    elif row.state == State.identified and row.kind == Kind.deletion:
        row.state = State.previewed
        await emit_moved(tx, "request.previewed", row)
    elif row.state == State.identified:
        if row.passphrase is not None:
            row.state = State.packing
            await tx.enqueue("rights.pack", row.id)
        else:
            row.state = State.awaiting_passphrase
            await emit_moved(tx, "request.awaiting_passphrase", row)


async def _add(
    tx: Transaction,
    request: RequestRow,
    store: str,
    label: dict[str, Any],
    verbs: Sequence[str],
    verb: str,
    round: int = 1,
    *,
    state: str = "pending",
    pause: timedelta | None = None,
) -> StepRow:
    row = StepRow(
        id=new_id(),
        tenant=tx.tenant,
        request=request.id,
        store=store,
        label=label,
        verbs=list(verbs),
        verb=verb,
        round=round,
        state=state,
        next_at=clock.now() + pause if pause else None,
    )
    tx.session.add(row)
    if state == "pending":
        await tx.enqueue("rights.step", row.id, after=pause)
    return row


def _is_ours(row: StepRow, claim: Claim) -> bool:
    """Whether nobody else claimed the step since: a thawed worker finds the token changed."""
    return row.state == "running" and row.fence == claim.fence
