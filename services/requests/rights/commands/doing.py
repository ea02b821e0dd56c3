"""What is done in the stores: plan the steps, claim one, record what it did, and move the request on.

The result, the check of the fence and the request's next move are one transaction. Whoever finishes last moves the
request on: every recorder locks the request's row first, so there is exactly one last.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from chassis import clock
from chassis.db import Transaction
from chassis.errors import Problem
from chassis.sealing import Shredded, SubjectKey
from services.anonymizer.contract import Action, Correction, PrincipalUnknown, Scope, StepResult, StepState, Store
from services.consent.contract import NoRightToObject, ObjectionIsAbsolute, UnknownPurpose, Vouched
from services.requests.rights import queries
from services.requests.rights.commands import answering, clocks, deciding, posting, proving, steps
from services.requests.rights.commands.answering import ToPack
from services.requests.rights.contract import Channel, Kind, Matter, State, Verdict
from services.requests.rights.moves import emit_moved, emit_step
from services.requests.rights.office import Office
from services.requests.rights.package.build import Built
from services.requests.rights.package.spool import Kept
from services.requests.rights.rules import kinds, proof, way
from services.requests.rights.tables import RequestRow, StepRow

STAND_AGAIN = "rights.stand_again"
# What consent says by a policy book that changed since a request was planned.
_FOR_GOOD = (UnknownPurpose, NoRightToObject, ObjectionIsAbsolute)
_RESULT = {"outcomes", "remaining", "findings", "attested"}


@dataclass(frozen=True)
class Claim:
    """One step, for whoever claimed it last: `fence` is what proves that. `spool_key` only where something is
    collected, `changes` only where something is corrected. vouched: only people say that she asked."""

    step: UUID
    fence: int
    request: UUID
    principal: UUID
    store: str
    verb: str
    scope: Scope | None
    kind: str
    purpose: str | None
    ground: str | None
    changes: list[Correction]
    vouched: Vouched | None
    spool_key: bytes | None = field(repr=False)


Result = StepResult | Kept | Problem


@dataclass(frozen=True)
class Wanted:
    """A request that is to be prepared, and who asks, where the request itself doesn't say: she who was known by `named`."""

    request: UUID
    principal: UUID | None = None
    named: bytes | None = None


@dataclass(frozen=True)
class Unnamed:
    """Of a request that can't be planned yet: by what its person is known, as JSON, and as it lies `sealed` there. by_code: what is known
    of her is that a contact on file is hers."""

    identifiers: bytes
    sealed: bytes | None
    by_code: bool


async def identified(tx: Transaction, row: RequestRow, principal: UUID) -> None:
    row.state, row.principal = State.identified, principal
    await emit_moved(tx, "request.identified", row)


