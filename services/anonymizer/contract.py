"""What others may rely on from the anonymizer: who a person is, and what was collected, erased, kept and verified where.

Rows travel as newline-delimited JSON: an **object** is a control line (`TableLine`, `EndLine`), an **array** is one row in the
order of the last `TableLine`'s columns. Without the `EndLine` nothing was collected.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from chassis.contract import Contract, Moment
from chassis.errors import Problem
from services.registry.contract import PolicyBook, Text


class Command(Contract):
    """What a caller sends: strict, and an unknown field is a mistake."""

    model_config = ConfigDict(populate_by_name=True)


class Reply(BaseModel):
    """What we answer: fields may be added inside v1, so readers ignore what they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


# --- who ---------------------------------------------------------------------------------------------------------------


class IdentifierType(StrEnum):
    """How people are known. `name` and `personnummer` find nobody, they are only looked for; an `ip` finds rows for an order."""

    customer = "customer"
    email = "email"
    msisdn = "msisdn"
    account = "account"
    agent = "agent"
    mac = "mac"
    ip = "ip"
    name = "name"
    personnummer = "personnummer"


Value = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class Identifier(Command):
    """One value a person is known by, for the period in which it was theirs (`to` is excluded; None is open)."""

    type: IdentifierType
    value: Value
    from_: Moment | None = Field(default=None, alias="from")
    to: Moment | None = None


class FindPrincipal(Command):
    """`POST /v1/principals` (finds or mints) and `POST /v1/principals/lookup` (only finds)."""

    identifiers: list[Identifier] = Field(min_length=1, max_length=50)


class Principal(Reply):
    principal: UUID | None


class FindPeople(Command):
    """`POST /v1/principals/known`: whose each identifier is, or was at its `from`, of many people at once."""

    identifiers: list[Identifier] = Field(min_length=1, max_length=2000)


class FoundPeople(Reply):
    """In the order asked: a principal, minted for a customer whom billing knows, or null for nobody, or for no one in particular."""

    principals: list[UUID | None]


class Forget(Command):
    """`PUT /v1/principals/{principal}/forgotten`: the request whose last step has ended. Idempotent.

    Every identifier is deleted and the person's key shredded: afterwards nobody is known by this principal, and whoever asks with
    the same identifiers is somebody new. Refused while a step of theirs is not done.
    """

    request: UUID


class Forgotten(Reply):
    principal: UUID
    forgotten_at: datetime


# --- where -------------------------------------------------------------------------------------------------------------


class Verb(StrEnum):
    """`preview` is the dry run of another verb. What a store can do is in its `verbs`; anything else is refused as VerbUnsupported."""

    preview = "preview"
    erase = "erase"
    verify = "verify"
    correct = "correct"
    freeze = "freeze"
    unfreeze = "unfreeze"


StoreKind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,30}$")]
# The kinds of store that hold recordings: there a single one can be removed.
RECORDINGS = ("folder", "objects")
"""`postgresql`, `mysql`, `manual`, or what `connectors/files/kinds.py` names."""

StoreVerb = Literal[
    "collect", "preview", "erase", "verify", "correct", "freeze", "unfreeze", "sweep", "discover", "give_back"
]


class Store(Reply):
    """One of the operator's stores. `controller` says who decides about its data: the operator or the tenant. `elements`: what its
    records are kept as, or single columns of them are. In a `manual` one every step waits for a person to do it and to attest it."""

    store: str
    label: Text
    kind: StoreKind
    controller: Literal["operator", "tenant"]
    categories: list[str]
    verbs: list[StoreVerb]
    elements: list[str] = []


class Stores(Reply):
    items: list[Store]


class MappedField(Reply):
    """One field that the data map declares, and which element of the book it is."""

    store: str
    table: str
    column: str
    element: str


class MappedFields(Reply):
    """`GET /v1/datamap`: every field with personal data; keys and flags say nothing about a person and are left out."""

    items: list[MappedField]


class Drift(Reply):
    """A store is no longer what the data map says.

    missing: the map names what is not there · undeclared: a column that the map does not know; `looks_like` says which kind of
    personal data, by its name, its form or its checksum, where it looks like one · mislabelled: declared as technical, and personal
    by its values. `alike` of `sampled` values have that form; no value is ever shown.
    """

    store: str
    table: str
    column: str | None
    kind: Literal["missing", "undeclared", "mislabelled"]
    looks_like: str | None = None
    alike: int = 0
    sampled: int = 0


