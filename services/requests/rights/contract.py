"""What others may rely on from rights: what a person may ask of the operator, where it stands, and how it was answered.

The way of a request: received → identified → (a deletion: previewed → cooling_off) → executing → checking → answered →
closed. Every move is an event whose data are ids only.
"""

from base64 import urlsafe_b64decode
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from chassis.contract import Contract, Moment
from chassis.errors import Problem
from chassis.ledger.contract import Inclusion
from services.anonymizer.contract import (
    Action,
    Attested,
    Correction,
    Identifier,
    IdentifierType,
    Scope,
    StepState,
    Verb,
    Waiting,
)
from services.registry.contract import RepresentationKey, Text

__all__ = [
    "Action",
    "Attested",
    "Correction",
    "Identifier",
    "IdentifierType",
    "Scope",
    "StepState",
    "Text",
    "Verb",
    "Waiting",
]

Language = Literal["sv", "en"]
Party = Literal["operator", "tenant"]
Note = Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
# Spaces around it don't count where a package is opened, and nobody types control characters there.
Passphrase = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=10, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+$"
    ),
]


class Reply(BaseModel):
    """What we answer: fields may be added inside v1, so readers ignore what they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Kind(StrEnum):
    """The rights; the names are the policy book's."""

    access = "access"
    correction = "correction"
    deletion = "deletion"
    objection = "objection"
    restriction = "restriction"
    portability = "portability"
    withdrawal = "withdrawal"
    damages = "damages"
    human_review = "human_review"
    complaint = "complaint"


class Channel(StrEnum):
    """Where it came in. The clock runs from receipt in any of them, not from typing in. `consent`: nobody asked; a consent was
    withdrawn, and what rested on it alone goes."""

    portal = "portal"
    helpdesk = "helpdesk"
    letter = "letter"
    email = "email"
    telephone = "telephone"
    consent = "consent"


class State(StrEnum):
    """`received`: nobody has proven yet who asks · `clarification`: the identifiers belong to different people, or nobody is known by
    whom staff named ·
    `previewed`: waits for the person's confirmation · `cooling_off`: may still be withdrawn · `deciding`: a person decides ·
    `awaiting_passphrase`: all is collected, and there is nothing yet to lock the package with ·
    `transferring`: the package goes to another operator · `printing`: it is to be printed and posted · `awaiting_fee`: an excessive
    request goes on once it is paid for · `lifting`: a restriction or
    objection is being ended · `duplicate`: the same is asked in an older request · `closed`: our own copies are gone."""

    received = "received"
    clarification = "clarification"
    identified = "identified"
    previewed = "previewed"
    cooling_off = "cooling_off"
    deciding = "deciding"
    executing = "executing"
    checking = "checking"
    awaiting_passphrase = "awaiting_passphrase"
    packing = "packing"
    transferring = "transferring"
    printing = "printing"
    awaiting_fee = "awaiting_fee"
    answered = "answered"
    lifting = "lifting"
    closed = "closed"
    withdrawn = "withdrawn"
    duplicate = "duplicate"


class Matter(StrEnum):
    """What a person decides: whether data are wrong (`correct`), whether our grounds override hers (`weigh`), what an
    investigation found (`investigate`), a claim, review or complaint (`decide`), a refusal of what a rule would grant
    (`refuse`) or do for a fee (`charge`), what another controller says about its own data (`controller`)."""

    correct = "correct"
    weigh = "weigh"
    investigate = "investigate"
    decide = "decide"
    refuse = "refuse"
    charge = "charge"
    controller = "controller"


class Verdict(StrEnum):
    granted = "granted"
    partly = "partly"
    refused = "refused"
    overruled = "overruled"
    stays = "stays"
    lifted = "lifted"
    charged = "charged"


# --- what is asked ---------------------------------------------------------------------------------------------------


class Evidence(Contract):
    """How somebody at the helpdesk made sure who asks. The note is sealed, and ends with the request."""

    method: Literal["call_back", "id_document", "registered_letter", "known_contact"]
    note: Note | None = Field(default=None, repr=False)


class Wish(Contract):
    """What is asked. `purpose`: of a withdrawal or an objection · `ground`: the policy book's key, of a restriction and (if one is
    given) of a deletion · `changes`: of a correction · `text`: in the person's own words; a claim, a complaint or a review is
    nothing without."""

    kind: Kind
    language: Language = "sv"
    text: Note | None = Field(default=None, repr=False)
    purpose: Key | None = None
    ground: Key | None = None
    changes: list[Correction] = Field(default=[], max_length=50, repr=False)

    @model_validator(mode="after")
    def _said(self) -> Self:
        for name in ("purpose", "ground", "changes"):
            if getattr(self, name) and self.kind not in _GIVEN[name]:
                raise ValueError(f"this right has no {name}")
        for name, kinds in _NEEDED.items():
            if self.kind in kinds and not getattr(self, name):
                raise ValueError(f"this right needs {name}")
        return self


