"""The way of a request: what each step leads to, and what may be asked for where. Facts in, the next move out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from services.anonymizer.contract import RECORDINGS, Action, Outcome, Scope, Store
from services.requests.rights.contract import NotNow, State
from services.requests.rights.rules.clock import day_after

WITHDRAWABLE = frozenset(
    {
        State.received,
        State.clarification,
        State.identified,
        State.previewed,
        State.cooling_off,
        State.deciding,
        State.awaiting_passphrase,
        State.transferring,
        State.printing,
        State.awaiting_fee,
    }
)
# What is being carried out, or was answered, is not refused any more.
REFUSABLE = frozenset(
    {State.received, State.clarification, State.identified, State.previewed, State.deciding, State.awaiting_passphrase}
)
# Who asks is asked about until it is known; what is meant, until something is done.
ASKABLE = {
    "identity": frozenset({State.received, State.clarification}),
    "clarification": frozenset({State.received, State.clarification, State.identified, State.previewed}),
}
ENDED = frozenset({State.closed, State.withdrawn, State.duplicate})
ANSWERED = frozenset({State.answered, State.closed})

# A reason that may end any day (an unpaid invoice, a claim, a running agreement) is asked about again each day.
LOOK_AGAIN = timedelta(days=1)
# A process that is away (restarted, redeployed) is back in seconds; a store may be away for days.
PROCESS_AWAY = "request.unavailable"
SOON = timedelta(seconds=2)
_FIRST_RETRY, _LONGEST_RETRY = timedelta(seconds=1), timedelta(minutes=1)


class StepFacts(Protocol):
    """What the rules see of a step's row."""

    store: str
    verb: str
    state: str
    round: int


@dataclass(frozen=True)
class Planned:
    store: Store
    verb: str


def must_stand_in(state: State, allowed: Iterable[State]) -> None:
    """Raises NotNow unless the request stands in one of the states."""
    if state not in allowed:
        raise NotNow(state=state)


def first_steps(verb: str | None, scope: Scope | None, stores: Sequence[Store]) -> list[Planned]:
    """What is done in the stores once it is known who asks. One named recording goes at once, without a preview, and so does what rested
    on a consent: from every store that has something of it, also by hand."""
    if scope is not None:
        return [Planned(store, "erase") for store in stores if "erase" in store.verbs and _has(store, scope)]
    return [Planned(store, verb) for store in stores if verb in store.verbs]


def _has(store: Store, scope: Scope) -> bool:
    if scope.recording is not None:
        return store.kind in RECORDINGS
    return not set(store.elements).isdisjoint(scope.elements)


def without_preview(stores: Sequence[Store]) -> list[Store]:
    """Where a person erases by hand there is no dry run: it is asked of her once the deletion is confirmed."""
    return [store for store in stores if "erase" in store.verbs and "preview" not in store.verbs]


def is_finished(steps: Iterable[StepFacts]) -> bool:
    """Whether nothing is left to do now. A verification that found something has put a new erasure beside itself, so
    'finished' after an erasure means that every store's last verification found nothing but what a rule keeps."""
    return all(step.state in ("done", "failed", "deferred") for step in steps)


def may_forget(steps: Sequence[StepFacts]) -> bool:
    """Whether nothing is left to do now or later, and nobody has forgotten yet: what a rule keeps would be a step to come."""
    over = all(step.state in ("done", "failed") for step in steps)
    erased = any(step.verb == "erase" for step in steps)
    return over and erased and not any(step.verb == "forget" for step in steps)


def are_all_checking(steps: Iterable[StepFacts]) -> bool:
    """Whether every erasure is done and only verifications run."""
    return all(step.verb == "verify" for step in steps if step.state in ("pending", "running", "waiting"))


def retry_after(tries: int, problem: str) -> timedelta:
    """Doubling, and at most a minute: a store that comes back is gone on with soon."""
    if problem == PROCESS_AWAY:
        return SOON
    return min(_FIRST_RETRY * 2 ** min(tries - 1, 10), _LONGEST_RETRY)


def deferred_until(outcomes: Iterable[Outcome], now: datetime, zone: ZoneInfo) -> tuple[datetime, date | None] | None:
    """When what a rule still keeps is to be erased, and the day told for it; None when nothing is kept."""
    kept = [outcome for outcome in outcomes if outcome.action is Action.keep and outcome.count]
    if not kept:
        return None
    days = [outcome.until for outcome in kept if outcome.until]
    first = min(days) if len(days) == len(kept) else None
    if first is None or any(_may_end_early(outcome) for outcome in kept):
        return now + LOOK_AGAIN, first
    return max(day_after(first, zone), now + LOOK_AGAIN), first


def _may_end_early(outcome: Outcome) -> bool:
    """A condition of the rule's (`rule.claim_open`) ends when it is settled, whatever day it would have lasted to."""
    return "." in outcome.rule
