"""Steps in a manual source: a mailbox, paper, a vendor without an API. They wait for a person, who attests what was done.

Nothing but an attestation moves such a step, and an attestation that a vendor will have done it by some day leaves it waiting for
the one that says it was done. A verification answers from the last erasure that was attested.
"""

from datetime import date
from uuid import UUID

from chassis import clock
from chassis.db import Transaction
from services.anonymizer.contract import (
    Action,
    Attest,
    Attested,
    NotWaiting,
    Outcome,
    StepAttested,
    StepRequest,
    StepResult,
    StepState,
    StepUnknown,
    Verb,
    VerbUnsupported,
    Waiting,
    WaitingStep,
    WaitingSteps,
)
from services.anonymizer.datamap import Store
from services.registry.contract import PolicyBook

_WAITING = "SELECT id, result FROM step WHERE state = 'waiting' ORDER BY begun_at, id LIMIT 500"
_LOCK = "SELECT state, principal, result FROM step WHERE id = $1 FOR UPDATE"
_SET = "UPDATE step SET state = $2, result = $3, done_at = $4 WHERE id = $1"
_ATTESTED = """
INSERT INTO attestation (tenant, step, by, at, count, evidence_sha256, evidence_at, pending_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_LAST_ERASURE = """
SELECT result FROM step WHERE principal = $1 AND state = 'done' AND asked->>'verb' = 'erase' AND asked->>'store' = $2
ORDER BY done_at DESC LIMIT 1"""

_DONE_AS: dict[Verb, tuple[Action, str]] = {
    Verb.erase: (Action.erase, "deletion"),
    Verb.correct: (Action.correct, "correction"),
    Verb.freeze: (Action.freeze, "restriction"),
    Verb.unfreeze: (Action.unfreeze, "restriction"),
}


def must_be_doable(store: Store, wish: StepRequest) -> None:
    """Raises VerbUnsupported."""
    if wish.verb == Verb.preview:
        raise VerbUnsupported("What a person does by hand has no dry run.")
    if wish.scope and not _meant(store, wish):
        raise VerbUnsupported("What is asked for does not lie here.")


async def take(tx: Transaction, store: Store, step: UUID, wish: StepRequest, book: PolicyBook) -> StepResult:
    """What the step waits for, or what was attested."""
    row = await tx.connection.fetchrow(_LOCK, step)
    if row["result"]:
        return _result(row)
    if wish.verb == Verb.verify:
        result = await _verified(tx, store, step, wish)
    else:
        result = StepResult(
            step=step,
            verb=wish.verb,
            store=store.store,
            state=StepState.waiting,
            waiting=_waiting(store, wish, book),
            outcomes=_outcomes(store, wish, book),
        )
    if result.state != StepState.incomplete:
        await _set(tx, result)
    return result


async def attest(tx: Transaction, by: str, step: UUID, wish: Attest) -> StepResult:
    """Raises StepUnknown and NotWaiting."""
    row = await tx.connection.fetchrow(_LOCK, step)
    if row is None:
        raise StepUnknown
    before = _result(row) if row["state"] == StepState.waiting else None
    if before is None or before.waiting is None or not before.waiting.by_hand:
        raise NotWaiting
    now = clock.now()
    evidence = (wish.evidence_sha256, wish.evidence_at, wish.pending_until)
    await tx.connection.execute(_ATTESTED, tx.tenant, step, by, now, wish.count, *evidence)
    result = before.model_copy(
        update={
            "outcomes": [outcome.model_copy(update={"count": wish.count}) for outcome in before.outcomes],
            "attested": Attested(by=by, at=now, evidence_sha256=wish.evidence_sha256),
        }
        | _moved(before.waiting, wish.pending_until)
    )
    await _set(tx, result)
    told = StepAttested(
        step=step,
        store=result.store,
        by=by,
        evidence_sha256=wish.evidence_sha256,
        pending_until=wish.pending_until,
    )
    await tx.emit("step.attested", told.model_dump(mode="json"), subject=row["principal"])
    return result


async def waiting(tx: Transaction) -> WaitingSteps:
    results = [_result(row) for row in await tx.connection.fetch(_WAITING)]
    items = [
        WaitingStep(step=one.step, verb=one.verb, store=one.store, waiting=one.waiting)
        for one in results
        if one.waiting and one.waiting.by_hand
    ]
    return WaitingSteps(items=sorted(items, key=lambda one: one.waiting.due))


def _meant(store: Store, wish: StepRequest) -> list[str]:
    """What of the elements here is asked for."""
    return [each for each in store.elements if wish.scope is None or each in wish.scope.elements]


def _waiting(store: Store, wish: StepRequest, book: PolicyBook) -> Waiting:
    due = book.period("manual_step").after(clock.now(), book.tz).astimezone(book.tz).date()
    only = _meant(store, wish) if wish.scope else []
    return Waiting(owner=store.manual.owner, due=due, instructions=store.manual.instructions, elements=only)


def _moved(waiting: Waiting, pending_until: date | None) -> dict[str, object]:
    if pending_until is None:
        return {"state": StepState.done, "waiting": None}
    return {"waiting": waiting.model_copy(update={"pending_until": pending_until, "due": pending_until})}


async def _verified(tx: Transaction, store: Store, step: UUID, wish: StepRequest) -> StepResult:
    found = await tx.connection.fetchrow(_LAST_ERASURE, wish.principal, store.store)
    last = _result(found) if found else None
    return StepResult(
        step=step,
        verb=wish.verb,
        store=store.store,
        state=StepState.done if last else StepState.incomplete,
        remaining=0 if last else None,
        attested=last.attested if last else None,
    )


def _outcomes(store: Store, wish: StepRequest, book: PolicyBook) -> list[Outcome]:
    """One line: nobody can tell what was in a mailbox by table and rule. Its count comes with the attestation."""
    action, kind = _DONE_AS[wish.verb]
    right, element = book.right(kind), _meant(store, wish)[0]
    return [
        Outcome(
            table=store.store,
            element=element,
            category=book.category_of(element).key,
            action=action,
            rule=right.key,
            reason=right.description,
            legal_ref=right.legal_ref,
            count=0,
        )
    ]


async def _set(tx: Transaction, result: StepResult) -> None:
    done_at = clock.now() if result.state == StepState.done else None
    await tx.connection.execute(_SET, result.step, result.state.value, result.model_dump_json(), done_at)


def _result(row) -> StepResult:
    return StepResult.model_validate(row["result"], strict=False)
