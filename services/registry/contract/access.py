"""The access register: who may do what, where, why and until when, and who said so.

A grant = a person × role × clearance × system or facility areas × purpose. People are known by the id of their account, or of
the operator's directory: names stand there, not here. What has no end is no grant, and nobody decides about her own.
"""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from chassis.contract import Contract, Moment
from chassis.errors import Conflict, Forbidden
from services.registry.contract.policy import Key

# The system whose roles are identity's, and whose grants decide what staff may do at the edges.
WARDLINE = "wardline"
MANAGER = "access_manager"

Words = Annotated[str, Field(min_length=10, max_length=1000)]
GrantState = Literal["requested", "refused", "approved", "ended"]
EndReason = Literal[
    "expired", "revoked", "left", "changed_role", "clearance_ended", "review_undecided", "review_not_confirmed"
]


class RequestGrant(Contract):
    """`POST /v1/access/grants`: either a system, or areas of a facility. `organisation`: the tenant whose data it opens.

    `valid_from`: as soon as it is approved, when absent.
    """

    person: UUID
    role: Key
    system: Key | None = None
    facility: Key | None = None
    areas: Annotated[list[Key], Field(max_length=50)] = []
    organisation: UUID | None = None
    purpose: Key
    justification: Words
    valid_from: Moment | None = None
    valid_to: Moment

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.system is None) == (self.facility is None):
            raise ValueError("a grant is for a system or for areas of a facility, one of the two")
        if bool(self.areas) != (self.facility is not None) or len(set(self.areas)) != len(self.areas):
            raise ValueError("a grant for a facility names its areas, each once; one for a system names none")
        if (self.organisation is None) == (self.system == WARDLINE):
            raise ValueError(f"a grant for {WARDLINE}, and no other, names the organisation whose data it opens")
        return self


class Manager(Contract):
    person: UUID
    organisation: UUID


class FoundRegister(Contract):
    """`POST /v1/access/founding`: the first two who may grant; refused while anybody may already."""

    managers: Annotated[list[Manager], Field(min_length=2, max_length=5)]
    purpose: Key
    justification: Words
    valid_to: Moment

    @model_validator(mode="after")
    def _different_people(self) -> Self:
        if len({manager.person for manager in self.managers}) != len(self.managers):
            raise ValueError("the managers are different people")
        return self


class DecideGrant(Contract):
    approve: bool
    reason: Words


class EndGrant(Contract):
    reason: Words


class RecordClearance(Contract):
    """`POST /v1/access/clearances`: what was validated about a person, and in which file the evidence lies."""

    person: UUID
    clearance: Key
    evidence: Annotated[str, Field(min_length=3, max_length=200)]
    valid_to: Moment


class Depart(Contract):
    """`POST /v1/access/departures`: she left or changed role; whatever she may do ends now."""

    person: UUID
    reason: Literal["left", "changed_role"]


class ConfirmGrant(Contract):
    """`POST /v1/access/reviews/{review}/decisions`"""

    grant: UUID
    keep: bool
    reason: Words


class Grant(Contract):
    id: UUID
    person: UUID
    role: str
    system: str | None
    facility: str | None
    areas: list[str]
    organisation: UUID | None
    purpose: str
    justification: str
    clearance: UUID | None
    state: GrantState
    requested_by: str
    requested_at: datetime
    valid_from: datetime | None
    valid_to: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision: str | None
    ended_by: str | None
    ended_at: datetime | None
    ended_for: EndReason | None


class Clearance(Contract):
    id: UUID
    person: UUID
    clearance: str
    evidence: str
    recorded_by: str
    recorded_at: datetime
    valid_to: datetime
    ended_at: datetime | None
    ended_by: str | None


class Ended(Contract):
    """Which grants ended by one act."""

    grants: list[UUID]


class Founded(Contract):
    grants: list[UUID]


class ReviewItem(Contract):
    """One grant under review: `kept` is null until somebody other than its holder decides."""

    grant: UUID
    person: UUID
    role: str
    kept: bool | None
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None


class Review(Contract):
    """One half-yearly review campaign. What nobody decided by `due_at` lapses."""

    id: UUID
    opened_at: datetime
    due_at: datetime
    closed_at: datetime | None
    grants: int
    kept: int
    not_kept: int
    undecided: int


class ReviewDetail(Review):
    items: list[ReviewItem]


class Standing(Contract):
    """`GET /v1/access/standing/{person}?organisation=`: the roles at this platform that somebody holds this instant."""

    roles: list[str]


class AccessRefused(Conflict):
    """What the book's rows do not allow: an unknown place, an end too far away, a clearance that is missing."""

    code, title = "registry.access_refused", "The access register does not allow that grant"


class OwnGrant(Forbidden):
    code, title = "registry.own_grant", "Nobody decides about her own access, or about what she asked for"


class AlreadyDecided(Conflict):
    code, title = "registry.already_decided", "That was decided already"


class AlreadyFounded(Conflict):
    code, title = "registry.already_founded", "Somebody may grant access already; ask her"