async def clarification_needed(tx: Transaction, request: UUID) -> None:
    """The identifiers belong to different people, or to nobody any more, or are none; somebody has to ask again."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row is not None and row.state == State.received:
        row.state = State.clarification
        await emit_moved(tx, "request.clarification_needed", row)


async def prepare_later(tx: Transaction, request: UUID) -> None:
    """Whoever knows people and stores is away; a queue's own growing pauses would keep the person waiting for no
    reason."""
    await tx.enqueue("rights.prepare", request, after=way.SOON)


async def plan(
    tx: Transaction, office: Office, stores: Sequence[Store], wanted: Sequence[Wanted]
) -> list[list[Claim] | Unnamed]:
    """What becomes of requests once it is known who asks, and everything that is to be done for them now, claimed. What was planned
    before is only claimed; whatever waits for its time has a job of its own."""
    asked = {each.request: each for each in wanted}
    rows, planned = await queries.locked(tx, RequestRow, list(asked)), await queries.steps_of_all(tx, list(asked))
    unnamed, new = list[RequestRow](), list[RequestRow]()
    for row in rows.values():
        if row.state not in (State.received, State.identified):
            continue
        if row.identifiers == asked[row.id].named:  # whoever was looked up may be somebody else by now
            row.principal = row.principal or asked[row.id].principal
        if planned[row.id] and row.principal is not None:
            if row.state == State.received:
                await identified(tx, row, row.principal)
            await _go_on(tx, office, row, planned[row.id])
        elif row.principal is None:
            # Whatever brought it here: who asks is looked up only once somebody made sure of it.
            unnamed += [row] if row.evidence_method else []
        else:
            new.append(row)
    # Of two requests for the same that come at once, one is the older.
    await tx.lock(*(f"{tx.tenant} {row.principal}" for row in new))
    keys = await office.sealer.keys(tx.connection, tx.tenant, list(rows))
    added = await _plan(tx, office, stores, new, keys)
    planned |= added
    found: dict[UUID, list[Claim] | Unnamed] = {
        row.id: [claim for step in planned[row.id] if _is_to_do(step) and (claim := _claim(office, step, row, keys))]
        for row in rows.values()
    }
    tx.insert(StepRow, [step for steps in added.values() for step in steps])
    for row in unnamed:
        named = answering.key_of(keys, row).open("request", "identifiers", row.identifiers or b"")
        found[row.id] = Unnamed(named, row.identifiers, row.evidence_method == proof.BY_CODE)
    return [found.get(each.request, []) for each in wanted]


def _is_to_do(step: StepRow) -> bool:
    return step.state in ("pending", "running") and step.next_at is None


async def _plan(
    tx: Transaction, office: Office, stores: Sequence[Store], new: Sequence[RequestRow], keys: dict[UUID, SubjectKey]
) -> dict[UUID, list[StepRow]]:
    for row in new:
        if row.state == State.received:
            await identified(tx, row, row.principal)
    await tx.flush()
    known = await queries.standing_of_all(tx, [row.principal for row in new])
    decides = bool(new) and await queries.decides_itself(tx)
    asking = {row.id for row in new}
    under_way = await _under_way(tx, [each for others in known.values() for each in others if each.id not in asking])
    begun: list[tuple[RequestRow, Sequence[Store]]] = []
    for row in new:
        others = [other for other in known[row.principal] if other.id != row.id]
        if await _is_settled(tx, office, row, others, under_way):
            continue
        mine = await _mine(tx, office, row, stores, decides)
        if row.outcome is None and (matter := kinds.decided_before(row)):
            await deciding.decide_first(tx, office, row, matter)
        else:
            begun.append((row, mine))
    return await _begin(tx, office, begun, keys)


async def _under_way(tx: Transaction, known: Sequence[RequestRow]) -> set[UUID]:
    """Those that something was decided about, or planned for."""
    untouched = [row.id for row in known if row.state in (State.received, State.identified) and row.outcome is None]
    planned = await queries.steps_of_all(tx, untouched)
    return {row.id for row in known if planned.get(row.id, True)}


async def _is_settled(
    tx: Transaction, office: Office, row: RequestRow, others: Sequence[RequestRow], under_way: Container[UUID]
) -> bool:
    """Whether it is asked already, or refused by a rule. What somebody granted is neither any more, but for a recording, which would go at
    once beside what she has restricted meanwhile."""
    alike = [] if row.outcome else kinds.asked_already(row, others, under_way)
    same = [other for other in alike if await _says_the_same(tx, office, row, other)]
    if same:
        await answering.close_duplicate(tx, office, row, same[0])
    elif (row.recording or not row.outcome) and (reason := kinds.refusal(office.book, row, others)):
        await answering.refuse_by_rule(tx, office, row, reason)
    return row.state not in (State.received, State.identified)


async def _says_the_same(tx: Transaction, office: Office, row: RequestRow, other: RequestRow) -> bool:
    # What waits at the other operator under another name is another wish: what waited there before may be over.
    column = "transfer" if row.transfer is not None else kinds.WORDED.get(Kind(row.kind))
    if column is None:
        return True
    if None in (held := [getattr(each, column) for each in (row, other)]):
        return held[0] is held[1]
    with suppress(Shredded):  # it ends in this very moment
        one, two = [await answering.open_sealed(tx, office, each, column) for each in (row, other)]
        return one == two
    return False


async def _mine(
    tx: Transaction, office: Office, row: RequestRow, stores: Sequence[Store], decides_itself: bool
) -> Sequence[Store]:
    """The stores that this request is about: the operator's, or those of which the organisation is controller itself. Is
    everything asked for the organisation's, so is the request."""
    if not decides_itself or row.kind not in kinds.PARTED:
        return stores
    ours = [store for store in stores if store.controller == "operator"]
    theirs = [store for store in stores if store.controller == "tenant"]
    if row.party == "tenant":
        return theirs
    verb = kinds.WAYS[Kind(row.kind)].verb
    if not way.first_steps(verb, _scope(row), theirs):
        return ours
    if not way.first_steps(verb, _scope(row), ours):
        row.party = "tenant"
        await clocks.hand_over(tx, row)
        return theirs
    # Whoever decided about ours first comes here again: theirs was asked for then.
    if not await queries.is_parted(tx, row):
        await deciding.part(tx, office, row)
    return ours


