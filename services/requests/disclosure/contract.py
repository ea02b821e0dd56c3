"""What others may rely on from disclosure: orders from authorities, their holds, and the sealed packages they end in.

The words are those of ETSI TS 103 120 where it has one (statuses, request types, error codes); JSON is ours.
Everything here is secret: nothing of it may be copied into another service's events, logs or answers.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chassis.contract import Moment
from chassis.errors import Conflict, Forbidden, NotFound, Problem


class Command(BaseModel):
    """What a caller sends: strict, and an unknown field is a mistake."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)


class Reply(BaseModel):
    """What we answer: fields may be added inside v1, so readers ignore what they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, serialize_by_alias=True)


Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=255)]
AuthorityId = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}-[a-z0-9-]{2,40}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class OpenPeriod(Command):
    """As an order states it; whether it may be open, and whether it makes sense, the rules say. `to` is excluded."""

    from_: Moment | None = Field(default=None, alias="from")
    to: Moment | None = None


class Period(Command):
    """`to` is excluded."""

    from_: Moment = Field(alias="from")
    to: Moment


# --- authorities ------------------------------------------------------------------------------------------------------


class AuthorityKind(StrEnum):
    court = "court"
    prosecutor = "prosecutor"
    police = "police"
    security_service = "security_service"
    enforcing_authority = "enforcing_authority"
    emergency_service = "emergency_service"
    rights_holder = "rights_holder"
    foreign = "foreign"


class RegisterAuthority(Command):
    """`POST /v1/authorities`. `id` is the ETSI EndpointID as one word, `SE-aklagarmyndigheten`.

    clients: its OAuth clients · instruments: what it may ask by · jwks: what it signs with · encryption_key: the public
    EC key that packages are encrypted to · callback_number: from a source of our own, never from the letter.
    """

    id: AuthorityId
    name: Line
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    kind: AuthorityKind
    clients: list[Word] = Field(max_length=10)
    instruments: list[Word] = Field(min_length=1, max_length=50)
    jwks: dict[str, Any]
    encryption_key: dict[str, Any]
    callback_number: Line
    expires_at: Moment


class Authority(Reply):
    """It may order once a second person confirmed it (`confirmed_by`), until it expires."""

    id: str
    name: str
    country: str
    kind: AuthorityKind
    clients: list[str]
    instruments: list[str]
    encryption_kid: str
    expires_at: datetime
    registered_by: str
    confirmed_by: str | None


class Authorities(Reply):
    items: list[Authority]


# --- orders -----------------------------------------------------------------------------------------------------------


class TaskKind(StrEnum):
    """Disclosure, preservation, interception (which we never carry out ourselves)."""

    LD = "LD"
    LP = "LP"
    LI = "LI"


class TargetIdentifier(Command):
    """`type` is a TS 103 280 format (InternationalE164, EmailAddress, MACAddress, …) or one of the operator's own
    (CustomerNumber, AgentNumber, AccountName). `at`: the instant at which a shared address was used."""

    type: Word
    value: Annotated[str, StringConstraints(max_length=255)]
    at: Moment | None = None


class WantedTask(Command):
    """`category` and `subtype`: of the policy book's order categories. No period of its own: the order's."""

    kind: TaskKind
    category: Word
    subtype: Word | None = None
    period: OpenPeriod | None = None


class Signatory(Command):
    """Who issued or validated the order, by office; never a person's private data."""

    kind: Word
    name: Line


class Document(Command):
    """The order itself as it came. `signed`: what the check of its signature said; None where nobody checked."""

    name: Line
    sha256: Sha256
    signed: bool | None = None


class Offence(Command):
    """The most severe penalty of the offence, and whether the regulation lists it by name."""

    max_years: Annotated[float, Field(ge=0, le=100)]
    listed: bool = False


class PlaceOrder(Command):
    """`POST /v1/orders`: one order; each task is carried out for each identifier by itself.

    authority: only staff need to say (`intake_reference` then says where the letter is); its own client is known.
    secrecy_until: None is indefinite. controller_addressing: why we are asked and not the company whose content it is.
    """

    authority: AuthorityId | None = None
    intake_reference: Line | None = None
    instrument: Word
    reference: Line
    issuer: Signatory
    validator: Signatory | None = None
    legal_provision: Line
    served_at: Moment
    emergency: bool = False
    secrecy_until: Moment | None = None
    period: OpenPeriod
    identifiers: list[TargetIdentifier] = Field(max_length=500)
    tasks: list[WantedTask] = Field(min_length=1, max_length=50)
    offence: Offence | None = None
    controller_addressing: Line | None = None
    documents: list[Document] = Field(default=[], max_length=50)


