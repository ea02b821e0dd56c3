"""DPIA and LIA registers: that an assessment exists, where it lies, how it stands, and when it is to be looked at again.

The documents are written elsewhere; each entry is kept, and the last one counts.
"""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from chassis.contract import Contract
from chassis.errors import Conflict
from services.registry.contract.policy import Key

AssessmentKind = Literal["dpia", "lia"]
AssessmentStatus = Literal["planned", "in_progress", "approved", "consulting_authority", "rejected", "withdrawn"]


class Assess(Contract):
    """`PUT /v1/assessments/{reference}`. `purposes`: the processing activities it is about.

    `review_on`: when it is looked at again (Art. 35(11)); an approved one has it. The register reminds before that day.
    """

    kind: AssessmentKind
    title: Annotated[str, Field(min_length=3, max_length=200)]
    purposes: Annotated[list[Key], Field(min_length=1, max_length=50)]
    status: AssessmentStatus
    owner: Annotated[str, Field(min_length=1, max_length=100)]
    document: Annotated[str, Field(min_length=1, max_length=500)]
    started_on: date
    decided_on: date | None = None
    review_on: date | None = None

    @model_validator(mode="after")
    def _dated(self) -> Self:
        if self.status in ("approved", "rejected") and self.decided_on is None:
            raise ValueError("what was decided has a day of decision")
        if self.status == "approved" and self.review_on is None:
            raise ValueError("an approved assessment is looked at again: review_on")
        if self.decided_on is not None and self.decided_on < self.started_on:
            raise ValueError("decided_on lies before started_on")
        if self.review_on is not None and self.review_on <= (self.decided_on or self.started_on):
            raise ValueError("review_on lies before what is reviewed")
        return self


class Assessment(Assess):
    """`review`: whether its day has come. `entry` is the id of the entry that counts."""

    reference: str
    entry: UUID
    entries: int
    recorded_by: str
    recorded_at: datetime
    review: Literal["none", "ahead", "reminded", "due"]


class AssessmentRefused(Conflict):
    code, title = "registry.assessment_refused", "The register of assessments cannot record that"