_GIVEN = {
    "purpose": {Kind.withdrawal, Kind.objection},
    "ground": {Kind.deletion, Kind.restriction},
    "changes": {Kind.correction},
}
_NEEDED = {
    "purpose": {Kind.withdrawal, Kind.objection},
    "ground": {Kind.restriction},
    "changes": {Kind.correction},
    "text": {Kind.damages, Kind.human_review, Kind.complaint},
}


class Transfer(Contract):
    """To whom a portability package goes directly: an operator of `GET /v1/operators`, and what that operator told the person when
    she opened a reception there. Naming them, in a login of just now, is her consent to this one transfer."""

    operator: Key
    reception: UUID
    code: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{32,64}$")] = Field(repr=False)


class OwnKey(Contract):
    """The public half of a person's key, a JWK on P-256: as her portal or any tool has made it, whatever else it says of itself."""

    model_config = ConfigDict(extra="ignore")

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    y: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]

    @model_validator(mode="before")
    @classmethod
    def _public(cls, given: object) -> object:
        if isinstance(given, dict) and "d" in given:
            raise ValueError(
                "this is the private half, which nobody but you may have: make another key, and send its public half"
            )
        return given

    @model_validator(mode="after")
    def _on_its_curve(self) -> Self:
        x, y = (int.from_bytes(urlsafe_b64decode(f"{each}=")) for each in (self.x, self.y))
        ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        return self


class OpenRequest(Wish):
    """`POST /v1/requests`.

    A person asks for herself: her login proves who she is, the channel is the portal, and receipt is now. The helpdesk
    asks for somebody: it names a principal or identifiers, when and how the request came in, and the evidence of who
    asked.
    """

    scope: Scope | None = None
    passphrase: Passphrase | None = Field(default=None, repr=False)
    key: OwnKey | None = Field(default=None, repr=False)
    transfer: Transfer | None = None
    by_post: bool = False
    channel: Channel = Channel.portal
    received_at: Moment | None = None
    principal: UUID | None = None
    identifiers: list[Identifier] = Field(default=[], max_length=50, repr=False)
    evidence: Evidence | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.channel is Channel.consent:
            raise ValueError("a withdrawn consent is no way in for somebody's request")
        if self.scope is not None and self.scope.recording is None:
            raise ValueError("a person names one recording, or asks for everything")
        if (self.passphrase or self.key) and self.kind not in (Kind.access, Kind.portability):
            raise ValueError("a passphrase or a key locks a package; this right has none")
        if self.passphrase and self.key:
            raise ValueError("a package is locked with a passphrase or for a key, not both")
        if self.transfer is not None and (self.kind is not Kind.portability or self.passphrase or self.key):
            raise ValueError("only a portability package is transferred, and then it needs neither passphrase nor key")
        if self.by_post and (
            self.kind not in (Kind.access, Kind.portability) or self.passphrase or self.key or self.transfer
        ):
            raise ValueError("a package is posted, or locked, or transferred")
        if self.scope is not None and self.kind is not Kind.deletion:
            raise ValueError("only a deletion is limited to one recording")
        if self.principal is not None and self.identifiers:
            raise ValueError("name a principal or identifiers, not both")
        return self


class PostTicket(Wish):
    """`POST /v1/tickets`: what the helpdesk's own system sends when somebody asks there. The same ticket twice is one
    request; while nobody knows who asks, another requester or evidence that comes later counts."""

    ticket: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    received_at: Moment | None = None
    identifiers: list[Identifier] = Field(min_length=1, max_length=50, repr=False)
    evidence: Evidence | None = None


