"""Entries of the DPIA and LIA registers, and reminders before the day of the next look."""

from chassis import clock
from chassis.db import Database, Transaction
from chassis.ids import new_id
from services.registry.commands.breaches import REMIND
from services.registry.contract import HOUSE, PolicyBook
from services.registry.contract.assessments import Assess, Assessment, AssessmentRefused
from services.registry.queries import assessments
from services.registry.queries.breaches import reminded
from services.registry.rules import assessments as rules

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('assessment ' || $1, 0))"
_ENTER = """
INSERT INTO assessment_entry (id, tenant, reference, body, recorded_by, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)"""


async def assess(tx: Transaction, recorder: str, reference: str, wish: Assess, book: PolicyBook) -> Assessment:
    """One more entry of an assessment; a DPIA does not become a LIA."""
    await tx.connection.execute(_LOCK, reference)
    now = clock.now()  # after the wait, or the entry waited for would not be known yet
    rules.check(book, wish, now)
    known = await assessments.assessments(tx.connection, book, now, only=reference)
    if known and known[0].kind != wish.kind:
        raise AssessmentRefused("That reference is another kind of assessment.")
    body = wish.model_dump_json().encode()
    await tx.connection.execute(_ENTER, new_id(), HOUSE, reference, body, recorder, now)
    await tx.emit("assessment.recorded", {"assessment": reference, "status": wish.status, "by": recorder})
    return await assessments.assessment(tx.connection, book, reference, now)


async def remind(database: Database, book: PolicyBook) -> None:
    """Once for each entry that counts, before its day and on it."""
    async with database.system() as connection:
        known = await assessments.assessments(connection, book, clock.now())
        due = [one for one in known if one.review in ("reminded", "due")]
        given = await reminded(connection, [one.entry for one in due])
    fresh = [one for one in due if (one.entry, "review", None, one.review) not in given]
    if fresh:
        async with database.transaction(HOUSE) as tx:
            for one in fresh:
                await _remind(tx, one)


async def _remind(tx: Transaction, one: Assessment) -> None:
    if await tx.connection.fetchval(REMIND, HOUSE, one.entry, "review", None, one.review, clock.now()):
        said = {"assessment": one.reference, "review_on": str(one.review_on)}
        await tx.emit("assessment.due" if one.review == "due" else "assessment.reminder", said)