class ChangeOrder(Command):
    """`PUT /v1/orders/{order}` while nobody has approved enough: every approval given so far is void."""

    generation: int
    order: PlaceOrder


class OrderStatus(StrEnum):
    """AuthorisationStatus of TS 103 120, as far as it happens here. `Rejected`: refused by a rule or by a reviewer."""

    AwaitingApproval = "AwaitingApproval"
    Approved = "Approved"
    Rejected = "Rejected"
    Cancelled = "Cancelled"


class TaskStatus(StrEnum):
    """LDTaskStatus and LPTaskStatus of TS 103 120."""

    AwaitingApproval = "AwaitingApproval"
    AwaitingDisclosure = "AwaitingDisclosure"
    Disclosed = "Disclosed"
    DisclosureNotAvailable = "DisclosureNotAvailable"
    AwaitingPreservation = "AwaitingPreservation"
    Preserved = "Preserved"
    PreservationNotAvailable = "PreservationNotAvailable"
    Rejected = "Rejected"
    Cancelled = "Cancelled"
    Expired = "Expired"
    Error = "Error"
    Invalid = "Invalid"


class Fault(Reply):
    """Why an order is refused. `code` is stable, `rule` where the demand comes from, `path` where in it, `remedy` what
    to do, `etsi_code` the number of TS 103 120 Annex D."""

    code: str
    rule: str
    path: str
    remedy: str
    etsi_code: int


class Task(Reply):
    """What is done for one identifier: `target` is its place in the order's list, so that no answer repeats it.

    `rows`: how many the dry run counted; `reason`: why there is nothing.
    """

    task: UUID
    kind: TaskKind
    category: str
    subtype: str | None
    target: int
    period: Period
    status: TaskStatus
    reason: str | None
    rows: int | None
    hold: UUID | None


class Review(Reply):
    """What one person said of one version of the order; void once `order_hash` is not the order's any more."""

    actor: str
    verdict: Literal["approve", "reject"]
    reason_code: str | None
    order_hash: str
    at: datetime


class Order(Reply):
    """Where an order stands. `order_hash` is what an approval signs. `due_at` None: promptly. `errors`: why refused.

    `stage` inside AwaitingDisclosure: approved → counting → stopped (more rows than the book allows without a person's
    word) → collecting → sealed → released; None before and after.
    """

    order: UUID
    authority: str
    instrument: str
    reference: str
    status: OrderStatus
    stage: str | None
    generation: int
    order_hash: str
    emergency: bool
    received_at: datetime
    served_at: datetime
    due_at: datetime | None
    approvals: int
    approvals_needed: int
    errors: list[Fault]
    tasks: list[Task]
    reviews: list[Review]
    package: UUID | None


class OrderFile(Order):
    """`GET /v1/orders/{order}`: with the order's own words, identifiers included. Who read it stands in the ledger."""

    content: PlaceOrder


class OrderLine(Reply):
    order: UUID
    authority: str
    instrument: str
    reference: str
    status: OrderStatus
    stage: str | None
    received_at: datetime
    due_at: datetime | None


class Orders(Reply):
    items: list[OrderLine]
    next: str | None = None


class ReviewOrder(Command):
    """`POST /v1/orders/{order}/reviews`: `order_hash` is the one the reviewer read."""

    order_hash: Sha256
    verdict: Literal["approve", "reject"]
    reason_code: Word | None = None


class CancelOrder(Command):
    """`POST /v1/orders/{order}/cancellation`: by the authority, or by intake with the reference of its message."""

    reason_code: Word
    reference: Line


class CollectOrder(Command):
    """`POST /v1/orders/{order}/collection`. `beyond_cap`: the collector's reason to go on where the count stopped."""

    beyond_cap: Line | None = None


# --- packages ---------------------------------------------------------------------------------------------------------


class DeliveryStatus(StrEnum):
    """DeliveryStatus of TS 103 120; None before a third person released the package."""

    Available = "Available"
    Acknowledged = "Acknowledged"
    Received = "Received"