class ZendeskRequester(Contract):
    """Who telephoned or wrote by another channel has no address there; what is not known is empty."""

    email: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = Field(
        default=None, repr=False
    )
    name: Annotated[str, StringConstraints(max_length=200)] | None = Field(default=None, repr=False)
    phone: Annotated[str, StringConstraints(strip_whitespace=True, max_length=50)] | None = Field(
        default=None, repr=False
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.email and not self.phone:
            raise ValueError("who asks has an e-mail address or a telephone number")
        return self


class ZendeskTicket(Contract):
    """The names are Zendesk's; which right it is says one of the tags: `gdpr_access`, `gdpr_deletion`, …; `lang_en` for English."""

    id: int = Field(ge=1, le=10**15)
    subject: Annotated[str, StringConstraints(max_length=500)] = Field(default="", repr=False)
    description: Annotated[str, StringConstraints(max_length=65_000)] = Field(default="", repr=False)
    created_at: Moment
    tags: list[Annotated[str, StringConstraints(max_length=100)]] = Field(max_length=200)
    requester: ZendeskRequester


class ZendeskPost(Contract):
    """`POST /v1/zendesk/tickets`: the body of a webhook that one of the helpdesk's triggers sends. The same ticket again is the same
    request."""

    ticket: ZendeskTicket


class ProveIdentity(Contract):
    """`POST /v1/requests/{id}/identity`: the helpdesk says who asks, and how it knows."""

    identifiers: list[Identifier] = Field(min_length=1, max_length=50, repr=False)
    evidence: Evidence


class AskCode(Contract):
    """`POST /v1/requests/{id}/code`: send a one-time code to this contact, if it is on file for whom the request names. The answer
    is the same if it is not."""

    contact: Identifier = Field(repr=False)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.contact.type not in (IdentifierType.email, IdentifierType.msisdn):
            raise ValueError("a code is sent to an e-mail address or a telephone number")
        if self.contact.from_ is not None or self.contact.to is not None:
            # Whose a number once was is not who answers it now.
            raise ValueError("a code is sent to whom the contact belongs now")
        return self


class CheckCode(Contract):
    """`POST /v1/requests/{id}/code/check`: the code that came."""

    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")] = Field(repr=False)


class RecordMandate(Contract):
    """`POST /v1/mandates`: `agent` may act for `principal` in these rights, in these days (both included), by a row of the policy book's
    `representations`. papers: those of the row's that were seen · born: of the child; kept, sealed, until the consent service knows of its
    guardian · agreed: the child itself agrees."""

    principal: UUID
    agent: UUID
    kinds: list[Kind] = Field(min_length=1, max_length=10)
    basis: RepresentationKey = "authorised"
    papers: list[Key] = Field(default=[], max_length=20)
    born: date | None = Field(default=None, repr=False)
    agreed: bool = False
    valid_from: date | None = None
    valid_to: date | None = None
    evidence: Evidence

    @model_validator(mode="after")
    def _two_people(self) -> Self:
        if self.principal == self.agent:
            raise ValueError("nobody needs a mandate for herself")
        if (self.basis == "guardian") != (self.born is not None):
            raise ValueError("a guardian acts for somebody whose day of birth is named, and nobody else does")
        if self.agreed and self.basis != "guardian":
            raise ValueError("only a child agrees to its guardian")
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError("a mandate ends no earlier than it begins")
        return self


class ConfirmMandate(Contract):
    """`POST /v1/mandates/{id}/confirmation`: another of the staff than who recorded it has looked at its papers. Until then nobody acts by
    it, where `confirmed_by` of the policy book's row says `four_eyes`. papers: those of the row's that were seen."""

    papers: list[Key] = Field(default=[], max_length=20)


class ProtectPerson(Contract):
    """`PUT /v1/people/{principal}/protection`."""

    protected: bool


class SetPassphrase(Contract):
    """`POST /v1/requests/{id}/passphrase`: what the package will open with. Sealed, and destroyed once the package is
    built."""

    passphrase: Passphrase = Field(repr=False)


class SetKey(Contract):
    """`POST /v1/requests/{id}/key`: instead of a passphrase, the key of the person's own that the package is locked for."""

    key: OwnKey = Field(repr=False)


class DrawnPassphrase(Reply):
    """`GET /v1/passphrase`: one that nobody can guess, for whoever asks to keep and to set. We forget it at once; a package it
    locks opens without the second that a person's own words need."""

    passphrase: str = Field(repr=False)


class Confirm(Contract):
    """`POST /v1/requests/{id}/confirm`: the person has seen what will be lost. `preview` is the preview's own digest,
    so that nobody confirms another preview than the one she read. Where only people say that she asked, two of the staff stand
    behind it: another confirms than who made sure who asks, and of what another system brought the first one's word is noted (it
    stays `previewed`) and the second one's counts."""

    preview: str


class AddEvidence(Contract):
    """`POST /v1/requests/{id}/evidence`: a PDF, PNG or JPEG in base64, at most 700,000 bytes and ten of them."""

    content: Annotated[str, StringConstraints(min_length=8, max_length=940_000)] = Field(repr=False)


class Ask(Contract):
    """`POST /v1/requests/{id}/questions`: we cannot go on before the person says who she is, or what she means. The clock
    stands still until then if she is asked without delay."""

    about: Literal["identity", "clarification"]
    text: Text = Field(repr=False)


class Replied(Contract):
    """`POST /v1/requests/{id}/replies`: what the person answers, in her own words."""

    text: Note = Field(repr=False)


class Propose(Contract):
    """`POST /v1/tasks/{task}/proposal`: how it should be decided. `reason`: of a refusal, the policy book's key · `text`: what the
    person is told; of an objection that is overruled, our compelling grounds."""

    verdict: Verdict
    reason: Key | None = None
    text: Text = Field(repr=False)

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if (self.verdict in (Verdict.refused, Verdict.charged)) != (self.reason is not None):
            raise ValueError("a refusal or a fee has a reason of the policy book, and nothing else has")
        return self


class Review(Contract):
    """`POST /v1/tasks/{task}/review`: another person has read exactly this proposal, named by its `digest`."""

    proposal: str
    agreed: bool


class Refuse(Contract):
    """`POST /v1/requests/{id}/refusal`: what a rule would grant is to be refused; another person reviews it."""

    reason: Key
    text: Text = Field(repr=False)


class Charge(Contract):
    """`POST /v1/requests/{id}/fee`: an unfounded or excessive request is dealt with for a fee that covers its cost; another person
    reviews it. `reason`: the policy book's key."""

    reason: Key
    fee_ore: int = Field(gt=0, le=10_000_000)
    text: Text = Field(repr=False)


class Paid(Contract):
    """`POST /v1/requests/{id}/payment`: the fee came in, under this reference of the accounts."""

    reference: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 ./:_-]{1,100}$")]


