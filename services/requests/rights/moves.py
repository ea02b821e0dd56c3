"""The event of each move: ids and the new state, nothing a person said."""

from typing import Any

from chassis.db import Transaction
from services.requests.rights.contract import Kind, RequestMoved, RequestStepDone, State
from services.requests.rights.tables import RequestRow, StepRow


def moved(row: RequestRow) -> dict[str, Any]:
    said = RequestMoved(
        request=row.id, kind=Kind(row.kind), state=State(row.state), due_on=row.due_on, ticket=row.ticket
    )
    return said.model_dump(mode="json", exclude_none=True)


async def emit_moved(tx: Transaction, type: str, row: RequestRow) -> None:
    await tx.emit(type, moved(row), row.principal)


async def emit_step(tx: Transaction, type: str, row: RequestRow, step: StepRow) -> None:
    said = RequestStepDone(request=row.id, step=step.id, store=step.store, verb=step.verb)
    await tx.emit(type, said.model_dump(mode="json"), row.principal)