class Package(Reply):
    """`sha256` and `length` are of the encrypted file; `root` is the Merkle root over the manifest's items, base64."""

    package: UUID
    order: UUID
    root: str
    sha256: str
    length: int
    recipient_kid: str
    sealed_at: datetime
    delivery: DeliveryStatus | None
    deliveries: int


class Packages(Reply):
    items: list[Package]


class AcknowledgePackage(Command):
    """`Acknowledged`: it arrived whole. `Received`: opened and verified. `sha256` of the file as it arrived."""

    status: Literal["Acknowledged", "Received"]
    sha256: Sha256


# --- holds ------------------------------------------------------------------------------------------------------------


class Named(Command):
    """An identifier as the anonymizer knows them: {type: msisdn, value}."""

    type: Word
    value: Line


class AskHolds(Command):
    """`POST /v1/holds/query`. `identifiers` None: everything that is held (a sweep).

    step: the asker is about to commit this step's effect by the answer. It does so within half of the `lease_seconds` it is told,
    or not at all; the settlement of the step ends the lease.
    """

    identifiers: list[Named] | None = Field(default=None, max_length=1000)
    step: UUID | None = None


class Held(Reply):
    """Rows of these identifiers × categories × period leave the ordinary tables into the preserved ones.

    `hold` is opaque: it tells nothing of the order, the authority or the instrument.
    """

    hold: UUID
    identifiers: list[Named]
    categories: list[str]
    period: Period


class Holds(Reply):
    """`lease_seconds`: no order whose hold this answer does not name is acknowledged before these are over or the step settled."""

    holds: list[Held]
    lease_seconds: float | None = None


class Preserved(Command):
    hold: UUID
    count: Annotated[int, Field(ge=0)]


class SettleHolds(Command):
    """`POST /v1/holds/settlements`, after **every** erase step. Repeating it changes nothing."""

    step: UUID
    store: Word
    preserved: list[Preserved] = Field(default=[], max_length=1000)


class Settled(Reply):
    step: UUID


# --- events: of this service's own ledger only ------------------------------------------------------------------------


class CustodyEvent(Reply):
    """Every event of this stream: who did it (staff account, client, or None for the service's own work), and to what.

    Types: authority.registered, .confirmed, authorities.listed · order.received, .refused, .changed, .change_refused,
    .read, .reviewed, .approved, .rejected, .cancelled, .counted, orders.listed · task.moved · collection.started ·
    hold.placed, .ended, .released, holds.asked, .settled · package.sealed, .released, .delivered, .acknowledged, .read,
    packages.listed.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    by: str | None
    client: str | None = None


# --- problems ---------------------------------------------------------------------------------------------------------


class OrderUnknown(NotFound):
    """Also somebody else's order, which looks as if it did not exist (3014)."""

    code, title = "disclosure.order_unknown", "There is no such order"


class YearNotOver(Conflict):
    code, title = "disclosure.year_not_over", "A year is reported on when it is over"


class PackageUnknown(NotFound):
    code, title = "disclosure.package_unknown", "There is no such package"


class AuthorityUnknown(NotFound):
    code, title = "disclosure.authority_unknown", "There is no such authority"


class AuthMismatch(Forbidden):
    """The client that speaks is no client of the authority it speaks for, or no confirmed one (3000)."""

    code, title = "disclosure.auth_mismatch", "This client does not speak for that authority"


class AuthorityExists(Conflict):
    code, title = (
        "disclosure.authority_exists",
        "An authority with this id, or one of its clients, is registered already",
    )


class BadKey(Problem):
    code, status, title = (
        "disclosure.bad_key",
        422,
        "A public EC key for encryption and a JWKS of public keys are needed",
    )


class DuplicateOrder(Conflict):
    """Another submission of the same reference won the race; alone it would be the fault DUPLICATE (3010)."""

    code, title = "disclosure.duplicate_order", "This order is here already"


class StateForbidden(Conflict):
    """3008."""

    code, title = "disclosure.state_forbidden", "Not in the state it is in now"


class StaleGeneration(Conflict):
    """3006: the order was changed since it was read."""

    code, title = "disclosure.stale_generation", "The order was changed meanwhile; read it again"


class FourEyes(Conflict):
    """One person has one duty in an order: intake, approver, collector or releaser."""

    code, title = "disclosure.four_eyes", "This person has acted on this order already; somebody else must"


class DigestDiffers(Conflict):
    code, title = "disclosure.digest_differs", "What arrived is not what was sealed"