class Post(Contract):
    """`POST /v1/requests/{id}/posting`, and of a letter `…/letters/{letter}/posting`: it went to the registered address. The proof is a
    reference to where the receipt is filed, and its digest; never the address."""

    posted_on: date
    evidence_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    evidence_at: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 ./:_-]{1,100}$")]


class NameController(Contract):
    """`PUT /v1/controller`: this organisation decides itself about the data of which it is controller, through this contact."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
    contact: Annotated[str, StringConstraints(min_length=3, max_length=200, pattern=r"^[^@\s]+@[^@\s]+$")]


class Extend(Contract):
    """`POST /v1/requests/{id}/extension`: by the policy book's period, for one of its reasons, inside the first period."""

    reason: Key
    text: Text = Field(repr=False)


class PublicKey(Contract):
    """A public JWK: `OKP` and `Ed25519` to sign with, `EC` and `P-256` to seal for."""

    kty: Literal["OKP", "EC"]
    crv: Literal["Ed25519", "P-256"]
    kid: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    x: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    y: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.kty, self.crv, self.y is not None) not in (("OKP", "Ed25519", False), ("EC", "P-256", True)):
            raise ValueError("kty, crv and coordinates do not fit")
        return self


class PutOperator(Contract):
    """`PUT /v1/operators/{operator}`: another operator that runs this interface. Its keys are those of its `GET /v1/portability`, checked
    by whoever registers them over a way of her own."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
    url: Annotated[str, StringConstraints(max_length=200, pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$")]
    signing: PublicKey
    sealing: PublicKey

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.signing.kty != "OKP" or self.sealing.kty != "EC":
            raise ValueError("an operator signs with Ed25519, and P-256 is sealed for")
        return self


class OpenReception(Contract):
    """`POST /v1/receptions`: what this other operator has about me may come here."""

    operator: Key


Statement = Annotated[
    str, StringConstraints(max_length=20_000, pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")
]


class HandPart(Contract):
    """`PUT /v1/receptions/{reception}/parts/{part}`, by the other operator: one part in base64, and its signed word that it is its:
    {reception, part, sha256}."""

    handing: Statement = Field(repr=False)
    content: Annotated[str, StringConstraints(min_length=4, max_length=720_000)] = Field(repr=False)


class HandOver(Contract):
    """`POST /v1/receptions/{reception}/end`, by the other operator: {reception, code, parts, bytes, sha256, key}, signed."""

    handing: Statement = Field(repr=False)


# --- where it stands -------------------------------------------------------------------------------------------------


class Paused(Reply):
    """The clock stood still between these days, if we asked without delay (`counts`)."""

    about: Literal["identity", "clarification", "fee"]
    asked_on: date
    answered_on: date | None
    counts: bool


class Clock(Reply):
    """One period that runs. `party`: who owes the answer. `due_on` moves when a pause ends and when it is extended."""

    clock: Literal["answer", "investigation"]
    party: Party
    received_on: date
    due_on: date
    running: bool
    pauses: list[Paused] = []
    extended: bool = False
    extension_reason: str | None = None
    ended_at: datetime | None = None


class Posted(Reply):
    """Who posted it to the registered address, when, and what proves it."""

    by: str
    posted_on: date
    evidence_sha256: str
    evidence_at: str


class Letter(Reply):
    """One piece of correspondence, either way. `problem`: why it could not be sent yet."""

    letter: UUID
    direction: Literal["in", "out"]
    template: str
    language: Language
    made_at: datetime
    subject: str
    body: str
    state: Literal["kept", "queued", "sent", "failed"]
    problem: str | None = None
    sent_at: datetime | None = None
    posted: Posted | None = None


class Letters(Reply):
    items: list[Letter]


class Step(Reply):
    """One thing done in one store. `problem`: why the last try failed, as the code of its Problem; it is tried again at
    `next_at`.

    `waiting`: a person does it by hand, or a vendor has promised a day.

    `deferred`: a rule still keeps something; erased by itself on `due_on` or when the rule's reason ends.
    """

    step: UUID
    store: str
    label: Text
    verb: str
    state: Literal["pending", "running", "waiting", "done", "failed", "deferred"]
    round: int
    tries: int
    problem: str | None = None
    next_at: datetime | None = None
    due_on: date | None = None
    waiting: Waiting | None = None


class Package(Reply):
    """The locked file of an access request. `sha256` is the file's, in hexadecimal."""

    bytes: int
    sha256: str
    expires_at: datetime
    deleted_at: datetime
    downloads_left: int