class Drifts(Reply):
    """`GET /v1/drift`. `unread`: stores that did not answer."""

    items: list[Drift]
    unread: list[str]


# --- collect -----------------------------------------------------------------------------------------------------------


class CollectionRequest(Command):
    """`POST /v1/collections`: everything the ordinary view of one store holds about a person.

    portable: only what they gave or caused and is processed on consent or contract, by the policy book (Art. 20), of the rows that
    are theirs: not those in which they only stand as the other party.
    """

    step: UUID
    store: str
    principal: UUID
    portable: bool = False


class Subject(Command):
    """One of several people who are collected together, under the step that asks for them."""

    step: UUID
    principal: UUID


class OfStore(Command):
    """What is wanted of one store. Each row (and each file) says first whose it is: the place of the person in `of`, from 0. A row of two
    of them comes twice, to each with what they may see of it. Of one person alone no row says it."""

    store: str
    of: list[Subject] = Field(min_length=1, max_length=300)


class CollectionsRequest(Command):
    """`POST /v1/collections/together`: the same of several stores, for several people, in one scan of each: `chassis.streams`, one
    stream for each of `stores`. A store that is away is refused in its own stream."""

    stores: list[OfStore] = Field(min_length=1, max_length=100)
    portable: bool = False


class Column(Reply):
    name: str
    element: str
    category: str
    label: Text


class TableLine(Reply):
    """Comes before a table's rows. `file`: the rows are the pieces of one file beside that table, each in base64; `subjects`: whom it is
    for, by their places, where several people are collected together; none: everybody."""

    table: str
    label: Text | None = None
    columns: list[Column]
    file: str | None = None
    subjects: list[int] = []


class EndLine(Reply):
    """The last line: how many rows each table gave."""

    end: Literal[True] = True
    counts: dict[str, int]


class Period(Command):
    from_: Moment = Field(alias="from")
    to: Moment


class DisclosureRequest(Command):
    """`POST /v1/disclosures/collections`: what one approved task asks for, and nothing else.

    The same stream as a collection, with the rows that one of `holds` preserved: what was kept for somebody else's order is not
    there for this one. `copies` says whether the retention copy may be read: a right holder's order reads `business` only.
    """

    step: UUID
    store: str
    identifiers: list[Identifier] = Field(min_length=1, max_length=1)
    categories: list[str] = Field(min_length=1, max_length=20)
    period: Period
    copies: list[Literal["business", "retention"]] = Field(min_length=1, max_length=2)
    holds: list[UUID] = Field(default=[], max_length=10_000)


class Release(Reply):
    """`PUT /v1/holds/{hold}/release`: the deferred erasure is finished. Idempotent."""

    hold: UUID
    erased: dict[str, int]


# --- steps -------------------------------------------------------------------------------------------------------------


class Scope(Command):
    """Less than everything: in a store of recordings a single named one with all its versions; in any store the person's own records of
    some elements, and of records that are kept as something else the columns of these elements (what rested on a consent that was
    withdrawn)."""

    recording: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None
    elements: list[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,60}$")]] = Field(
        default=[], max_length=50
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.recording is None) == (not self.elements):
            raise ValueError("a scope is one recording or some elements")
        return self


class Correction(Command):
    """What is wrong, in which data element, and what is right. Only the person's own rows that say exactly `old` are changed."""

    element: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,60}$")]
    old: Value
    new: Value


class StepRequest(Command):
    """`PUT /v1/steps/{step}`: idempotent by step; call again while `running`, after a timeout and after a crash.

    of: which verb a `preview` rehearses · changes: for `correct`, and only there; nothing of them is kept here but a keyed digest.
    """

    verb: Verb
    of: Literal[Verb.erase, Verb.correct, Verb.freeze, Verb.unfreeze] = Verb.erase
    store: str
    principal: UUID
    scope: Scope | None = None
    changes: list[Correction] = Field(default=[], max_length=50)

    @model_validator(mode="after")
    def _changes_correct(self) -> Self:
        meant = self.of if self.verb == Verb.preview else self.verb
        if bool(self.changes) != (meant == Verb.correct):
            raise ValueError("changes go with the verb correct, and with no other")
        if self.scope and meant not in (Verb.erase, Verb.verify):
            raise ValueError("only what is erased or verified may be less than everything")
        return self


