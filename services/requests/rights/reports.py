"""The month in numbers: what was asked, how fast it was answered, what is overdue, and why anything was refused.

Counts of requests only, of the caller's own organisation; what a withdrawn consent set off by itself is nobody's request.
"""

from datetime import date, timedelta

from chassis import clock
from chassis.db import Transaction
from services.requests.rights.contract import MonthOfKind, MonthReport
from services.requests.rights.office import Office
from services.requests.rights.rules.clock import day_of, start_of

_ASKED = """
SELECT kind, count(*) AS received FROM request
WHERE received_at >= $1 AND received_at < $2 AND channel <> 'consent' AND state <> 'duplicate' GROUP BY kind"""
# Days from receipt to the answer, as people count them; half of the answers took no longer than the median.
_ANSWERED = """
SELECT kind, count(*) AS answered,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM answered_at - received_at)) AS median,
       count(*) FILTER (WHERE (answered_at AT TIME ZONE $3)::date > due_on) AS late
FROM request WHERE answered_at >= $1 AND answered_at < $2 AND channel <> 'consent' GROUP BY kind"""
# While the person is awaited no day is the last.
_OVERDUE = """
SELECT kind, count(*) AS overdue FROM request
WHERE received_at < $1 AND due_on < $2 AND (answered_at IS NULL OR answered_at >= $1)
AND (closed_at IS NULL OR closed_at >= $1) AND channel <> 'consent' AND state <> 'duplicate'
AND NOT EXISTS (
    SELECT FROM request_clock c, jsonb_array_elements(c.pauses) p
    WHERE c.request = request.id AND c.clock = 'answer' AND (p->>'counts')::boolean AND (p->>'asked_on')::date <= $2
    AND coalesce((p->>'answered_on')::date > $2, true)
) GROUP BY kind"""
_REFUSED = """
SELECT kind, refusal, count(*) AS refused FROM request
WHERE answered_at >= $1 AND answered_at < $2 AND refusal IS NOT NULL AND channel <> 'consent'
GROUP BY kind, refusal ORDER BY refusal"""


async def month(tx: Transaction, office: Office, first: date) -> MonthReport:
    """`first`: the first day of the month, counted in the book's zone. Of a month that still runs, until now; of one to come, nothing."""
    zone, now = office.book.tz, clock.now()
    begin, end = start_of(first, zone), min(start_of(_next(first), zone), now)
    if begin > now:
        return MonthReport(month=f"{first:%Y-%m}", kinds=[])
    asked = await tx.connection.fetch(_ASKED, begin, end)
    answered = await tx.connection.fetch(_ANSWERED, begin, end, office.book.zone)
    overdue = await tx.connection.fetch(_OVERDUE, end, day_of(end, zone))
    refused = await tx.connection.fetch(_REFUSED, begin, end)
    kinds: dict[str, dict] = {}
    for rows in (asked, answered, overdue):
        for row in rows:
            kinds.setdefault(row["kind"], {}).update(row)
    for row in refused:
        kinds.setdefault(row["kind"], {"kind": row["kind"]}).setdefault("refused", {})[row["refusal"]] = row["refused"]
    return MonthReport(month=f"{first:%Y-%m}", kinds=[_of_kind(kinds[kind]) for kind in sorted(kinds)])


def _of_kind(found: dict) -> MonthOfKind:
    median = found.get("median")
    return MonthOfKind(
        kind=found["kind"],
        received=found.get("received", 0),
        answered=found.get("answered", 0),
        median_days=round(float(median) / 86_400, 2) if median is not None else None,
        answered_late=found.get("late", 0),
        overdue=found.get("overdue", 0),
        refused=found.get("refused", {}),
    )


def _next(first: date) -> date:
    return (first.replace(day=28) + timedelta(days=7)).replace(day=1)
