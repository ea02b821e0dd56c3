"""What others may rely on from the consent service: notices, what people said, their standing, and one question answered.

A *statement* is what a person said, or what was decided for her: a consent given or withdrawn, an objection (Art. 21), a
restriction (Art. 18). Statements are only ever added; the *standing* is what they add up to. What was said later counts, and at
the same instant the withdrawal does, in whatever order statements arrive.
"""

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chassis.contract import Contract, Moment
from chassis.errors import Conflict, Problem
from chassis.ledger.contract import CloudEvent, Inclusion

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]
# It becomes a link on a page: nothing that a browser would run.
Address = Annotated[str, StringConstraints(pattern=r"^(https?://|mailto:|tel:)[^\s\x00]+$", max_length=500)]
Prose = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Language = Literal["sv", "en"]
# To where every period of a book can still be added to it.
Day = Annotated[date, Field(lt=date(2900, 1, 1))]


class Command(Contract):
    """What a caller sends: strict, and an unknown field is a mistake."""


class Reply(BaseModel):
    """What we answer: fields may be added inside v1, so readers ignore what they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Regulation(StrEnum):
    """Under which law a consent was given. One regulation's statement never overwrites another's."""

    gdpr = "gdpr"
    eprivacy = "eprivacy"


class Kind(StrEnum):
    consent = "consent"
    objection = "objection"
    restriction = "restriction"


class State(StrEnum):
    """A consent's states are those of ISO/IEC TS 27560 (in the DPV's words), and `lifted`, `overruled`… those of the other kinds.

    requested, deferred: asked, not answered yet; never a basis, and never in the way of an answer · revoked: ended by whoever
    answers for it, invalidated: found never to have counted · unknown: taken over without proof of what was said.
    """

    given = "given"
    renewed = "renewed_given"
    withdrawn = "withdrawn"
    requested = "requested"
    deferred = "request_deferred"
    refused = "refused"
    revoked = "revoked"
    expired = "expired"
    invalidated = "invalidated"
    unknown = "unknown"
    raised = "raised"
    overruled = "overruled"
    set = "set"
    lifted = "lifted"


# --- notices -----------------------------------------------------------------------------------------------------------


class Words(Command):
    """What a person reads. `consequence`: what refusing or withdrawing means for the service."""

    title: Line
    body: Prose
    rights: Prose
    consequence: Prose


class NoticePurpose(Command):
    """A purpose the notice explains, and the categories (or elements) of the policy book it speaks of."""

    purpose: Key
    categories: Annotated[list[Key], Field(min_length=1, max_length=100)]


class Party(Command):
    """Who answers for the processing: its register number, postal address and where people turn."""

    id: Line
    address: Line
    contact: Line


class PublishNotice(Command):
    """`POST /v1/notices`: the next version of the notice `notice`. A published version never changes.

    party: the controller's particulars; the operator's own stand in the policy book.
    """

    notice: Key
    channel: Literal["web", "app", "ivr", "agent_script"]
    texts: Annotated[dict[Language, Words], Field(min_length=1)]
    controller: Line
    purposes: Annotated[list[NoticePurpose], Field(min_length=1, max_length=50)]
    withdrawal_url: Address
    party: Party | None = None
    valid_from: Moment | None = None
    valid_to: Moment | None = None


class Notice(Reply):
    """One version of a notice. `sha256`: of the RFC 8785 canonical JSON of what was published, version included; `content_sha256`: of
    the words in each language alone. It is in force from `valid_from` until `valid_to` or until a later version is."""

    notice: str
    version: int
    channel: str
    texts: dict[str, Words]
    controller: str
    purposes: list[NoticePurpose]
    withdrawal_url: str
    party: Party | None = None
    valid_from: datetime
    valid_to: datetime | None
    supersedes: int | None
    sha256: str
    content_sha256: dict[str, str]
    published_at: datetime
    published_by: str


class Notices(Reply):
    items: list[Notice]


# --- what people say ---------------------------------------------------------------------------------------------------


Method = Literal["web_form", "app", "keypress", "spoken", "agent", "paper"]
# An address in the operator's own archive (a recording, a scanned form); never somebody's number or name.
EvidenceRef = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/-]{1,200}$")]


class GiveConsent(Command):
    """`POST /v1/consents`. A person speaks for herself and leaves `principal` out; a guardian names the child.

    expression: `parental` is a guardian's word for a child below the policy book's age · guardian: who gave it, where she did so on paper
    or by telephone and not with a login of her own · service: of the policy book · occurred_at: when she said it, if that was before now (a call, a paper form); the notice version must have been in force then.
    """

    purpose: Key
    notice: Key
    notice_version: Annotated[int, Field(ge=1, le=1_000_000)]
    principal: UUID | None = None
    regulation: Regulation = Regulation.gdpr
    language: Language = "sv"
    method: Method = "web_form"
    expression: Literal["expressed", "explicit", "parental"] = "expressed"
    guardian: UUID | None = None
    service: Key | None = None
    evidence_ref: EvidenceRef | None = None
    occurred_at: Moment | None = None


class RefuseConsent(Command):
    """`POST /v1/refusals`: she was asked and said no, or with `later` that she will say it another time."""

    purpose: Key
    notice: Key
    notice_version: Annotated[int, Field(ge=1, le=1_000_000)]
    principal: UUID | None = None
    regulation: Regulation = Regulation.gdpr
    language: Language = "sv"
    method: Method = "web_form"
    later: bool = False
    occurred_at: Moment | None = None


class Vouched(Command):
    """Only people's word says that she withdrew. by: who of the staff made sure of it; nobody where another system says so."""

    by: str | None = None