class StepState(StrEnum):
    """`incomplete` is a verification that still found something: the erasure must run again before anything is answered.
    `waiting`: for a person's hand or a vendor's date (`waiting`); ask again later, nothing else moves it."""

    running = "running"
    done = "done"
    incomplete = "incomplete"
    waiting = "waiting"


class Action(StrEnum):
    """`redact`: the row is somebody else's; the person's own values in it are replaced. `correct`: it now says what is right.
    `freeze`: it is kept as it is and restricted (Art. 18), `unfreeze`: no longer."""

    erase = "erase"
    redact = "redact"
    keep = "keep"
    correct = "correct"
    freeze = "freeze"
    unfreeze = "unfreeze"


class Outcome(Reply):
    """What happened to the rows of one table under one rule. `until`: the last day on which the rule still keeps any of them."""

    table: str
    element: str
    category: str
    action: Action
    rule: str
    reason: Text
    legal_ref: str
    until: date | None = None
    count: int


class Finding(Reply):
    """Where a verification still saw a person: never what it saw."""

    table: str
    column: str
    count: int


class Waiting(Reply):
    """What a step waits for: `owner` does what `instructions` say, no later than `due`, and attests it. `elements`: only with these.
    `pending_until`: it was asked for, and a vendor says it will be carried out by then. Not `by_hand`: nobody attests, the store is
    asked again."""

    owner: str
    due: date
    instructions: Text
    elements: list[str] = []
    pending_until: date | None = None
    by_hand: bool = True


class Attested(Reply):
    """Done by hand: who says so, when, and the digest of the scan that shows it. Certificates say *attested*."""

    by: str
    at: datetime
    evidence_sha256: str


class StepResult(Reply):
    """`remaining` is None until a verification counted; `done` with `remaining > 0` does not exist."""

    step: UUID
    verb: Verb
    store: str
    state: StepState
    outcomes: list[Outcome] = []
    remaining: int | None = None
    findings: list[Finding] = []
    waiting: Waiting | None = None
    attested: Attested | None = None
    backups_until: datetime | None = None
    """Of an erasure: when the last backup is dropped that may still have what went."""
    evidence_sha256: str | None = None
    """Of an erasure in files: what the record of them that the store keeps is known by."""


class Attest(Command):
    """`POST /v1/steps/{step}/attestation`: what a person found and did in a manual source.

    count: records found and dealt with · evidence_sha256 and evidence_at: digest of the scanned result, and where it is filed
    (a reference, never the scan) · pending_until: the vendor will have done it by then; the step waits on and is attested again.
    """

    count: int = Field(ge=0, le=1_000_000)
    evidence_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    evidence_at: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9 ./:_-]+$")]
    pending_until: date | None = None


class WaitingStep(Reply):
    step: UUID
    verb: Verb
    store: str
    waiting: Waiting


class WaitingSteps(Reply):
    """`GET /v1/steps/waiting`: what waits for somebody's hand, the most urgent first."""

    items: list[WaitingStep]


# --- retention over whole stores -----------------------------------------------------------------------------------------


class SimulationRequest(Command):
    """`POST /v1/simulations`: what a sweep at `as_of` (default: now) would take. Nothing is written. With a `proposed` policy book
    also what would change for each record if that book were in force then."""

    as_of: Moment | None = None
    stores: list[str] | None = None
    proposed: PolicyBook | None = None


class Expected(Reply):
    """Rows of one table that one rule lets go, by the month (`YYYY-MM`) of their retention anchor."""

    store: str
    table: str
    category: str
    rule: str
    legal_ref: str
    action: Literal["delete", "anonymise"]
    month: str
    count: int


class Fate(Reply):
    """What a book decides about a record. `rule` is None where it has no rule for such records: then they stay."""

    action: Literal["keep", "delete", "anonymise"]
    rule: str | None


class Change(Reply):
    """Records of one table that two books decide differently, or under different rules."""

    store: str
    table: str
    element: str
    category: str
    before: Fate
    after: Fate
    count: int


class Simulation(Reply):
    """`items` follow from the book in force; `changes` say what `proposed_version` would make of it."""

    as_of: datetime
    policy_version: str
    items: list[Expected]
    proposed_version: str | None = None
    changes: list[Change] = []


class SweepRequest(Command):
    """`POST /v1/sweeps`: let go of everything whose time is over, in one store or all."""

    stores: list[str] | None = None


