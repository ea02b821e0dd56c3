"""What is open, by the day on which it is due: each clock that runs, how many days are left, and who is to move it next."""

from typing import get_args
from uuid import UUID

from chassis import clock
from chassis.db import Transaction
from services.requests.rights.contract import WaitsFor, WorkItem, Worklist
from services.requests.rights.office import Office
from services.requests.rights.rules.clock import day_of

# A question to the person stops the clock only if it was asked in time; waited for is she either way.
_OPEN = """
WITH running AS (
    SELECT c.id, c.request, c.clock, c.party, c.received_on, c.due_on, r.kind, r.state, r.channel, r.ticket,
           asked.stands_still,
           CASE WHEN asked.stands_still IS NOT NULL OR r.state IN ('previewed', 'awaiting_passphrase', 'awaiting_fee') THEN 'person'
                WHEN r.state = 'clarification' OR (r.state = 'received' AND r.evidence_method IS NULL) THEN 'identity'
                WHEN EXISTS (SELECT FROM request_task t WHERE t.request = r.id AND t.state IN ('open', 'proposed')) THEN 'decision'
                WHEN r.state = 'printing' THEN 'post'
                WHEN r.state = 'transferring' THEN 'operator'
                WHEN EXISTS (SELECT FROM request_step s WHERE s.request = r.id AND s.state = 'waiting') THEN 'by_hand'
                WHEN EXISTS (SELECT FROM request_step s WHERE s.request = r.id AND s.state = 'pending' AND s.problem IS NOT NULL) THEN 'store'
                ELSE 'nobody' END AS waits_for
    FROM request_clock c JOIN request r ON r.id = c.request LEFT JOIN LATERAL (
        SELECT bool_or((p->>'counts')::boolean) AS stands_still
        FROM jsonb_array_elements(c.pauses) p WHERE p->>'answered_on' IS NULL
    ) asked ON true
    WHERE c.ended_at IS NULL
)"""
_ITEMS = f"""{_OPEN}
SELECT * FROM running WHERE ($1::text IS NULL OR waits_for = $1)
AND ($2::uuid IS NULL OR (due_on, id) > (SELECT due_on, id FROM request_clock WHERE id = $2))
ORDER BY due_on, id LIMIT $3"""
_COUNTS = f"""{_OPEN}
SELECT waits_for, count(*) AS open, count(*) FILTER (WHERE due_on < $1 AND stands_still IS NOT TRUE) AS overdue
FROM running GROUP BY waits_for"""


async def read(tx: Transaction, office: Office, waits_for: WaitsFor | None, after: UUID | None, limit: int) -> Worklist:
    """Of the caller's own organisation; what is overdue comes first. `after`: the last clock of the page before."""
    today = day_of(clock.now(), office.book.tz)
    counts = {row["waits_for"]: row for row in await tx.connection.fetch(_COUNTS, today)}
    rows = await tx.connection.fetch(_ITEMS, waits_for, after, limit)
    items = [
        WorkItem(**row, days_left=None if row["stands_still"] else (row["due_on"] - today).days)
        for row in map(dict, rows)
    ]
    return Worklist(
        today=today,
        open={one: counts[one]["open"] if one in counts else 0 for one in get_args(WaitsFor)},
        overdue=sum(row["overdue"] for row in counts.values()),
        items=items,
        next=str(rows[-1]["id"]) if len(rows) == limit else None,
    )