class Request(Reply):
    """`due_on`: the last day for the answer, counted by Regulation 1182/71. `executes_at`: when a confirmed deletion
    begins, and until when it may be withdrawn; of a restriction that ends, when it is lifted. `party`: who decides and answers;
    `part_of`: the request of which this is the part that another controller answers. `handed_over_at`: since when another operator has
    the key to what was asked for, whether it says that it has it or not: who withdraws now takes nothing back from there."""

    request: UUID
    kind: Kind
    channel: Channel
    language: Language
    state: State
    received_at: datetime
    recorded_at: datetime
    due_on: date
    principal: UUID | None
    party: Party = "operator"
    part_of: UUID | None = None
    duplicate_of: UUID | None = None
    purpose: str | None = None
    ground: str | None = None
    outcome: Verdict | None = None
    agent: UUID | None = None
    ticket: str | None = None
    fee_ore: int | None = None
    by_post: bool = False
    scope: Scope | None = None
    handed_over_at: datetime | None = None
    executes_at: datetime | None = None
    answered_at: datetime | None = None
    closed_at: datetime | None = None
    package: Package | None = None
    steps: list[Step] = []
    clocks: list[Clock] = []


class Requests(Reply):
    items: list[Request]
    next: str | None = None


class PreviewLine(Reply):
    """What would happen to one kind of data in one store, as it is known there now."""

    store: str
    label: Text
    table: str
    category: str
    action: Action
    rule: str
    reason: Text
    legal_ref: str
    until: date | None = None
    count: int


class Preview(Reply):
    """`erased` and `kept` are numbers of records; `warning` is what the person must have read. `digest` names this
    preview."""

    request: UUID
    erased: int
    kept: int
    lines: list[PreviewLine]
    warning: Text
    digest: str


class AnswerLine(Reply):
    """What was done with one kind of data, and what is kept by which rule until when. It carries no counts."""

    store: str
    label: Text
    category: str
    action: Action
    rule: str
    reason: Text
    legal_ref: str
    until: date | None = None


class Refusal(Reply):
    """Why it was refused, by which law; how to complain stands in the answer's `complaint`."""

    reason: str
    label: Text
    legal_ref: str


class Task(Reply):
    """Something a person decides. `digest` names the proposal that waits for another person's review."""

    task: UUID
    request: UUID
    kind: Kind
    matter: Matter
    party: Party
    eyes: int
    state: Literal["open", "proposed", "decided", "void"]
    due_on: date
    verdict: Verdict | None = None
    reason: str | None = None
    text: Text | None = None
    fee_ore: int | None = None
    digest: str | None = None
    proposed_by: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


class Tasks(Reply):
    items: list[Task]
    next: str | None = None


WaitsFor = Literal["identity", "person", "decision", "by_hand", "post", "operator", "store", "nobody"]


class WorkItem(Reply):
    """A clock that runs for a request. `waits_for`: `identity`, who asks is to be made sure of; `person`, she was asked, or is to confirm,
    to pay or to set a passphrase; `decision`, a task is open; `by_hand`, a source's owner; `post`, what is to be printed and posted;
    `operator`, another one is to take it; `store`, one that is down; `nobody`, it goes on by itself. days_left: below 0 it is
    overdue; None while the person is awaited and the clock stands still."""

    request: UUID
    clock: Literal["answer", "investigation"]
    kind: Kind
    state: State
    channel: Channel
    ticket: str | None
    party: Party
    received_on: date
    due_on: date
    days_left: int | None
    waits_for: WaitsFor


class Worklist(Reply):
    """`GET /v1/worklist`: what is open in the caller's organisation, by the day on which it is due. `open`: how many of all wait for
    whom, `overdue`: how many of all."""

    today: date
    open: dict[WaitsFor, int]
    overdue: int
    items: list[WorkItem]
    next: str | None = None


class EvidenceAdded(Reply):
    """`GET /v1/requests/{id}/evidence/{file}` gives it to whoever decides, as an attachment that no browser runs."""

    file: UUID
    kind: Literal["pdf", "png", "jpeg"]
    bytes: int
    added_at: datetime


class EvidenceFiles(Reply):
    items: list[EvidenceAdded]


class MonthOfKind(Reply):
    """`median_days`: from receipt to the answer · `overdue`: open at the month's end, after their day. Of a request that another controller has a
    part of, both parts are counted: each has its answer and its clock."""

    kind: Kind
    received: int
    answered: int
    median_days: float | None
    answered_late: int
    overdue: int
    refused: dict[str, int]


class MonthReport(Reply):
    """`GET /v1/reports/{month}`, of the caller's organisation."""

    month: str
    kinds: list[MonthOfKind]


class CodeAsked(Reply):
    """If the contact is on file, a code is on its way, and counts until then."""

    request: UUID
    expires_at: datetime


class CodeChecked(Reply):
    request: UUID
    proven: bool