class WithdrawConsent(Command):
    """`POST /v1/withdrawals`: as easy as giving. Answered when no decision point can say yes any more. vouched: where a system tells what
    it has on somebody's word; of what staff say here it is they themselves."""

    purpose: Key
    principal: UUID | None = None
    regulation: Regulation = Regulation.gdpr
    method: Method = "web_form"
    occurred_at: Moment | None = None
    vouched: Vouched | None = None


class AskConsent(Command):
    """`POST /v1/asks`: she is about to be asked. Refused while a no of hers is younger than the book's `re_ask_after` of the purpose."""

    purpose: Key
    notice: Key
    notice_version: Annotated[int, Field(ge=1, le=1_000_000)]
    principal: UUID
    regulation: Regulation = Regulation.gdpr
    language: Language = "sv"
    method: Method = "web_form"


class EndConsent(Command):
    """`POST /v1/invalidations`: ended by whoever answers for it (`revoked`), or found never to have counted (`invalidated`)."""

    purpose: Key
    principal: UUID
    state: Literal["revoked", "invalidated"]
    legal_ref: Line
    regulation: Regulation = Regulation.gdpr


class SetGuardian(Command):
    """`PUT /v1/guardians/{principal}`: who speaks for this child, beside whoever else does, until she has the policy book's age;
    forgotten on that day. until: the last day, if the guardianship ends before · born: null where nobody knows it any more; until
    somebody records it, neither she nor her guardians say yes. Whom one of the staff records speaks once another has recorded the same,
    or has looked at the papers in rights, if the policy book's `confirmed_by` of guardians wants it."""

    guardian: UUID
    born: Day | None
    evidence_ref: EvidenceRef
    until: Day | None = None


class EndGuardian(Command):
    """`POST /v1/guardians/{principal}/end`: speaks for this child no more."""

    guardian: UUID


class Guardian(Reply):
    principal: UUID
    guardian: UUID
    of_age_on: date | None
    waiting: bool = False
    event: UUID


class GuardianEnded(Reply):
    principal: UUID
    guardian: UUID
    event: UUID


class Consequence(Reply):
    """`GET /v1/consequences/{purpose}?principal=`: what withdrawing means, to be shown before.

    without: of the service, in the policy book's words · notice: in the words she read, where she consented · erased: what is
    erased because it rests on this consent alone: at once where she says it herself, else once another of the staff confirmed it.
    """

    purpose: str
    label: dict[str, str]
    without: dict[str, str] | None
    notice: dict[str, str] | None
    standing: State | None
    erased: list[str]


class NoWords(Command):
    """An empty object: the header says it all."""


class Signalled(Reply):
    """`POST /v1/signals` with `Sec-GPC: 1`: the objections that a browser's signal stands for now."""

    objections: list["Recorded"]


class SetObjection(Command):
    """`PUT /v1/standing/{principal}/objections/{purpose}`: raised, lifted by her, or overruled by compelling grounds.

    `case`: the request of hers that it answers. Cases stand side by side: what one ends, another holds up, and the answer's
    state says what stands now. The same put again changes nothing. Without a case it ends them all.
    """

    state: Literal["raised", "lifted", "overruled"]
    case: UUID | None = None
    occurred_at: Moment | None = None


