"""One row for each thing that is done in one place."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from chassis import clock
from chassis.db import Transaction
from chassis.ids import new_id
from services.anonymizer.contract import Store
from services.requests.rights.rules.kinds import PEOPLE, STANDING
from services.requests.rights.tables import RequestRow, StepRow

_PEOPLE_LABEL = {"sv": "Vem du är i våra system", "en": "Who you are in our systems"}
_STANDING_LABEL = {"sv": "Samtycken, invändningar och begränsningar", "en": "Consents, objections and restrictions"}


def new(
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
    """For who prepares the request, who writes it and does it."""
    return StepRow(
        id=new_id(),
        tenant=request.tenant,
        request=request.id,
        store=store,
        label=label,
        verbs=list(verbs),
        verb=verb,
        round=round,
        state=state,
        next_at=clock.now() + pause if pause else None,
    )


def of_store(request: RequestRow, store: Store, verb: str, state: str = "pending") -> StepRow:
    return new(request, store.store, store.label.model_dump(), store.verbs, verb, state=state)


def standing(request: RequestRow, verb: str) -> StepRow:
    """What the consent service is told of the person."""
    return new(request, STANDING, _STANDING_LABEL, [], verb)


async def add(
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
    """By a job of its own."""
    return await _written(tx, new(request, store, label, verbs, verb, round, state=state, pause=pause), pause)


async def add_standing(tx: Transaction, request: RequestRow, verb: str) -> StepRow:
    return await _written(tx, standing(request, verb))


async def add_forgetting(tx: Transaction, request: RequestRow) -> StepRow:
    """By whom the person was known goes last."""
    return await _written(tx, new(request, PEOPLE, _PEOPLE_LABEL, [], "forget"))


async def _written(tx: Transaction, row: StepRow, pause: timedelta | None = None) -> StepRow:
    tx.session.add(row)
    if row.state == "pending":
        await tx.enqueue("rights.step", row.id, after=pause)
    return row