class Mandate(Reply):
    """`recorded_by` `consent`: a guardian whom the consent service knows. `waiting`: nobody acts by it before another of the staff than
    `vouched_by` has looked at its papers; of whom nobody vouched for, two of them."""

    mandate: UUID
    basis: RepresentationKey
    principal: UUID
    agent: UUID
    kinds: list[Kind]
    valid_from: date
    valid_to: date | None
    recorded_by: str
    recorded_at: datetime
    waiting: bool
    vouched_by: str | None
    confirmed_by: str | None
    revoked_at: datetime | None


class Mandates(Reply):
    items: list[Mandate]
    next: str | None = None


class Protection(Reply):
    principal: UUID
    protected: bool


class Controller(Reply):
    """Who decides about the data of which the operator is not controller."""

    name: str
    contact: str
    named_at: datetime


class Recipient(Reply):
    """Who received data of this kind and was told what became of them, Art. 19."""

    recipient: str
    label: Text


class ByHand(Reply):
    """What a person did in a source that no machine reaches: who says so, when, and the digest of the scan that shows it."""

    store: str
    label: Text
    attested: Attested


class Found(Reply):
    """How many records of each table an access request found in one store."""

    store: str
    label: Text
    counts: dict[str, int]


class Transferred(Reply):
    """To whom the package went: `receipt` is that operator's signed word (compact JWS, Ed25519) that all of it came and opens."""

    operator: str
    name: str
    bytes: int
    sha256: str
    receipt: str


class OtherOperator(Reply):
    operator: str
    name: str
    url: str
    registered_at: datetime


class OtherOperators(Reply):
    items: list[OtherOperator]


class Portability(Reply):
    """`GET /v1/portability`: what another operator registers of this one."""

    format: str
    name: str
    signing: PublicKey
    sealing: PublicKey


class ReceptionOpened(Reply):
    """`code` is told this once; the person gives it and `reception` to the operator that has her data."""

    reception: UUID
    code: str
    expires_at: datetime


class Reception(Reply):
    """`ends_at`: until when it is waited for, or when what came is deleted here."""

    reception: UUID
    operator: str
    state: Literal["open", "receiving", "received", "closed"]
    opened_at: datetime
    ends_at: datetime
    received_at: datetime | None
    bytes: int | None
    sha256: str | None


class Received(Reply):
    """The recipient's receipt: {reception, parts, bytes, sha256, received_at}, signed."""

    receipt: str


class Answer(Reply):
    """`GET /v1/requests/{id}/answer`. `clauses` are the same in every answer of a kind: they say nothing about this
    person. `controller`: who answers. `text`: what was decided in words, while we still keep it; of an objection that was
    overruled, the compelling grounds."""

    request: UUID
    kind: Kind
    language: Language
    received_at: datetime
    due_on: date
    answered_at: datetime
    controller: str = ""
    outcome: Verdict = Verdict.granted
    refusal: Refusal | None = None
    text: str | None = None
    outcomes: list[AnswerLine] = []
    recipients: list[Recipient] = []
    by_hand: list[ByHand] = []
    found: list[Found] = []
    transferred: Transferred | None = None
    posted: Posted | None = None
    backups_until: date | None = None
    """The last day on which a backup may still have what was erased."""
    clauses: list[Text]
    complaint: Text


class Certificate(Reply):
    """`GET /v1/requests/{id}/certificate`, checked offline by `certificate.verify` with the keys of rights' `/keys`.

    `jws` (compact, Ed25519) signs the answer in canonical JSON; `inclusion` proves the ledger's `request.answered`,
    whose data hold the SHA-256 of `jws`.
    """

    jws: str
    inclusion: Inclusion


class TicketTaken(Reply):
    ticket: str
    request: UUID


# --- events (CloudEvents types; `subject` is the principal once known) -----------------------------------------------


class RequestMoved(Reply):
    """Every `request.*` event but `step_done`, `answered`: which request, of which kind, where it stands now. `by`: who made sure who
    asks, confirmed or withdrew it for the person."""

    request: UUID
    kind: Kind
    state: State
    due_on: date
    ticket: str | None = None
    by: str | None = None


class RequestStepDone(Reply):
    """`request.step_done`: one store is finished with one verb."""

    request: UUID
    step: UUID
    store: str
    verb: str


class TaskMoved(Reply):
    """`request.proposed`, `.sent_back`, `.decided`: by whom of the staff, and what; never the words."""

    request: UUID
    task: UUID
    matter: Matter
    verdict: Verdict | None = None
    by: str


class RecipientTold(Reply):
    """`recipient.told`: whoever received data of these categories is to do the same with them (Art. 19). `step`: by which what a
    rule had kept went later, after the answer."""

    request: UUID
    recipient: str
    done: Literal["erased", "corrected", "restricted", "unrestricted"]
    categories: list[str]
    step: UUID | None = None


class MandateMoved(Reply):
    """`mandate.recorded`, `mandate.vouched`, `mandate.confirmed`, `mandate.revoked`; the subject is for whom somebody may act. waiting: not
    yet."""

    mandate: UUID
    agent: UUID
    basis: RepresentationKey = "authorised"
    kinds: list[Kind]
    by: str
    waiting: bool = False