class SetRestriction(Command):
    """`PUT /v1/standing/{principal}/restriction`: set on a ground of Art. 18(1)(a) to (d), or lifted. `case`: see `SetObjection`."""

    state: Literal["set", "lifted"]
    ground: Literal["accuracy", "unlawful", "claims", "objection"] | None = None
    case: UUID | None = None
    occurred_at: Moment | None = None


class SetDuty(Command):
    """`PUT /v1/duties/{purpose}`: the law obliges this organisation to record (investment services, emergency lines), or no more."""

    state: Literal["recorded", "ended"]
    legal_ref: Line


class Duty(Reply):
    purpose: str
    state: Literal["recorded", "ended"]
    legal_ref: str
    since: datetime
    event: UUID


class Recorded(Reply):
    """One statement as it stands in the record.

    sequence: counts the statements of this person on this matter · current: whether it decides her standing now (a late arrival
    may not) · valid_until: when a consent lapses · receipt: JWS over its canonical JSON, see `Receipt`; null in a listing, for it is
    made anew when `GET /v1/receipts/{record}` asks for it · event: its entry in the ledger.
    """

    record: UUID
    principal: UUID
    kind: Kind
    regulation: Regulation
    purpose: str
    state: State
    sequence: int
    current: bool
    notice: str | None = None
    notice_version: int | None = None
    occurred_at: datetime
    recorded_at: datetime
    valid_until: datetime | None = None
    receipt: str | None = None
    event: UUID


class Records(Reply):
    """`GET /v1/consents?principal=&after=&limit=`: everything she ever said, newest first."""

    items: list[Recorded]
    next: str | None = None


class StandingConsent(Reply):
    regulation: Regulation
    purpose: str
    state: State
    since: datetime
    record: UUID
    notice: str | None
    notice_version: int | None
    valid_until: datetime | None


class StandingObjection(Reply):
    purpose: str
    state: State
    since: datetime
    record: UUID


class StandingRestriction(Reply):
    state: State
    since: datetime
    record: UUID


class Standing(Reply):
    """`GET /v1/standing/{principal}?as_of=`: what her statements add up to, now or as it was known at an instant.

    Nobody's standing is empty, not missing.
    """

    principal: UUID
    consents: list[StandingConsent]
    objections: list[StandingObjection]
    restriction: StandingRestriction | None


# --- consent by an open API (CAMARA ConsentInfo) -----------------------------------------------------------------------


class RetrieveStatus(BaseModel):
    """`POST /consent-info/v0.2/retrieve`: may these scopes be used for this purpose, and where can she be asked?"""

    model_config = ConfigDict(strict=True)

    phoneNumber: Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{4,14}$")] | None = Field(None, repr=False)
    scopes: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(min_length=1, max_length=50)
    ]
    purpose: Annotated[str, StringConstraints(pattern=r"^dpv:[a-zA-Z0-9]+$", max_length=200)]
    requestCaptureUrl: bool
    callbackUrl: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None


class StatusInfo(BaseModel):
    scopes: list[str]
    purpose: str
    statusValidForProcessing: bool
    statusReason: Literal["PENDING", "REQUESTED", "DENIED", "EXPIRED", "OBJECTED"] | None = None
    expirationDate: datetime | None = None


class RetrievedStatus(BaseModel):
    statusInfo: list[StatusInfo]
    captureUrl: str | None = None


CONSENT_INFO = "/consent-info/v0.2/retrieve"
_CORRELATOR = re.compile(r"[a-zA-Z0-9-_:;./<>{}]{0,256}")
_SAID_BY_CAMARA = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL",
    502: "BAD_GATEWAY",
    503: "UNAVAILABLE",
}


class CamaraError(BaseModel):
    """CAMARA's own shape of a refusal."""

    status: int
    code: str
    message: str


def camara_answer(request: Request, said: dict[str, Any], status: int = 200) -> Response:
    """With the caller's correlator."""
    given = request.headers.get("x-correlator")
    echoed = {"x-correlator": given} if given is not None and _CORRELATOR.fullmatch(given) else {}
    return JSONResponse(said, status, echoed)


