"""The breach register, Art. 33(5): facts, effects, remedies, and who was told when. Every clock is a row of the book.

What is said of a breach is never overwritten: each statement is kept with its author and time, and the last one counts.
Nothing here names a person concerned; numbers and categories do.
"""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from chassis.contract import Contract, Moment
from chassis.errors import Conflict
from services.registry.contract.policy import Key, Risk, Text
from services.registry.contract.register import Sent
from services.registry.labels import Language

Words = Annotated[str, Field(min_length=1, max_length=10_000)]
ClockState = Literal["running", "overdue", "met", "met_late"]


class Statement(Contract):
    """What is known of a breach by now. `tenants`: the organisations for whom the operator processes the data concerned.

    `as_controller`: whether data of the operator's own responsibility are concerned.
    """

    title: Annotated[str, Field(min_length=3, max_length=200)]
    facts: Words
    effects: Words
    remedies: Words
    occurred_from: Moment
    occurred_to: Moment | None = None
    categories: Annotated[list[Key], Field(min_length=1, max_length=50)]
    subjects: Annotated[int, Field(ge=0, le=10**9)] | None = None
    records: Annotated[int, Field(ge=0, le=10**12)] | None = None
    risk: Risk
    as_controller: bool
    tenants: Annotated[list[UUID], Field(max_length=10_000)] = []

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if self.occurred_to is not None and self.occurred_to < self.occurred_from:
            raise ValueError("occurred_to lies before occurred_from")
        if len(set(self.tenants)) != len(self.tenants):
            raise ValueError("an organisation is named twice")
        if not self.as_controller and not self.tenants:
            raise ValueError("a breach concerns the operator's own data, or some organisation's, or both")
        return self


class ReportBreach(Contract):
    """`POST /v1/breaches`: `aware_at` starts the clocks and cannot be changed later."""

    aware_at: Moment
    statement: Statement


class TellBreach(Contract):
    """`POST /v1/breaches/{breach}/notices`: somebody was told; `organisation` for the clock of a tenant."""

    clock: Key
    organisation: UUID | None = None
    told_at: Moment
    reference: Annotated[str, Field(min_length=1, max_length=200)]


class CloseBreach(Contract):
    conclusion: Words


class Notice(Contract):
    clock: str
    tenant: UUID | None
    told_at: datetime
    reference: str
    recorded_by: str
    recorded_at: datetime


class Clock(Contract):
    """One duty to tell somebody: `due_at` by the book's row `clock`, and where it stands.

    One that counts from another notice which is not given yet shows the latest end it can have.
    """

    clock: str
    label: Text
    to: str
    tenant: UUID | None
    legal_ref: str
    due_at: datetime
    state: ClockState
    told_at: datetime | None
    reference: str | None


class Breach(Contract):
    """A breach as it stands: its last statement, the clocks, and all notices."""

    id: UUID
    aware_at: datetime
    statement: Statement
    stated_by: str
    stated_at: datetime
    statements: int
    clocks: list[Clock]
    notices: list[Notice]
    closed_at: datetime | None
    closed_by: str | None
    conclusion: str | None


class BreachLetter(Contract):
    """One notice to a customer organisation whose data are concerned, Art. 33(2), in the words it was given, and what proves that
    it arrived. `statement`: the number of the statement it tells; a later statement is told by another letter. `contract`: empty
    where the register has no agreement with the organisation, which is then told by webhook alone."""

    letter: UUID
    breach: UUID
    clock: str
    tenant: UUID
    contract: str
    statement: int
    subject: str
    body: str
    written_at: datetime
    sent: list[Sent]


class BreachLetters(Contract):
    """`POST` and `GET /v1/breaches/{breach}/letters`, for the operator; `GET /v1/pack/breaches`, a customer organisation's own."""

    items: list[BreachLetter]


class BreachNotified(Contract):
    """`breach.notified`, to each organisation concerned: its privacy contact reads what happened at `GET /v1/pack/breaches`."""

    breach: UUID
    letter: UUID


class FormField(Contract):
    label: str
    value: str


class Form(Contract):
    """A notice prefilled from the register in one language. `missing`: what the recipient asks for and nobody has said yet."""

    clock: str
    language: Language
    reference: str
    title: str
    recipient: str
    due_at: datetime
    fields: list[FormField]
    missing: list[str]

    def as_text(self) -> str:
        """To be pasted into whatever the recipient wants it in."""
        head = [self.title, self.recipient, ""]
        return "\n".join(
            [*head, *(f"{one.label}: {one.value}" for one in self.fields), *(f"{m}: ?" for m in self.missing), ""]
        )


class NotConcerned(Conflict):
    """A notice for a clock that this breach does not have."""

    code, title = "registry.not_concerned", "This breach has no such duty to tell"


class BreachRefused(Conflict):
    """A statement that cannot be: about the future, or about categories the book does not have."""

    code, title = "registry.breach_refused", "The breach register cannot record that"


class BreachClosed(Conflict):
    code, title = "registry.breach_closed", "This breach is closed"