class PersonMoved(Reply):
    """`person.protected`, `person.unprotected`."""

    by: str


class ControllerNamed(Reply):
    """`controller.named`: by whom of the organisation."""

    by: str


class ClockTold(Reply):
    """`request.reminder`, `request.escalation`, `request.overdue`: an answer is due soon, very soon, or was due."""

    request: UUID
    clock: str
    party: Party
    due_on: date


class RequestAnswered(RequestMoved):
    """`request.answered`: `certificate_sha256` ties the signed certificate to the ledger."""

    certificate_sha256: str


class RequestHandedOver(RequestMoved):
    """`request.handed_over`: the last word goes out, and with it the key to what was sent; in the ledger before it goes."""

    operator: str
    bytes: int
    sha256: str


class RequestTransferred(RequestMoved):
    """`request.transferred`: what of a person went to another operator, by its digest and that of the other's receipt."""

    operator: str
    sha256: str
    receipt_sha256: str


class PackagePosted(RequestMoved):
    """`request.printed`, `request.posted`: by whom of the staff."""

    by: str


class EvidenceRead(Reply):
    """`evidence.read`: which file of a request, by whom of the staff."""

    request: UUID
    file: UUID
    by: str


class LettersRead(Reply):
    """`letters.read`: which of a request's letters, by whom of the staff."""

    request: UUID
    letters: list[UUID]
    by: str


class ReceptionRead(Reply):
    """`reception.read`: what another operator brought for somebody, by whom of the staff."""

    reception: UUID
    by: str


class FeePaid(RequestMoved):
    """`request.paid`."""

    fee_ore: int
    by: str


class OperatorRegistered(Reply):
    """`operator.registered`: with these keys from now on."""

    operator: str
    kids: list[str]
    by: str


class ReceptionMoved(Reply):
    """`reception.opened`, `.received`, `.closed`; the subject is whose data they are."""

    reception: UUID
    operator: str
    sha256: str | None = None


EVENTS: dict[str, type[Reply]] = {
    "request.handed_over": RequestHandedOver,
    "request.transferred": RequestTransferred,
    "request.printing": RequestMoved,
    "request.printed": PackagePosted,
    "request.posted": PackagePosted,
    "request.awaiting_fee": RequestMoved,
    "request.paid": FeePaid,
    "operator.registered": OperatorRegistered,
    "reception.opened": ReceptionMoved,
    "reception.received": ReceptionMoved,
    "reception.closed": ReceptionMoved,
    "reception.read": ReceptionRead,
    "evidence.read": EvidenceRead,
    "letters.read": LettersRead,
    "request.received": RequestMoved,
    "request.identified": RequestMoved,
    "request.named_anew": RequestMoved,
    "request.vouched": RequestMoved,
    "request.clarification_needed": RequestMoved,
    "request.previewed": RequestMoved,
    "request.awaiting_passphrase": RequestMoved,
    "request.confirmed": RequestMoved,
    "request.withdrawn": RequestMoved,
    "request.executing": RequestMoved,
    "request.step_done": RequestStepDone,
    "request.answered": RequestAnswered,
    "request.closed": RequestMoved,
    "request.deferred_erased": RequestStepDone,
    "request.deciding": RequestMoved,
    "request.proposed": TaskMoved,
    "request.sent_back": TaskMoved,
    "request.decided": TaskMoved,
    "request.lifting": RequestMoved,
    "request.duplicate": RequestMoved,
    "controller.named": ControllerNamed,
    "recipient.told": RecipientTold,
    "mandate.recorded": MandateMoved,
    "mandate.vouched": MandateMoved,
    "mandate.confirmed": MandateMoved,
    "mandate.revoked": MandateMoved,
    "person.protected": PersonMoved,
    "person.unprotected": PersonMoved,
    "request.paused": RequestMoved,
    "request.resumed": RequestMoved,
    "request.extended": RequestMoved,
    "request.reminder": ClockTold,
    "request.escalation": ClockTold,
    "request.overdue": ClockTold,
}


# --- problems --------------------------------------------------------------------------------------------------------


class RequestUnknown(Problem):
    """Also what another person's or another tenant's request looks like."""

    code = "rights.request_unknown"
    status = 404
    title = "No such request"


class ReceivedInFuture(Problem):
    code = "rights.received_in_future"
    status = 409
    title = "A request cannot have been received later than now"


class PersonNotNamed(Problem):
    code = "rights.person_not_named"
    status = 409
    title = "Say whose request it is, and how you know"


class NotNow(Problem):
    """`state` in the body says where the request stands."""

    code = "rights.not_now"
    status = 409
    title = "This cannot be done where the request stands now"


class StepUpNeeded(Problem):
    """RFC 9470: `max_age` or `acr_values` in the body say what login is enough."""

    code = "rights.step_up_needed"
    status = 401
    title = "Log in again, or with a stronger means"
    headers = {"WWW-Authenticate": 'Bearer error="insufficient_user_authentication"'}