async def _begin(
    tx: Transaction,
    office: Office,
    begun: Sequence[tuple[RequestRow, Sequence[Store]]],
    keys: dict[UUID, SubjectKey],
) -> dict[UUID, list[StepRow]]:
    """One row for each thing to do; whoever prepares a request goes on with all of them."""
    locking = [row.id for row, _ in begun if row.kind in kinds.PACKED and not row.spool_key]
    keys |= await office.sealer.keys_for_sealing(tx.connection, tx.tenant, locking)
    added: dict[UUID, list[StepRow]] = {}
    for row, stores in begun:
        how, mine = kinds.WAYS[Kind(row.kind)], added.setdefault(row.id, [])
        if row.id in locking:
            row.spool_key = keys[row.id].seal("request", "spool_key", os.urandom(32))
        if how.standing and row.party == "operator":
            mine.append(steps.standing(row, how.standing))
        # One recording, or what rested on a consent, goes at once, unless staff alone say that she asked for it or withdrew.
        planned = way.first_steps(how.verb, _scope(row), stores)
        confirmed_first = bool(planned and _scope(row)) and proof.is_only_vouched_for(office.book, row)
        for each in planned:
            mine.append(steps.of_store(row, each.store, each.verb, "deferred" if confirmed_first else "pending"))
        if how.verb == "preview" and _scope(row) is None:
            mine += [steps.of_store(row, store, "erase", state="deferred") for store in way.without_preview(stores)]
        if (_scope(row) is not None and not confirmed_first) or row.kind not in kinds.COLLECTS:
            row.state = State.executing
            await emit_moved(tx, "request.executing", row)
        if way.is_finished(mine):
            # Nothing is left to do, and what follows reads them.
            tx.insert(StepRow, added.pop(row.id))
            await tx.flush()
            await _go_on(tx, office, row, await queries.steps_of(tx, row.id))
    return added


async def claim(tx: Transaction, office: Office, ids: Sequence[UUID]) -> list[Claim | None]:
    """None for a step of which nothing is left to do. One that runs may be claimed again: its worker is dead, or will be
    refused."""
    rows = await queries.locked(tx, StepRow, ids)
    requests = await queries.requests_by_id(tx, [row.request for row in rows.values()])
    sealed = [row.request for row in rows.values() if row.verb in ("collect", "correct")]
    keys = await office.sealer.keys(tx.connection, tx.tenant, sealed)
    return [_claim(office, rows[id], requests[rows[id].request], keys) if id in rows else None for id in ids]


def _claim(office: Office, row: StepRow, request: RequestRow, keys: Mapping[UUID, SubjectKey]) -> Claim | None:
    if row.state not in ("pending", "running", "waiting") or request.principal is None:
        return None
    if request.state in way.ENDED - {State.closed} or (request.refusal and row.verb in ("collect", "preview")):
        row.state = "failed"
        answering.remove_what_is_left(office, request)
        return None
    spool_key, changes = None, []
    if row.verb == "collect":
        spool_key = answering.key_of(keys, request).open("request", "spool_key", request.spool_key)
    if row.verb == "correct":
        opened = answering.key_of(keys, request).open("request", "changes", request.changes)
        changes = answering.Changes.validate_json(opened)
    row.state, row.fence, row.tries, row.next_at = "running", row.fence + 1, row.tries + 1, None
    return _of(row, request, changes, spool_key)


