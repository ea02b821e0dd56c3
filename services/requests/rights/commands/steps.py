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
    alone: bool = True,
) -> StepRow:
    """alone: by a job of its own; else by the one that prepares the request."""
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
    if state == "pending" and alone:
        await tx.enqueue("rights.step", row.id, after=pause)
    return row


async def add_in(tx: Transaction, request: RequestRow, store: Store, verb: str, *, alone: bool = True) -> StepRow:
    return await add(tx, request, store.store, store.label.model_dump(), store.verbs, verb, alone=alone)


async def add_forgetting(tx: Transaction, request: RequestRow) -> StepRow:
    """By whom the person was known goes last."""
    return await add(tx, request, PEOPLE, _PEOPLE_LABEL, [], "forget")


async def add_standing(tx: Transaction, request: RequestRow, verb: str, *, alone: bool = True) -> StepRow:
    """What the consent service is told of the person."""
    return await add(tx, request, STANDING, _STANDING_LABEL, [], verb, alone=alone)