class MandateUnknown(Problem):
    code = "rights.mandate_unknown"
    status = 404
    title = "No such mandate"


class MandateRefused(Problem):
    """By the policy book. In the body: `papers` that are to be seen yet, `rights` in which somebody may act so."""

    code = "rights.mandate_refused"
    status = 409
    title = "Nobody may act for this person so"


class AnotherLooks(Problem):
    """Nobody acts for somebody else on the word of one of the staff alone."""

    code = "rights.another_looks"
    status = 409
    title = "Another of the staff than who recorded this mandate looks at its papers"


class EvidenceRefused(Problem):
    code = "rights.evidence_refused"
    status = 409
    title = "This cannot be taken as evidence"


class TicketAsksOther(Problem):
    """`request`, `kind`: what the ticket asked for when it came first."""

    code = "rights.ticket_asks_other"
    status = 409
    title = "The ticket asks for something else than before: open another one, or have it typed in"


class TicketNamesOther(Problem):
    """`request`: the ticket's, which is another person's or is under way."""

    code = "rights.ticket_names_other"
    status = 409
    title = (
        "Who asks was made sure of already: for another requester open another ticket, or say at the request who asks"
    )


class TagMissing(Problem):
    """`tags` in the body are those that name a right."""

    code = "rights.tag_missing"
    status = 409
    title = "Exactly one tag says which right the ticket is about"


class TaskUnknown(Problem):
    code = "rights.task_unknown"
    status = 404
    title = "No such task"


class NotYours(Problem):
    code = "rights.not_yours"
    status = 403
    title = "Somebody with another role decides this"


class SamePerson(Problem):
    code = "rights.same_person"
    status = 409
    title = "Another person than who proposed it reviews it"


class TaskMovedOn(Problem):
    """`state` in the body says where the task stands."""

    code = "rights.task_moved_on"
    status = 409
    title = "The task is not where this would meet it; read it again"


class VerdictUnfit(Problem):
    """`verdicts` in the body are those that fit."""

    code = "rights.verdict_unfit"
    status = 409
    title = "This is not decided that way"


class PurposeUnknown(Problem):
    code = "rights.purpose_unknown"
    status = 409
    title = "The policy book has no such purpose"


class GroundUnknown(Problem):
    """`grounds` in the body are those of this right."""

    code = "rights.ground_unknown"
    status = 409
    title = "The policy book has no such ground for this right"


class ElementUnknown(Problem):
    code = "rights.element_unknown"
    status = 409
    title = "The policy book has no such element of data"


class NoController(Problem):
    code = "rights.no_controller"
    status = 404
    title = "This organisation has named nobody"


class CannotExtend(Problem):
    code = "rights.cannot_extend"
    status = 409
    title = "This period cannot be extended (any more)"


class ReasonUnknown(Problem):
    code = "rights.reason_unknown"
    status = 409
    title = "The policy book has no such reason"


class OperatorUnknown(Problem):
    code = "rights.operator_unknown"
    status = 409
    title = "No such operator is registered here"


class ReceptionUnknown(Problem):
    """Also what somebody else's reception looks like, one that is over, and one that another operator was meant for."""

    code = "rights.reception_unknown"
    status = 404
    title = "No such reception"


class CannotPost(Problem):
    code = "rights.cannot_post"
    status = 409
    title = "Nothing is posted to a protected identity; the tax agency forwards it"


class CannotCharge(Problem):
    """`reasons` and `most` in the body are what the policy book allows."""

    code = "rights.cannot_charge"
    status = 409
    title = "No such fee can be charged"


class LetterUnknown(Problem):
    code = "rights.letter_unknown"
    status = 404
    title = "No such letter"


class HandingRefused(Problem):
    """What was handed over is not what the statement about it says, or does not open. Nothing of it is kept."""

    code = "rights.handing_refused"
    status = 409
    title = "This was not handed over whole"


class PreviewOutdated(Problem):
    code = "rights.preview_outdated"
    status = 409
    title = "The preview is another one by now; read it again"


class TooManyOpen(Problem):
    """`open` in the body are the requests that this login has open for this person, `most` how many it may have."""

    code = "rights.too_many_open"
    status = 409
    title = "As many requests are open as one person may have at once"


class AnotherConfirms(Problem):
    """Nothing that cannot be undone is done on the word of one of the staff, or of a system alone."""

    code = "rights.another_confirms"
    status = 409
    title = "Another of the staff than who made sure who asks confirms it, or she herself where she logs in"


class NotAnswered(Problem):
    code = "rights.not_answered"
    status = 409
    title = "The request is not answered yet"


class PackageGone(Problem):
    code = "rights.package_gone"
    status = 410
    title = "The package is no longer kept; ask again"


class DownloadsUsed(Problem):
    code = "rights.downloads_used"
    status = 410
    title = "The package was downloaded as often as it may be"


class ProofPending(Problem):
    code = "rights.proof_pending"
    status = 503
    title = "The ledger has not reached this answer yet; try again"
    headers = {"Retry-After": "1"}
