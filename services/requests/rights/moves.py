"""The event of each move: ids and the new state, nothing a person said."""

from typing import Any

from chassis.auth import Caller
from chassis.db import Transaction
from services.requests.rights.contract import Kind, RequestMoved, RequestStepDone, State
from services.requests.rights.rules.helpdesk import is_its_own
from services.requests.rights.tables import RequestRow, StepRow


def moved(row: RequestRow) -> dict[str, Any]:
    said = RequestMoved(
        request=row.id, kind=Kind(row.kind), state=State(row.state), due_on=row.due_on, ticket=row.ticket
    )
    return said.model_dump(mode="json", exclude_none=True)


async def emit_moved(tx: Transaction, type: str, row: RequestRow, by: str | None = None) -> None:
    """The fact, and who did it if it was not the person herself; the helpdesk's system is told, if a ticket of its own began this."""
    await tx.emit(type, moved(row) | ({"by": by} if by else {}), row.principal)
    await tell_ticket(tx, row)


def for_her(caller: Caller) -> str | None:
    """Who does it, if it is not the person herself."""
    return caller.subject if caller.principal is None else None


async def tell_ticket(tx: Transaction, row: RequestRow) -> None:
    began = await tx.session.get(RequestRow, row.part_of) if row.part_of else row
    if began.ticket is not None and is_its_own(began.ticket):
        await tx.enqueue("rights.ticket", began.id)


async def emit_step(tx: Transaction, type: str, row: RequestRow, step: StepRow) -> None:
    said = RequestStepDone(request=row.id, step=step.id, store=step.store, verb=step.verb)
    await tx.emit(type, said.model_dump(mode="json"), row.principal)