def camara_refusal(request: Request, problem: Problem) -> Response:
    """Of the house's own, at `CONSENT_INFO`, by whichever process it is refused."""
    status = problem.status if problem.status in _SAID_BY_CAMARA else 400
    told = CamaraError(
        status=status,
        code=_SAID_BY_CAMARA.get(status, "INVALID_ARGUMENT"),
        message=f"{problem.title}. {problem.detail}".strip(),
    )
    answer = camara_answer(request, told.model_dump(), status)
    answer.headers.update(problem.headers)
    return answer


class SetCallbacks(Command):
    """`PUT /v1/callbacks/{client}`: every address to which this client may have people sent back, compared character by character.

    https, or this machine's own loopback, or an app's own scheme.
    """

    urls: Annotated[
        list[Annotated[str, StringConstraints(min_length=8, max_length=500, pattern=r"^[!-~]+$")]], Field(max_length=20)
    ]


class Callbacks(Reply):
    client: str
    urls: list[str]


class AskAgain(Command):
    """`POST /v1/replays`: an evaluation as it was asked, and when. With the `state_version` that the answer bore, the answer is the very
    same; without it, everything recorded by `as_of` counts."""

    as_of: Moment
    evaluation: dict[str, Any]
    state_version: Annotated[int, Field(ge=0, lt=2**62)] | None = None


# --- taking over existing consents -------------------------------------------------------------------------------------


class StartImport(Command):
    """`POST /v1/imports`. `source`: the file's name, or what it came from."""

    source: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._ -]{1,100}$")]


class ImportChunk(Command):
    """`PUT /v1/imports/{name}/chunks/{number}`: the file's head line and the next of its rows; see `ImportRow` for what they must say."""

    columns: Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(min_length=1, max_length=50)]
    rows: Annotated[list[list[str]], Field(min_length=1, max_length=2000)]

    @field_validator("columns")
    @classmethod
    def _each_once(cls, columns: list[str]) -> list[str]:
        if len(set(columns)) < len(columns):
            raise ValueError("each column has a name of its own")
        return columns


class ImportTerms(BaseModel):
    """What a row says as thousands of others do."""

    model_config = ConfigDict(extra="forbid")

    purpose: Key
    state: Literal["given", "withdrawn", "refused", "unknown"]
    notice: Key | None = None
    notice_version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    regulation: Regulation = Regulation.gdpr
    language: Language = "sv"
    method: Method = "web_form"


class ImportSaid(BaseModel):
    """What a row says for itself."""

    model_config = ConfigDict(extra="forbid")

    principal: UUID | None = None
    identifier_type: Literal["customer", "email", "msisdn", "account", "agent", "mac"] | None = None
    identifier: Annotated[str, StringConstraints(max_length=200)] | None = None
    occurred_at: Moment
    valid_until: Moment | None = None
    evidence_ref: EvidenceRef | None = None


class ImportRow(ImportTerms, ImportSaid):
    """One statement; an empty cell says nothing. Who made it: `principal`, or an identifier with its type, which means whose it was at
    that instant; not two people. A consent names its notice, which must have been in force when it was given; a no needs none. valid_until: where it
    ends before the policy book lets it."""


class Import(Reply):
    """How far an import is. next_chunk: the number of the one to send next, from 0 · event: the last entry in the ledger."""

    name: UUID
    source: str
    state: Literal["open", "ended"]
    next_chunk: int
    taken: int
    refused: int
    started_at: datetime
    event: UUID | None


# --- calls -------------------------------------------------------------------------------------------------------------


class CallParty(Command):
    """One end of a call. `principal`: null for somebody nobody knows, who has consented to nothing."""

    principal: UUID | None
    role: Literal["caller", "callee", "agent", "other"]


class StartCall(Command):
    """`POST /v1/calls`: may this call be recorded? The call server names the call and who is in it."""

    call: UUID
    participants: Annotated[list[CallParty], Field(min_length=1, max_length=50)]
    purpose: Key = "communication"
    category: Key = "recorded_call"
    started_at: Moment | None = None


class Indicate(Command):
    """`POST /v1/calls/{call}/indications`: what somebody in the call answered to the announcement, or said of her own accord.

    party: her place in `participants`, from 0 · notice: the announcement that was played · offset_ms: from the call's start.
    """

    party: Annotated[int, Field(ge=0, lt=50)]
    answer: Literal["yes", "no"]
    method: Literal["keypress", "spoken"]
    offset_ms: Annotated[int, Field(ge=0, le=86_400_000)]
    notice: Key
    notice_version: Annotated[int, Field(ge=1, le=1_000_000)]
    language: Language = "sv"
    evidence_ref: EvidenceRef | None = None