async def stood(tx: Transaction, step: UUID) -> tuple[Claim, datetime] | None:
    """What the consent service was told of somebody, and when; None where nobody knows of whom any more."""
    row = await tx.session.get(StepRow, step)
    request = await tx.session.get(RequestRow, row.request)
    return (_of(row, request, [], None), row.done_at) if request.principal else None


def _of(row: StepRow, request: RequestRow, changes: list[Correction], spool_key: bytes | None) -> Claim:
    return Claim(
        step=row.id,
        fence=row.fence,
        request=row.request,
        principal=request.principal,
        store=row.store,
        verb=row.verb,
        scope=_scope(request),
        kind=request.kind,
        purpose=request.purpose,
        ground=request.ground,
        changes=changes,
        vouched=Vouched(by=request.vouched_by) if proof.is_said_by_people(request) else None,
        spool_key=spool_key,
    )


async def record(
    tx: Transaction,
    office: Office,
    results: Sequence[tuple[Claim, Result]],
    build: Callable[[Iterable[ToPack]], Awaitable[Mapping[UUID, Built]]],
) -> list[ToPack | None]:
    """What steps did (or the counts they collected, or why they could not), and what follows from it. Of a step that somebody
    else has claimed since, nothing. `build`: at once what is soon built; its request is then answered in this very transaction. Answers
    with a request's package, where that is still to be built, for one of its steps."""
    requests = await queries.locked(tx, RequestRow, [claim.request for claim, _ in results])
    steps_of = await queries.steps_of_all(tx, list(requests), lock=True)
    rows = {step.id: step for steps in steps_of.values() for step in steps}
    moved: dict[UUID, RequestRow] = {}
    kept: dict[UUID, bytes | None] = {}
    for claim, result in results:
        request, row = requests[claim.request], rows[claim.step]
        # Whoever collected: while that lasted the request may have ended, and its folder was removed before this came into it.
        answering.remove_what_is_left(office, request)
        if not _is_ours(row, claim):
            continue
        if isinstance(result, PrincipalUnknown) and _is_only_named(request, steps_of[request.id]):
            await _nobody_is_known(tx, request, row, result.code)
        elif isinstance(result, _FOR_GOOD):
            _book_changed(request, row, result.code)
            moved[request.id] = request
        elif isinstance(result, Problem):
            await _postpone(tx, row, result.code)
        elif isinstance(result, StepResult) and result.state is StepState.waiting:
            await _wait(tx, row, result)
        else:
            await _note(tx, office, request, row, result)
            if request.state not in way.ANSWERED:
                moved[request.id] = request
            if isinstance(result, Kept) and request.id in moved and request.state != State.withdrawn:
                kept[row.id] = result.little
    going = [request for request in moved.values() if request.state != State.withdrawn]
    if any(isinstance(result, StepResult) for _, result in results):
        # What was done in a store may lead to more.
        steps_of = await go_on(tx, office, going)
    else:
        for row in going:
            await _go_on(tx, office, row, steps_of[row.id])
    packing = [request for request in going if request.state == State.packing]
    wanted = await answering.to_pack(tx, office, packing, steps_of, kept)
    # What was done is written, and this read, while packages are built.
    built, running = await asyncio.gather(build(wanted.values()), queries.clocks_of_all(tx, list(wanted)))
    if built:
        await answering.hand_over(tx, office, [(requests[id], built[id]) for id in built], steps_of, running)
    left = [(rows[step], little) for step, little in kept.items() if little and rows[step].request not in built]
    answering.keep(tx, left)
    later = {request: to_pack for request, to_pack in wanted.items() if request not in built}
    return [later.pop(claim.request, None) for claim, _ in results]


