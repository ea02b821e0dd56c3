"""What others may rely on from webhooks: endpoints and their deliveries.

A delivery is a POST of one CloudEvent, signed as Standard Webhooks says (`webhook-id`, `webhook-timestamp`, `webhook-signature` with
an HMAC `v1` by the endpoint's secret and an Ed25519 `v1a` by our published key). Receivers answer 2xx within 15 seconds, and
take the same `webhook-id` twice as one: deliveries come at least once, and not always in order.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chassis.contract import Contract
from chassis.errors import Conflict, Forbidden, NotFound, Problem
from services.anonymizer import contract as anonymizer
from services.consent import contract as consent
from services.registry import contract as registry
from services.requests.rights import contract as rights

# The feeds a subscriber may hear: those of the public edge. Disclosure is not among them and never will be.
FEEDS = ("consent", "rights", "registry", "anonymizer")
# What a machine in the middle of a call waits for: it stands behind nothing else, on the feed or among the deliveries.
URGENT = frozenset({"recording.start", "recording.stop", "recording.kept"})
# What is heard by a right of its own, `hear.<subject>`: each feed, and of consent's what a call server needs apart.
SUBJECTS = {
    "recording": URGENT,
    "consent": frozenset(consent.EVENTS) - URGENT,
    "rights": frozenset(rights.EVENTS),
    "registry": frozenset(registry.EVENTS),
    "anonymizer": frozenset(anonymizer.EVENTS),
}
SUBJECT_OF = {type: subject for subject, types in SUBJECTS.items() for type in types}
EVENT_TYPES = frozenset(SUBJECT_OF)
# Facts of the house itself that whoever names their type may hear: they hold nothing but what everybody may know.
PUBLIC_FACTS = frozenset({"policy.in_force", "register.changed"})
# Whoever caused these has to prove that they arrived, so their deliveries are facts of their own.
PROVEN = frozenset({"subprocessor.change_announced", "breach.notified"})

EventType = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)+$", max_length=80)]
Url = Annotated[str, StringConstraints(min_length=8, max_length=2000, pattern=r"^https?://")]


class Reply(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class RegisterEndpoint(Contract):
    """`POST /v1/endpoints`. Each type is heard by the scope of its subject: `hear.recording`, `hear.consent`, `hear.rights`,
    `hear.registry` or `hear.anonymizer`. No `types`: everything of the organisation's own on the subjects that the caller may hear
    now, also types that come later; facts of the house itself (`PUBLIC_FACTS`) are heard by name only."""

    url: Url
    types: Annotated[list[EventType], Field(max_length=50)] = []


class Endpoint(Reply):
    """`subjects`: what it may hear, of which `types` is what it wants. `problem`: why the endpoint was disabled."""

    endpoint: UUID
    url: str
    types: list[str]
    subjects: list[str]
    state: Literal["active", "disabled"]
    problem: str | None
    created_at: datetime


class Endpoints(Reply):
    items: list[Endpoint]


class Secrets(Reply):
    """`GET /v1/endpoints/{endpoint}/secrets`: what `v1` is signed with, newest first; the older one until its time is over."""

    secrets: list[str]


class Delivery(Reply):
    """`problem`: what went wrong last, `http.<status>` or a word of ours; `next_at`: when it is tried again."""

    delivery: UUID
    endpoint: UUID
    event: UUID
    type: str
    state: Literal["pending", "delivered", "dead"]
    tries: int
    problem: str | None
    next_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None


class Deliveries(Reply):
    items: list[Delivery]
    next: str | None


class EndpointChanged(Reply):
    """Data of `endpoint.registered`, `endpoint.disabled`, `endpoint.secret_rotated`, `endpoint.secret_read`."""

    endpoint: UUID


class DeliveryDied(Reply):
    """Data of `delivery.died`: a dead letter, kept to be replayed."""

    endpoint: UUID
    delivery: UUID


class DeliveryMade(Reply):
    """Data of `delivery.made`: a receiver took an event whose delivery has to be proven."""

    endpoint: UUID
    delivery: UUID
    event: UUID


class EndpointUnknown(NotFound):
    code, title = "webhooks.endpoint_unknown", "There is no such endpoint"


class EndpointDisabled(Conflict):
    code, title = "webhooks.endpoint_disabled", "This endpoint is disabled; register it again"


class TooManyEndpoints(Conflict):
    code, title = "webhooks.too_many_endpoints", "This client has as many active endpoints as it may have; disable one"


class DeliveryUnknown(NotFound):
    code, title = "webhooks.delivery_unknown", "There is no such delivery"


class UnknownType(Problem):
    code, status, title = "webhooks.unknown_type", 422, "No event has that type"


class MayNotHear(Forbidden):
    code, title = "webhooks.may_not_hear", "A subscription needs the right to hear what it is about"


class AddressRefused(Problem):
    code, status, title = "webhooks.address_refused", 422, "Deliveries go to public https addresses on port 443 only"