class EndCall(Command):
    """`POST /v1/calls/{call}/end`."""

    ended_at: Moment | None = None


class Participant(Reply):
    """indication: how she agreed, or that she did not; `prior`: by a consent that stood before the call."""

    role: str
    principal: UUID | None
    indication: Literal["keypress", "spoken", "prior", "refused", "none"]
    offset_ms: int | None
    record: UUID | None


class Call(Reply):
    """recording: whether the call server may record now · reason: why, or why not · legal_ref: of the tenant's duty to record."""

    call: UUID
    state: Literal["open", "ended"]
    recording: bool
    reason: "Reason"
    legal_ref: str | None
    purpose: str
    category: str
    started_at: datetime
    ended_at: datetime | None
    stopped_at: datetime | None
    participants: list[Participant]
    event: UUID


class Changes(Reply):
    """`GET /v1/changes?after=&leaf=&wait=`: what bears on decisions since a snapshot's position, as CloudEvents with their positions.

    leaf: of the entry at `next`, hexadecimal; sent back along with it, it says which ledger was read, and one that came back from a
    backup is refused (`ledger.position_unknown`) however far it has grown since · complete: nothing was left behind, so whoever took
    it all in knows everything up to the moment of asking · policy_version: of the book in force · policy_rows: a fingerprint of its rows that
    apply today; another one than the snapshot's wants a new snapshot.
    """

    tenant: UUID
    items: list[CloudEvent]
    next: str
    leaf: str | None
    complete: bool
    policy_version: str
    policy_rows: str


# --- receipts ----------------------------------------------------------------------------------------------------------


class Receipt(Reply):
    """`GET /v1/receipts/{record}`: what the person got, and the proof that the ledger holds it.

    receipt: the JWS of the 201, which says nothing that its record does not say · proof: its event (whose data name the record and the
    SHA-256 of the record's canonical JSON) stands in the ledger. `services.consent.receipts.verify` checks both offline with the keys of `GET /keys`.
    """

    receipt: str
    proof: Inclusion


# --- decisions (AuthZEN Authorization API 1.0) -------------------------------------------------------------------------


class Entity(BaseModel):
    """A subject {type: "principal", id} or a resource {type: a category or element of the policy book, id}."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: str
    id: str
    properties: dict[str, Any] = {}


class Action(BaseModel):
    """`name`: the purpose. `properties.operation`: "storage" or "legal_claims", which a restriction leaves open."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: str
    properties: dict[str, Any] = {}


class Evaluation(BaseModel):
    """`POST /access/v1/evaluation`: may this category of this person's data be processed for this purpose now?

    context.participants: for content of communication, the principals of the other parties; one that nobody knows is null.
    """

    model_config = ConfigDict(extra="allow", strict=True)

    subject: Entity
    action: Action
    resource: Entity
    context: dict[str, Any] = {}


class Options(BaseModel):
    """`evaluations_semantic`: all are answered, or those up to the first no, or up to the first yes."""

    model_config = ConfigDict(extra="allow", strict=True)

    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = "execute_all"


class Evaluations(BaseModel):
    """`POST /access/v1/evaluations`: up to a thousand questions. What an item leaves out it takes from here, member by member;
    without `evaluations` this is one question, and answered as one."""

    model_config = ConfigDict(extra="allow", strict=True)

    subject: Entity | None = None
    action: Action | None = None
    resource: Entity | None = None
    context: dict[str, Any] = {}
    evaluations: list[dict[str, Any]] = []
    options: Options = Options()


class Reason(StrEnum):
    """Why the answer is what it is."""

    consent = "consent"
    contract = "contract"
    legal_obligation = "legal_obligation"
    vital_interests = "vital_interests"
    public_task = "public_task"
    legitimate_interest = "legitimate_interest"
    tenant_legal_obligation = "tenant_legal_obligation"
    compelling_grounds = "compelling_grounds"

    no_consent = "no_consent"
    refused = "refused"
    withdrawn = "withdrawn"
    revoked = "revoked"
    invalidated = "invalidated"
    expired = "expired"
    notice_does_not_cover = "notice_does_not_cover"
    participant_has_not_consented = "participant_has_not_consented"
    participants_unknown = "participants_unknown"
    objected = "objected"
    restricted = "restricted"
    no_legal_basis = "no_legal_basis"
    unknown_purpose = "unknown_purpose"
    unknown_category = "unknown_category"
    unknown_subject = "unknown_subject"
    malformed = "malformed"
    stale = "stale"