async def _note(tx: Transaction, office: Office, request: RequestRow, row: StepRow, result: StepResult | Kept) -> None:
    row.state, row.problem, row.done_at = "done", None, clock.now()
    if isinstance(result, Kept):
        row.result = {"counts": result.counts}
    else:
        row.result = result.model_dump(mode="json", include=_RESULT)
        await _after(tx, office, request, row, result)
    if row.store == kinds.PEOPLE:
        await proving.forget(tx, office, request.principal)
    if request.state in way.ANSWERED:
        await _tell_deferred(tx, office, request, row)
        await forget_at_the_end(tx, request)
    elif request.state != State.withdrawn:
        await emit_step(tx, "request.step_done", request, row)


def _book_changed(request: RequestRow, row: StepRow, problem: str) -> None:
    """Trying again changes nothing: what nobody can object to is refused, what nothing overrules is decided anew, and what was to end there
    has ended."""
    row.state, row.problem = "failed", problem
    if row.verb == "object":
        request.outcome, request.refusal = Verdict.refused, "no_right_to_object"
    elif row.verb == "overrule" and problem == ObjectionIsAbsolute.code:
        request.outcome = request.reason = None


async def _postpone(tx: Transaction, row: StepRow, problem: str) -> None:
    """The store, or the way to it, is down: seen in the step, and tried again later. Nothing else waits for it."""
    pause = way.retry_after(row.tries, problem)
    row.state, row.problem, row.next_at = "pending", problem, clock.now() + pause
    await tx.enqueue("rights.step", row.id, after=pause)


def _is_only_named(request: RequestRow, steps: Sequence[StepRow]) -> bool:
    """Whether people named whose request it is by a principal alone, and nothing was done for it yet."""
    named = proof.is_said_by_people(request) and request.identifiers is None and request.channel != Channel.consent
    return named and request.part_of is None and not any(step.state == "done" for step in steps)


async def _nobody_is_known(tx: Transaction, request: RequestRow, row: StepRow, problem: str) -> None:
    """Trying again finds nobody: whoever named this person is asked again, and what was planned waits for the answer."""
    row.state, row.problem = "pending", problem
    if request.state != State.clarification:
        request.state, request.principal = State.clarification, None
        await emit_moved(tx, "request.clarification_needed", request)


async def collect_again(tx: Transaction, request: UUID, steps: Sequence[UUID]) -> None:
    """What these steps had collected is gone from the disk."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state not in (State.packing, State.transferring):
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
    today = clock.now().astimezone(office.book.tz).date()
    others = await queries.others_of(tx, row)
    if any(kinds.holds_back_erasing(other) or kinds.is_to_be_had_first(other, row, today) for other in others):
        # Art. 18(2): what is restricted is stored and not erased. The deletion goes on when the restriction ends.
        row.executes_at = clock.now() + way.LOOK_AGAIN
        return
    row.state = State.executing
    for step in await queries.steps_of(tx, request):
        if step.verb == "erase":
            step.state = "pending"
            await tx.enqueue("rights.step", step.id)
        elif "erase" in step.verbs:
            await steps.add(tx, steps.there(row, step, "erase"))
    await emit_moved(tx, "request.executing", row)
    await go_on(tx, office, [row])


async def lift(tx: Transaction, office: Office, row: RequestRow) -> None:
    """What stood still goes on: consent is told, and what was frozen in the stores is freed, unless another restriction of hers
    holds it. Of two that end at once the later one sees that the first is ending."""
    await tx.lock(f"{tx.tenant} {row.principal}")
    row.state = State.lifting
    if row.party == "operator":
        await steps.add(tx, steps.standing(row, "lift" if row.kind == Kind.restriction else "unobject"))
    held = any(kinds.is_held_by(other, row.party) for other in await queries.others_of(tx, row))
    for step in await queries.steps_of(tx, row.id):
        if step.verb == "freeze" and step.round == 1 and not held:
            await steps.add(tx, steps.there(row, step, "unfreeze"))
    await emit_moved(tx, "request.lifting", row)
    await go_on(tx, office, [row])  # where another one holds all of it nothing is left to do


async def lift_in_time(tx: Transaction, office: Office, request: UUID) -> None:
    """The person was told beforehand, and the time she was given is over."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state == State.answered and row.executes_at and row.executes_at <= clock.now():
        await lift(tx, office, row)