class SweepTime(Command):
    """Every so many days, at an hour of the clocks where the operator is (`02:30`). `stores`: None is all of them."""

    stores: list[str] | None = None
    every_days: int = Field(default=1, ge=1, le=31)
    at: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class SetSchedules(Command):
    """`PUT /v1/sweep-schedules`: the sweeps that nobody has to ask for any more, in place of all that were set before."""

    items: list[SweepTime] = Field(max_length=20)


class ScheduledSweep(Reply):
    """`last_sweep`: the last that this schedule asked for; while it runs or is paused, the next waits."""

    stores: list[str] | None
    every_days: int
    at: str
    next_at: datetime
    last_sweep: UUID | None


class SweepSchedules(Reply):
    items: list[ScheduledSweep]


class Swept(Reply):
    """One finished piece of a sweep. `how`: a month dropped whole, or copied without its expired rows and exchanged; rows deleted in
    place, texts cleaned, or files removed.

    result: what the expired records became. `anonymous` are counts that passed the k-check, `delinked` texts without the people in
    them; nothing else is ever called by those names · remains: how many counts or texts · lost: the records in groups too small to
    stand, or the texts that could not be cleaned with confidence · evidence_sha256: as in `ErasureDone`, of a piece made of files.
    """

    store: str
    table: str
    rule: str
    month: str
    how: Literal["partition", "swap", "delete", "redact", "files"]
    count: int
    result: Literal["deleted", "delinked", "anonymous"] = "deleted"
    remains: int = 0
    lost: int = 0
    evidence_sha256: str | None = None


class Sweep(Reply):
    """`paused`: the holds could not be read, so nothing is taken until they can."""

    sweep: UUID
    state: Literal["running", "paused", "done"]
    items: list[Swept]
    backups_until: datetime | None = None
    """When the last backup is dropped that may still have something of it."""


class GoneFrom(Reply):
    """How many erasures or sweeps of one store its backups still have, the oldest `since`, and until when."""

    store: str
    what: Literal["erasure", "sweep"]
    since: datetime
    until: datetime
    count: int


class InBackups(Reply):
    """`GET /v1/backups`: what is gone from the stores and not yet from their backups."""

    items: list[GoneFrom]


# --- events (CloudEvents types; `subject` is the principal) ----------------------------------------------------------------


class PrincipalLinked(Reply):
    """`principal.linked`: an identifier of this type is the principal's, in a period. Not which: events outlive everybody."""

    principal: UUID
    type: IdentifierType
    from_: datetime | None = Field(default=None, alias="from")
    to: datetime | None = None


class PrincipalForgotten(Reply):
    """`principal.forgotten`: nobody is known by this principal any more; whoever keeps indexes of theirs deletes them."""

    principal: UUID
    request: UUID


class DataCollected(Reply):
    """`data.collected`: one store was read for a person's access request."""

    step: UUID
    store: str


class DataReturned(Reply):
    """`data.returned`: everything that a store holds for a customer organisation was read for it, at the end of its contract."""

    store: str


class HeldFor(Reply):
    """How many records a store holds for one organisation: in ordinary tables, counted by the credential that only reads; None where
    only people can look. `can_return`: whether the data plane can hand them over."""

    store: str
    label: Text
    count: int | None
    can_return: bool


class Holdings(Reply):
    """`GET /v1/holdings`: what is processed for the organisation of the token, by store; what the operator keeps for itself is not in it."""

    items: list[HeldFor]


class ErasureDone(Reply):
    """`erasure.done`: one step's effect on one store, by rule.

    policy_version: the book it was decided by · asked_sha256: of what was asked, as canonical JSON (verb, store, principal, scope) ·
    backups_until: when the last backup is dropped that may still have what is gone; None where nothing went · evidence_sha256: of
    the record that the store keeps of this step beside its files: which of them were removed or rewritten, and which versions.
    """

    step: UUID
    store: str
    outcomes: list[Outcome]
    policy_version: str | None = None
    asked_sha256: str | None = None
    backups_until: datetime | None = None
    evidence_sha256: str | None = None


class ErasureVerified(Reply):
    """`erasure.verified`: a raw scan with the verifier's credential found nothing that no rule keeps."""

    step: UUID
    store: str
    policy_version: str | None = None
    remaining: int = 0


