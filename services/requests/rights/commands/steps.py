"""One row for each thing that is done in one place."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from chassis import clock
from chassis.db import Transaction
from chassis.ids import new_id
from chassis.rows import new_row
from services.anonymizer.contract import Store
from services.requests.rights.rules.kinds import PEOPLE, STANDING
from services.requests.rights.tables import RequestRow, StepRow

_PEOPLE_LABEL = {"sv": "Vem du är i våra system", "en": "Who you are in our systems"}
_STANDING_LABEL = {"sv": "Samtycken, invändningar och begränsningar", "en": "Consents, objections and restrictions"}


def of_store(request: RequestRow, store: Store, verb: str, state: str = "pending") -> StepRow:
    return _new(request, store.store, store.label.model_dump(), store.verbs, verb, state=state)


def there(request: RequestRow, before: StepRow, verb: str, round: int = 1, state: str = "pending") -> StepRow:
    """What follows in the place of an earlier step."""
    return _new(request, before.store, before.label, before.verbs, verb, round, state)


def standing(request: RequestRow, verb: str) -> StepRow:
    """What the consent service is told of the person."""
    return _new(request, STANDING, _STANDING_LABEL, [], verb)


def forgetting(request: RequestRow) -> StepRow:
    """By whom the person was known goes last."""
    return _new(request, PEOPLE, _PEOPLE_LABEL, [], "forget")


async def add(tx: Transaction, planned: StepRow, pause: timedelta | None = None) -> StepRow:
    """By a job of its own; who prepares the request writes its steps and does them."""
    planned.next_at = clock.now() + pause if pause else None
    tx.session.add(planned)
    if planned.state == "pending":
        await tx.enqueue("rights.step", planned.id, after=pause)
    return planned


def _new(
    request: RequestRow,
    store: str,
    label: dict[str, Any],
    verbs: Sequence[str],
    verb: str,
    round: int = 1,
    state: str = "pending",
) -> StepRow:
    return new_row(
        StepRow,
        id=new_id(),
        tenant=request.tenant,
        request=request.id,
        store=store,
        label=label,
        verbs=list(verbs),
        verb=verb,
        round=round,
        state=state,
    )