async def end_idle(tx: Transaction, office: Office, request: UUID) -> None:
    """An older house left parts of restrictions like that, where another one held all of it: whatever ends has something left to do, or is
    over in the same transaction."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state == State.lifting:
        await go_on(tx, office, [row])


async def resume_deferred(tx: Transaction, step: UUID) -> None:
    """The reason for keeping may have ended: the erasure runs again."""
    row = await tx.session.get(StepRow, step, with_for_update=True)
    if row.state == "deferred" and row.due_at <= clock.now():
        row.state = "pending"
        await tx.enqueue("rights.step", row.id)


async def _after(tx: Transaction, office: Office, request: RequestRow, row: StepRow, result: StepResult) -> None:
    """An erasure is checked; one that left something is done again; what a rule keeps waits for the rule's end. What was freed
    while another restriction came is frozen for that one once more, and freed again if that one ended meanwhile."""
    if row.verb == "erase" and "verify" in row.verbs:
        await steps.add(tx, steps.there(request, row, "verify", row.round))
    elif row.verb == "verify" and (result.state is not StepState.done or result.remaining != 0):
        row.state, row.problem = "failed", "rights.something_remains"
        pause = way.retry_after(row.round, row.problem)
        await steps.add(tx, steps.there(request, row, "erase", row.round + 1), pause)
    elif row.verb == "verify":
        await _defer(tx, office, request, row)
    elif row.verb == "unfreeze":
        await _freeze_again(tx, request, row)
    elif row.verb == "freeze" and request.state == State.lifting:
        await steps.add(tx, steps.there(request, row, "unfreeze", row.round))


async def _freeze_again(tx: Transaction, request: RequestRow, row: StepRow) -> None:
    for other in await queries.others_of(tx, request):
        if kinds.is_held_by(other, request.party):
            theirs = await queries.steps_of(tx, other.id)
            rounds = sum(step.verb == "freeze" and step.store == row.store for step in theirs)
            await steps.add(tx, steps.there(other, row, "freeze", rounds + 1))
            return


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
    later = await steps.add(tx, steps.there(request, row, "erase", row.round + 1, "deferred"))
    later.due_at, later.due_on = when


async def forget_at_the_end(tx: Transaction, row: RequestRow) -> None:
    """Once nothing is kept anywhere and nothing else is asked, the data plane forgets who this was."""
    await tx.flush()
    if row.kind != Kind.deletion or _scope(row) is not None or row.party != "operator":
        return
    done = await queries.steps_of(tx, row.id)
    others = await queries.others_of(tx, row)
    if way.may_forget(done) and not any(kinds.is_unfinished(other) for other in others):
        await steps.add(tx, steps.forgetting(row))


async def forget_who_waited(tx: Transaction, request: UUID) -> None:
    """A request is over, and perhaps a deletion that was done before had only waited for it."""
    row = await tx.session.get(RequestRow, request)
    for other in await queries.others_of(tx, row):
        if other.kind == Kind.deletion and other.state == State.closed:
            await tx.session.refresh(other, with_for_update=True)
            await forget_at_the_end(tx, other)


async def _tell_deferred(tx: Transaction, office: Office, request: RequestRow, row: StepRow) -> None:
    """What was kept has gone: whoever received it is told now, as they were of the rest."""
    erased = [outcome for outcome in queries.outcomes(row) if outcome.action is not Action.keep and outcome.count]
    if row.verb == "erase" and erased:
        await emit_step(tx, "request.deferred_erased", request, row)
        await answering.tell(tx, office, request, "erased", {each.category for each in erased}, row.id)


async def _wait(tx: Transaction, row: StepRow, result: StepResult) -> None:
    """A person does it by hand, or a vendor has promised a day: shown, and asked about again and again."""
    row.state, row.problem, row.result = "waiting", None, result.model_dump(mode="json", include={"waiting"})
    pause = way.retry_after(row.tries, "")
    row.next_at = clock.now() + pause
    await tx.enqueue("rights.step", row.id, after=pause)


async def go_on(tx: Transaction, office: Office, rows: Sequence[RequestRow]) -> Mapping[UUID, Sequence[StepRow]]:
    """Where requests go once their steps, which it answers with, stand as they do; called with their rows locked."""
    await tx.session.flush()
    steps_of = await queries.steps_of_all(tx, [row.id for row in rows])
    for row in rows:
        await _go_on(tx, office, row, steps_of[row.id])
    return steps_of


async def _go_on(tx: Transaction, office: Office, row: RequestRow, done: Sequence[StepRow]) -> None:
    if row.state == State.executing and row.kind == Kind.deletion and way.are_all_checking(done):
        row.state = State.checking
    if not way.is_finished(done):
        return
    if row.state == State.checking:
        await answering.answer_deletion(tx, office, row, done)
        await forget_at_the_end(tx, row)
    elif row.state == State.lifting:
        await _lifted(tx, office, row)
    elif row.state == State.identified and row.kind in kinds.COLLECTS:
        await _collected(tx, office, row)
    elif row.state in (State.executing, State.identified):
        await _executed(tx, office, row)


async def _executed(tx: Transaction, office: Office, row: RequestRow) -> None:
    """What is not a deletion was done everywhere; an objection is weighed now, while processing stands still."""
    if row.kind == Kind.withdrawal:
        await answering.answer_at_once(tx, office, row)
    elif row.kind == Kind.restriction:
        await answering.answer_restriction(tx, office, row)
        await _investigate(tx, office, row)
    elif row.kind == Kind.objection and row.outcome is None:
        if kinds.is_always_granted(office.book, row.purpose):
            row.outcome = Verdict.granted
            await answering.answer_decided(tx, office, row)
        else:
            await deciding.decide_first(tx, office, row, Matter.weigh)
    else:
        await answering.answer_decided(tx, office, row)


async def _investigate(tx: Transaction, office: Office, row: RequestRow) -> None:
    """Whether the data are correct is looked into, in the book's time; day ten without a result changes nothing for the
    person, and the case is escalated by its clock."""
    period = office.book.right(Kind.restriction).investigation
    due = None
    if period is not None and kinds.is_investigated(office.book, row.ground):
        begun = clocks.begun(tx, office, row, period, clocks.INVESTIGATION)
        tx.session.add(begun)
        due = begun.due_on
    await deciding.open_task(tx, office, row, Matter.investigate, due)


async def _lifted(tx: Transaction, office: Office, row: RequestRow) -> None:
    await deciding.void_tasks(tx, row)
    if row.kind == Kind.restriction:
        await answering.tell_lifted(tx, office, row)
    row.executes_at = None
    if row.kind == Kind.objection:
        await answering.close_withdrawn(tx, office, row)
    else:
        await answering.close(tx, office, row)


async def _collected(tx: Transaction, office: Office, row: RequestRow) -> None:
    if row.kind == Kind.deletion:
        await answering.await_confirmation(tx, office, row)
        await emit_moved(tx, "request.previewed", row)
    elif row.transfer is not None:
        row.state, row.awaiting_since = State.transferring, clock.now()
        await tx.enqueue("rights.transfer", row.id)
    elif row.by_post:
        await posting.lock(tx, office, row)
    elif row.passphrase is not None:
        row.state = State.packing
    else:
        await answering.await_passphrase(tx, office, row)


def _scope(row: RequestRow) -> Scope | None:
    if row.recording is None and not row.elements:
        return None
    return Scope(recording=row.recording, elements=row.elements or [])


def _is_ours(row: StepRow, claim: Claim) -> bool:
    """Whether nobody else claimed the step since: a thawed worker finds the token changed."""
    return row.state == "running" and row.fence == claim.fence