class QuestionError(Reply):
    """Why one question of many could not be read."""

    status: int
    message: str


class DecisionContext(Reply):
    """state_version: the ledger position up to which everything said was considered."""

    reason: Reason
    basis: str | None = None
    record: UUID | None = None
    notice: str | None = None
    notice_version: int | None = None
    state_version: int
    obligations: list[str] = []
    expires_at: datetime | None = None
    error: QuestionError | None = None


class Decision(Reply):
    decision: bool
    context: DecisionContext


class Decisions(Reply):
    """In the order of the questions; shorter than they only where the asker wanted no more."""

    evaluations: list[Decision]


class Configuration(Reply):
    """`GET /.well-known/authzen-configuration`."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str


# --- events ------------------------------------------------------------------------------------------------------------


class NoticePublished(Reply):
    notice: str
    version: int
    sha256: str
    purposes: list[NoticePurpose]
    valid_from: datetime
    valid_to: datetime | None


class Stated(Reply):
    """The data of every statement's event; the CloudEvent's `subject` is the principal. `sha256`: of the record in its receipt.

    case: the request an objection or restriction answers · erase_rule: on `consent.withdrawn`, the policy book's row by which
    `erase_elements` (what rested on this consent alone, for this tenant) are to be erased now; absent when nothing is · vouched: only
    people's word says that she withdrew, and what it erases is for another of them to confirm.
    """

    record: UUID
    sha256: str
    kind: Kind
    regulation: Regulation
    purpose: str
    state: State
    sequence: int
    occurred_at: datetime
    notice: str | None
    notice_version: int | None
    valid_until: datetime | None
    case: UUID | None = None
    erase_rule: str | None = None
    erase_elements: list[str] = []
    vouched: Vouched | None = None


class GuardianSet(Reply):
    """`guardian.set`: of the child that is the event's subject. by: who of the staff recorded it; nobody where rights told it · waiting:
    for another of them, and speaks not yet."""

    guardian: UUID
    by: str | None = None
    waiting: bool = False


class GuardianshipEnded(Reply):
    """`guardian.ended`. why: the child consents for itself now; its last day is over; or somebody ended it."""

    guardian: UUID
    why: Literal["of_age", "last_day", "revoked"] = "of_age"


class CallbacksSet(Reply):
    """`callbacks.set`: where people may be sent back to has changed for a client."""

    client: str


class ImportTold(BaseModel):
    """`import.started`, `import.ended`: of a tenant, not of a person; each statement has an event of its own."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    name: UUID = Field(alias="import")


class DutySet(Reply):
    """`duty.recorded`, `duty.ended`: of a tenant, not of a person."""

    purpose: str
    legal_ref: str


class CallTold(Reply):
    """`call.started`, `call.indicated`, `call.ended`, `recording.start`, `recording.stop`: of a call; ids only.

    legal_ref: of the duty by which a recording goes on though somebody withdrew (`recording.kept`).
    """

    call: UUID
    reason: "Reason"
    recording: bool
    legal_ref: str | None = None
    participants: list[Participant] = []


EVENTS: dict[str, type[BaseModel]] = {
    "notice.published": NoticePublished,
    "consent.given": Stated,
    "consent.withdrawn": Stated,
    "consent.requested": Stated,
    "consent.request_deferred": Stated,
    "consent.refused": Stated,
    "consent.revoked": Stated,
    "consent.expired": Stated,
    "consent.invalidated": Stated,
    "consent.unknown": Stated,
    "objection.raised": Stated,
    "objection.lifted": Stated,
    "objection.overruled": Stated,
    "restriction.set": Stated,
    "restriction.lifted": Stated,
    "call.started": CallTold,
    "call.indicated": CallTold,
    "call.ended": CallTold,
    "recording.start": CallTold,
    "recording.stop": CallTold,
    "recording.kept": CallTold,
    "callbacks.set": CallbacksSet,
    "import.started": ImportTold,
    "import.ended": ImportTold,
    "guardian.set": GuardianSet,
    "guardian.ended": GuardianshipEnded,
    "duty.recorded": DutySet,
    "duty.ended": DutySet,
}


# --- errors ------------------------------------------------------------------------------------------------------------