class ErasureReplayed(Reply):
    """`erasure.replayed`: a store came back from a backup, and a finished erasure was done in it again."""

    step: UUID
    store: str
    outcomes: list[Outcome]


class DataCorrected(Reply):
    """`data.corrected`: rows of one store now say what is right; how many, never what."""

    step: UUID
    store: str
    outcomes: list[Outcome]


class DataFrozen(Reply):
    """`data.frozen` and `data.unfrozen`: rows of one store are restricted, or no longer."""

    step: UUID
    store: str
    outcomes: list[Outcome]


class StepAttested(Reply):
    """`step.attested`: a person did by hand what a step asked for, and says so."""

    step: UUID
    store: str
    by: str
    evidence_sha256: str
    pending_until: date | None = None


class SweepDone(Reply):
    """`sweep.done`: counts per store, table and rule, and until when backups may still have them."""

    sweep: UUID
    items: list[Swept]
    backups_until: datetime | None = None


class BackupsOver(Reply):
    """`backups.over`: what an erasure (`id` is its step) or a sweep took from a store is in no backup of it any more."""

    id: UUID
    store: str
    what: Literal["erasure", "sweep"]
    gone_at: datetime
    until: datetime


EVENTS: dict[str, type[Reply]] = {
    "principal.linked": PrincipalLinked,
    "principal.forgotten": PrincipalForgotten,
    "data.collected": DataCollected,
    "data.returned": DataReturned,
    "erasure.done": ErasureDone,
    "erasure.verified": ErasureVerified,
    "erasure.replayed": ErasureReplayed,
    "data.corrected": DataCorrected,
    "data.frozen": DataFrozen,
    "data.unfrozen": DataFrozen,
    "step.attested": StepAttested,
    "sweep.done": SweepDone,
    "backups.over": BackupsOver,
}


# --- problems ------------------------------------------------------------------------------------------------------------


class StoreUnknown(Problem):
    code = "anonymizer.store_unknown"
    status = 404
    title = "No such store"


class PrincipalUnknown(Problem):
    code = "anonymizer.principal_unknown"
    status = 404
    title = "Nobody is known by this principal here"


class BookMisfits(Problem):
    """The proposed book contradicts itself, or leaves out what the data map says the stores hold; see `errors`."""

    code = "anonymizer.book_misfits"
    status = 409
    title = "The proposed policy book could not be in force here"


class StepUnknown(Problem):
    code = "anonymizer.step_unknown"
    status = 404
    title = "No such step"


class NotWaiting(Problem):
    code = "anonymizer.not_waiting"
    status = 409
    title = "This step does not wait for anybody"


class CorrectionRefused(Problem):
    code = "anonymizer.correction_refused"
    status = 409
    title = "The store does not accept this value; nothing was changed"


class ObjectLocked(Problem):
    """WORM storage: what a lock keeps nobody can delete, so nothing of it is touched and nothing is called erased."""

    code = "anonymizer.object_locked"
    status = 409
    title = "The store has locked an object that should go"


class StillAtWork(Problem):
    """A person is forgotten after the last step for them, never before."""

    code = "anonymizer.still_at_work"
    status = 409
    title = "A step for this person is not done yet"


class SweepUnknown(Problem):
    code = "anonymizer.sweep_unknown"
    status = 404
    title = "No such sweep"


class IdentifiersConflict(Problem):
    """Merging people is a decision of its own; a command that would need it is refused."""

    code = "anonymizer.identifiers_conflict"
    status = 409
    title = "These identifiers belong to different people"


class StepConflict(Problem):
    code = "anonymizer.step_conflict"
    status = 409
    title = "This step was asked for with another content"


class VerbUnsupported(Problem):
    code = "anonymizer.verb_unsupported"
    status = 409
    title = "The store cannot do this"


class StoreUnavailable(Problem):
    code = "anonymizer.store_unavailable"
    status = 503
    title = "The store does not answer; nothing was recorded"


class StoreDrifted(Problem):
    """Somebody changed the store: a table or column of the data map is not there. See `GET /v1/drift`."""

    code = "anonymizer.store_drifted"
    status = 503
    title = "The store no longer has the shape that the data map says; nothing was done"


class HoldsUnreadable(Problem):
    """Fail closed: what cannot be asked is not erased. The public wording names no holds."""

    code = "anonymizer.paused"
    status = 503
    title = "Erasure is paused; try again"
