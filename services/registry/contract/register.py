"""The living register beside the policy book: facts that change without a rule changing, each a dated row.

A row says what holds from `valid_from` on (a day of the book's zone, both ends included), until a row of the same key begins
later or its own `valid_to` is over. Nothing is ever changed: a correction is another row that the registry learned later, so
an export for what was known then stays what it was.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from chassis.contract import Contract, Page
from chassis.errors import Conflict, NotFound, Problem
from services.registry.contract.periods import Period
from services.registry.contract.policy import (
    Controller,
    Finding,
    Key,
    LegalBasis,
    Measure,
    SubProcessor,
    SubProcessorStatus,
    Text,
    Transfer,
    Words,
)
from services.registry.contract.replies import Difference
from services.registry.labels import Language

EntryKind = Literal["activity", "contract", "subprocessor", "transfer", "change", "transparency"]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
Email = Annotated[str, StringConstraints(pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+\.[^\s@<>,;]+$", max_length=254)]
Ground = Literal["data_location", "security", "conflict_of_interest", "transfer", "contract", "other"]
Outcome = Literal["withdrawn", "accommodated", "overruled", "upheld"]


class Dated(Contract):
    """What every row that is written says of itself. `corrects`: it is meant to change what the register said of those days."""

    source: Words
    valid_from: date | None = None
    valid_to: date | None = None
    corrects: bool = False


class Assessed(Contract):
    """An assessment made elsewhere: where it is, how it stands, since when."""

    reference: Words
    status: Literal["not_needed", "needed", "under_way", "done"]
    on: date | None = None


class KeepActivity(Dated):
    """`POST /v1/activities`: how one of the book's purposes is carried out. `covers`: which of the purpose's data (none: all).

    Bases, recipients, transfers and periods are the book's and are not said again. `statements` answers fields of the
    authorities' templates in words, also by saying why one does not apply.
    """

    key: Key
    label: Text
    purpose: Key
    covers: tuple[Key, ...] = ()
    status: Literal["planned", "active", "suspended", "ended"] = "active"
    main: bool = True
    process: Words | None = None
    owner: Words | None = None
    systems: tuple[Words, ...] = ()
    locations: tuple[Words, ...] = ()
    assessment: Assessed | None = None
    interests: Assessed | None = None
    reviewed_on: date | None = None
    review_at: date | None = None
    dpv: tuple[Words, ...] = ()
    statements: dict[Key, Text] = {}


class KeepContract(Dated):
    """`POST /v1/contracts`: an agreement with a customer organisation on whose behalf data are processed, Art. 28.

    `objection_window`: how long it may object to a change of sub-processors. `notices_to`: where it is told by e-mail.
    """

    reference: Reference
    customer: UUID
    name: Words
    organisation_number: Words | None = None
    address: Words | None = None
    contact: Words | None = None
    representative: Words | None = None
    data_protection_officer: Words | None = None
    services: Annotated[tuple[Key, ...], Field(min_length=1)]
    instructions: Text | None = None
    objection_window: Period
    notices_to: Email | None = None
    language: Language = "sv"


class KeepTransfer(Transfer):
    """`POST /v1/transfers`: what makes a transfer lawful, in place of what the book or an earlier row said."""

    corrects: bool = False


Figure = Annotated[int, Field(ge=0, le=10**7)] | None


class TransparencyRow(Contract):
    """Orders of authorities by one instrument (`total`: by all of them) in a year. None: fewer than the report's `least`, or a number
    from which such a one could be told. `executed`: disclosed or preserved; `nothing`: there were no such data."""

    instrument: Key
    requests: Figure
    executed: Figure
    nothing: Figure
    refused: Figure
    withdrawn: Figure
    pending: Figure
    median_days: Figure


class Transparency(Contract):
    """`PUT /v1/transparency-reports/{year}`: what disclosure says of a year that is over (`GET /v1/transparency/{year}` there), word for
    word. A person carries it over: the part that handles orders calls nobody, and nobody asks it for them."""

    year: Annotated[int, Field(ge=2000, le=2200)]
    least: Annotated[int, Field(ge=1, le=1000)]
    rows: Annotated[list[TransparencyRow], Field(min_length=1, max_length=200)]


class ProposeChange(Contract):
    """`POST /v1/subprocessor-changes`. `row`: the sub-processor as it will be (none: it goes). `correction` changes no processing.

    `transfers`: what makes its transfers to third countries lawful, where the register does not say so yet.
    """

    kind: Literal["addition", "replacement", "alteration", "retirement", "correction"]
    subprocessor: Key
    row: SubProcessor | None = None
    replaces: Key | None = None
    transfers: tuple[Transfer, ...] = ()
    reason: Text
    effective_on: date


class RaiseObjection(Contract):
    """`POST /v1/subprocessor-changes/{change}/objections`: by a customer organisation that was told of the change."""

    grounds: Ground
    statement: Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class ResolveObjection(Contract):
    """`POST /v1/objections/{objection}/resolution`. `upheld`: the change is rejected."""

    outcome: Outcome
    statement: Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class Kept(Contract):
    """What was recorded, and since when the register knows it."""

    entry: UUID
    kind: EntryKind
    key: str
    valid_from: date
    valid_to: date | None
    known_from: datetime


class FieldChange(Contract):
    """One field that differs; `before` and `after` as they are written in JSON, None where there is nothing."""

    field: str
    before: Any
    after: Any


class Sent(Contract):
    """One way in which a customer was told. `proof`: the mail server's answer, or the receiver's delivery number."""

    by: Literal["email", "webhook"]
    state: Literal["waiting", "delivered", "refused"]
    at: datetime | None
    proof: str | None


class NoticeTold(Contract):
    """That a customer was told of a change, and until when it may object (`window` is its contract's)."""

    notice: UUID
    customer: UUID
    contract: str
    window: Period
    told_at: datetime
    objections_until: datetime
    sent: list[Sent]


class ObjectionTold(Contract):
    objection: UUID
    customer: UUID
    grounds: Ground
    statement: str
    raised_at: datetime
    outcome: Outcome | None
    resolution: str | None
    resolved_at: datetime | None


class ChangeRecord(Contract):
    """A change of sub-processors as the register keeps it; each step of its life is another row."""

    change: UUID
    kind: Literal["addition", "replacement", "alteration", "retirement", "correction"]
    subprocessor: Key
    row: SubProcessor | None
    replaces: Key | None
    transfers: tuple[Transfer, ...]
    reason: Text
    effective_on: date
    diff: list[FieldChange]
    status: SubProcessorStatus
    proposed_at: datetime
    notice_at: datetime | None = None
    decided_at: datetime | None = None
    told: int = 0
    objections: int = 0
    upheld: int = 0


class ChangeTold(ChangeRecord):
    """`GET /v1/subprocessor-changes/{change}`. A customer organisation sees its own notices and objections only."""

    notices: list[NoticeTold]
    objections_raised: list[ObjectionTold]


class Changes(Page[ChangeRecord]):
    pass


# --- what is read out of book and register together -----------------------------------------------------------------------


class Due(Contract):
    """Why a transfer needs somebody's attention."""

    reason: Literal[
        "mechanism_not_stated", "decision_not_in_force", "decision_ends", "importer_not_looked_up", "review_due"
    ]
    since: date | None


class TransferTold(Contract):
    """A transfer with its two ends, the data, and why it is due, if it is."""

    key: str
    exporter: str
    subprocessor: str
    importer: str
    place: str
    country: Text
    data: list[Text]
    mechanism: str
    module: str | None
    decision: str | None
    decision_label: Text | None
    decision_from: date | None
    decision_to: date | None
    listed_on: date | None
    assessment: str | None
    supplementary: list[str]
    onward: Text | None
    review_at: date | None
    due: list[Due]
    source: str


class Transfers(Contract):
    """`GET /v1/transfers?due=`: every transfer to a third country."""

    policy_version: str
    as_of: date
    items: list[TransferTold]


class SubProcessorTold(Contract):
    """A sub-processor on a day. `tier`: 1 is engaged by the operator, 2 by one of tier 1; `chain`: from the operator down to it."""

    key: str
    legal_name: str
    address: str | None
    contact: str | None
    parent: str | None
    tier: int
    chain: list[str]
    purpose: Text
    services: list[str]
    covers: list[str]
    data: list[Text]
    places: list[Text]
    support_from: list[Text]
    agreement: str | None
    agreed_on: date | None
    certifications: list[str]
    started_on: date | None
    ends_on: date | None
    status: SubProcessorStatus
    customers: int
    transfers: list[TransferTold]
    source: str


class SubProcessors(Contract):
    """`GET /v1/subprocessors?service=&customer=`: who processes data for somebody who uses these services (none asked: all)."""

    policy_version: str
    as_of: date
    services: list[str]
    items: list[SubProcessorTold]


class Erasure(Contract):
    """When data of one element are erased: the row of the book, in short, Art. 30(1)(f)."""

    rule: str
    label: Text
    keep: Period
    anchor: str
    then: str
    legal_ref: str


class Processed(Contract):
    """One category or element within an activity, with its one legal basis, and until when it is kept."""

    category: str
    element: str | None
    context: str
    label: Text
    content: bool
    special: bool
    basis: LegalBasis
    legal_ref: str
    dpv: str | None
    source: str
    erasure: list[Erasure]


class RecipientEntry(Contract):
    key: str
    label: Text
    condition: Text


class Named(Contract):
    key: str
    label: Text


class Activity(Contract):
    """One processing activity with everything Art. 30(1) asks for about it. `registered`: the register has a row of its own for
    it; without one it stands for a purpose of the book. `missing`: fields of the templates that nobody has answered."""

    key: str
    registered: bool
    label: Text
    purpose: str
    purpose_label: Text
    description: Text
    purpose_dpv: str | None
    status: str
    main: bool | None
    process: str | None
    owner: str | None
    subjects: list[Text]
    collected: list[Text]
    data: list[Processed]
    recipients: list[RecipientEntry]
    processors: list[Named]
    agreements: list[str]
    transfers: list[TransferTold]
    systems: list[str]
    locations: list[str]
    assessment: Assessed | None
    interests: Assessed | None
    reviewed_on: date | None
    review_at: date | None
    valid_from: date | None
    valid_to: date | None
    dpv: list[str]
    statements: dict[str, Text]
    missing: list[str]
    source: str


class TemplateAnswered(Contract):
    """How one supervisory authority's template is answered: cells asked for, filled, and every missing field with how many
    activities lack it."""

    template: str
    fields: int
    cells: int
    filled: int
    missing: dict[str, int]


class ProcessingRecords(Contract):
    """`GET /v1/ropa`: the record of processing activities of the operator as controller, Art. 30(1)."""

    policy_version: str
    as_of: datetime
    controller: Controller
    activities: list[Activity]
    measures: list[Measure]
    findings: list[Finding]
    missing: list[str]


class Completeness(Contract):
    """`GET /v1/completeness`: every template of `policy/templates`, each of its cells filled or named as missing."""

    policy_version: str
    as_of: datetime
    activities: int
    templates: list[TemplateAnswered]


class ProcessorRecord(Contract):
    """What is done for one customer organisation, Art. 30(2)."""

    contract: str
    customer: UUID
    controller: str
    organisation_number: str | None
    address: str | None
    contact: str | None
    representative: str | None
    data_protection_officer: str | None
    services: list[Text]
    processing: list[Text]
    data: list[Text]
    subjects: list[Text]
    instructions: Text | None
    objection_window: Period
    processors: list[Named]
    transfers: list[TransferTold]
    measures: list[Text]
    missing: list[str]
    valid_from: date
    valid_to: date | None
    source: str


class RowDifference(Contract):
    """One row of the register that is not what it was."""

    kind: EntryKind
    key: str
    change: Literal["added", "removed", "changed"]
    fields: list[FieldChange]
    source: str


class Differences(Contract):
    """`GET /v1/diff?from=&to=`: what was told at `from`, as it was known then, against what is told at `to`.

    `book`: rules, sub-processors and transfers, in plain words · `register_rows`: activities and agreements.
    """

    from_version: str
    to_version: str
    book: list[Difference]
    register_rows: list[RowDifference]


# --- facts on the feed ---------------------------------------------------------------------------------------------------


class RegisterChanged(Contract):
    """`register.changed`: the register has another row; whoever may read it fetches it."""

    entry: UUID
    kind: EntryKind
    valid_from: date


class ChangeAnnounced(Contract):
    """`subprocessor.change_announced`, to each customer organisation a change concerns: it may object until then."""

    change: UUID
    notice: UUID
    objections_until: datetime


class ChangeDecided(Contract):
    """`subprocessor.change_decided`, to each customer organisation that was told of it."""

    change: UUID
    status: SubProcessorStatus


class ObjectionRaised(Contract):
    """`subprocessor.objection_raised` and `subprocessor.objection_resolved`."""

    change: UUID
    objection: UUID


# --- refusals ------------------------------------------------------------------------------------------------------------


class ValidityOverlaps(Conflict):
    code, title = "registry.validity_overlaps", "The register already says something of these days"


class UnknownReference(Problem):
    code, status, title = (
        "registry.unknown_reference",
        422,
        "It names something that policy book and register do not have",
    )


class UnknownTerm(Problem):
    code, status, title = "registry.unknown_term", 422, "The Data Privacy Vocabulary has no such term"


class ChainCircular(Problem):
    code, status, title = "registry.chain_circular", 422, "The chain of sub-processors leads back to itself"


class NoWindow(Problem):
    code, status, title = "registry.no_window", 422, "A window for objections lasts at least a day"


class TransferUnstated(Problem):
    code, status, title = "registry.transfer_unstated", 422, "A transfer to a third country needs what makes it lawful"


class ChangeUnknown(NotFound):
    code, title = "registry.change_unknown", "There is no such change of sub-processors"


class ObjectionUnknown(NotFound):
    code, title = "registry.objection_unknown", "There is no such objection"


class ContractUnknown(NotFound):
    code, title = "registry.contract_unknown", "There is no agreement with such a customer organisation"


class ChangeDecidedAlready(Conflict):
    code, title = "registry.change_decided", "This change has gone further already"


class WindowClosed(Conflict):
    code, title = "registry.window_closed", "The time to object to this change is over, or has not begun"


class FiguresTooSmall(Problem):
    code, status, title = "registry.figures_too_small", 409, "A report never shows a number as small as these"


class NotKnownYet(Problem):
    code, status, title = "registry.not_known_yet", 422, "What the register will know then, nobody can know now"