class UnknownPurpose(Problem):
    code, status, title = "consent.unknown_purpose", 422, "The policy book has no such purpose"


class UnknownCategory(Problem):
    code, status, title = "consent.unknown_category", 422, "The policy book has no such category of data"


class NotByConsent(Conflict):
    """Contract and law need no consent, and refused consent is never replaced by another basis: so none is taken."""

    code, title = "consent.not_by_consent", "This purpose does not rest on consent"


class UnknownNotice(Problem):
    code, status, title = "consent.unknown_notice", 404, "There is no such version of this notice"


class NoticeNotInForce(Conflict):
    code, title = "consent.notice_not_in_force", "This version of the notice is not in force"


class NoticeDoesNotCover(Conflict):
    code, title = "consent.notice_does_not_cover", "This notice does not speak of that purpose"


class LanguageMissing(Conflict):
    code, title = "consent.language_missing", "This notice was not published in that language"


class InTheFuture(Problem):
    """A statement dated ahead would outlive a withdrawal made after it."""

    code, status, title = "consent.in_the_future", 422, "Nothing can have been said in the future"


class ParentalNeeded(Conflict):
    code, title = "consent.parental_needed", "A guardian speaks for a child of this age"


class NotAGuardian(Conflict):
    code, title = "consent.not_a_guardian", "Nobody is known to speak for this person"


class AskedTooSoon(Conflict):
    """`not_before`: the day from which she may be asked again."""

    code, title = "consent.asked_too_soon", "She said no, and may not be asked again yet"


class AlreadyGiven(Conflict):
    code, title = "consent.already_given", "A consent under this version of the notice stands"


class NoConsentToEnd(Conflict):
    code, title = "consent.none_to_end", "There is no consent that stands"


class UnknownCall(Problem):
    code, status, title = "consent.unknown_call", 404, "There is no such call"


class CallKnown(Conflict):
    code, title = "consent.call_known", "A call of this name began before"


class CallEnded(Conflict):
    code, title = "consent.call_ended", "The call has ended"


class EndsBeforeItBegan(Problem):
    code, status, title = "consent.ends_before_it_began", 422, "A call ends no earlier than it began"


class NotInTheCall(Problem):
    code, status, title = "consent.not_in_the_call", 422, "Nobody has that place in the call"


class PartyUnknown(Conflict):
    code, title = "consent.party_unknown", "Nobody knows this party, so her word binds to nobody"


class NotContent(Conflict):
    code, title = "consent.not_content", "Only content of communication is recorded in a call"


class UnknownPerson(Problem):
    code, status, title = "consent.unknown_person", 404, "Nobody is known by that identifier"


class UnknownImport(Problem):
    code, status, title = "consent.unknown_import", 404, "There is no such import"


class ImportEnded(Conflict):
    code, title = "consent.import_ended", "This import has ended"


class ChunkOutOfTurn(Conflict):
    """`next_chunk`: the one to send."""

    code, title = "consent.chunk_out_of_turn", "Another chunk comes first"


class BadCallback(Problem):
    code, status, title = "consent.bad_callback", 422, "People cannot be sent back to that address"


class NoSignal(Problem):
    code, status, title = "consent.no_signal", 422, "The request bears no Sec-GPC: 1"


class AlreadyRecorded(Conflict):
    code, title = "consent.already_recorded", "This very statement is recorded already"


class NoRightToObject(Conflict):
    code, title = "consent.no_right_to_object", "Processing for this purpose cannot be objected to"


class ObjectionIsAbsolute(Conflict):
    code, title = "consent.objection_is_absolute", "No grounds overrule an objection to this purpose"


class GroundMissing(Problem):
    code, status, title = "consent.ground_missing", 422, "A restriction is set on a ground of Art. 18(1)"


class NotYetEverywhere(Problem):
    """Recorded for good; some decision point may still answer as before. Repeating the call with its key waits again."""

    code, status, title = "consent.not_yet_everywhere", 503, "It is recorded, but not yet effective everywhere"
    headers = {"Retry-After": "1"}


class RecordDiffers(Problem):
    code, status, title = (
        "consent.record_differs",
        500,
        "The stored record is not the one that was entered into the ledger",
    )


class NotYetInLedger(Problem):
    code, status, title = (
        "consent.not_yet_in_ledger",
        503,
        "The record is being entered into the ledger; ask again shortly",
    )
    headers = {"Retry-After": "1"}
