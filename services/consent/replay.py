"""A past decision asked again: the memory as it was then, built from the ledger, the book of that day, and the very same code."""

from datetime import datetime
from uuid import UUID

from chassis.auth import Caller
from chassis.db import Database
from chassis.errors import Malformed
from chassis.ledger import queries as ledger
from chassis.ledger.events import Event
from services.consent.decisions import DecisionPoint
from services.consent.memory import Memory
from services.consent.questions import Question
from services.registry.contract import PolicyBook

_SAID = """
SELECT l.position, e.body FROM event e JOIN ledger_entry l ON l.event_id = e.id
WHERE e.id IN (SELECT event FROM statement WHERE tenant = $1 AND principal = ANY ($2)) AND {known} ORDER BY l.position"""
_RULES = """
SELECT l.position, e.body FROM event e JOIN ledger_entry l ON l.event_id = e.id
WHERE e.tenant = $1 AND e.type IN ('notice.published', 'duty.recorded', 'duty.ended') AND {known} ORDER BY l.position"""


async def replayed(
    database: Database,
    book: PolicyBook | None,
    caller: Caller,
    question: Question,
    as_of: datetime,
    version: int | None,
) -> bytes:
    """The answer as it was given. version: the `state_version` that answer bore; without it, all that was recorded by then counts.

    Raises Malformed for a version that the ledger has not come to yet.
    """
    memory = Memory()
    people = [id for id in map(_uuid, (question.subject, *(question.participants or ()))) if id]
    async with database.system() as connection:
        if version is not None and version > await ledger.head(connection, database.service):
            raise Malformed("No decision point has come to that state_version yet.")
        by, bound = ("e.time <= $3", as_of) if version is None else ("l.position <= $3", version)
        rows = await connection.fetch(_SAID.format(known=by), caller.tenant, people, bound)
        by, bound = ("e.time <= $2", as_of) if version is None else ("l.position <= $2", version)
        rows += await connection.fetch(_RULES.format(known=by), caller.tenant, bound)
    for position, body in sorted(rows, key=lambda row: row["position"]):
        memory.apply(position, Event.read(body, position))
    memory.position = memory.position if version is None else version
    point = DecisionPoint(memory, lambda: True, lambda: as_of)
    point.use(book)
    return point.told(caller, question)


def _uuid(id: str) -> UUID | None:
    try:
        return UUID(id)
    except ValueError:
        return None
