"""Reads of the DPIA and LIA registers, as known at an instant."""

from datetime import datetime

import asyncpg

from chassis.errors import NotFound
from services.registry.contract import PolicyBook
from services.registry.contract.assessments import Assess, Assessment, AssessmentKind
from services.registry.rules.assessments import review

_LAST = """
SELECT DISTINCT ON (reference) id, reference, body, recorded_by, recorded_at,
    count(*) OVER (PARTITION BY reference) AS entries
FROM assessment_entry WHERE recorded_at <= $1 AND ($2::text IS NULL OR reference = $2) ORDER BY reference, id DESC"""


async def assessments(
    connection: asyncpg.Connection,
    book: PolicyBook,
    known_at: datetime,
    *,
    kind: AssessmentKind | None = None,
    only: str | None = None,
) -> list[Assessment]:
    """The last entry of each assessment, by reference."""
    found = [_assessment(row, book, known_at) for row in await connection.fetch(_LAST, known_at, only)]
    return [one for one in found if kind in (None, one.kind)]


async def assessment(connection: asyncpg.Connection, book: PolicyBook, reference: str, now: datetime) -> Assessment:
    found = await assessments(connection, book, now, only=reference)
    if not found:
        raise NotFound("There is no such assessment.")
    return found[0]


def _assessment(row: asyncpg.Record, book: PolicyBook, now: datetime) -> Assessment:
    wish = Assess.model_validate_json(row["body"])
    return Assessment(
        **dict(wish),
        reference=row["reference"],
        entry=row["id"],
        entries=row["entries"],
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
        review=review(book, wish, now),
    )
