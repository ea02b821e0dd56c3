"""What a customer organisation does for itself as a controller, Art. 28: its own anonymisation times, its pack, the end."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from chassis.contract import Contract
from chassis.errors import Problem
from services.registry.contract.periods import Period
from services.registry.contract.policy import Key, Measure, TenantPeriod, Text
from services.registry.contract.replies import BundleFile, Consequence


class OwnPeriod(Contract):
    """One time of the tenant's own: for which rule, how long, and on which days it applies."""

    rule: Key
    keep: Period
    valid_from: date
    valid_to: date | None = None


class SetPeriods(Contract):
    """`PUT /v1/pack/periods`: everything the tenant sets from now on; what is left out falls back to the book's own period.

    `POST /v1/pack/periods/preview` takes the same, and changes nothing.
    """

    periods: Annotated[list[OwnPeriod], Field(max_length=100)]


class ChoosablePeriod(Contract):
    """A rule that lets the tenant choose: between `min` and `max`, `keep` until it does. `today`: what counts now."""

    rule: Key
    label: Text
    elements: list[Text]
    min: Period
    max: Period
    keep: Period
    today: Period
    own: list[TenantPeriod]


class ChoosablePeriods(Contract):
    """`GET /v1/pack/periods`"""

    policy_version: str
    items: list[ChoosablePeriod]


class PeriodsPreview(Contract):
    """How many of the tenant's records would meet another fate, counted in the stores as on the day `as_of`."""

    as_of: datetime
    consequences: list[Consequence]


class DeletedRecords(Contract):
    """What persons' own deletions took from a store in a month (`YYYY-MM`), by rule."""

    month: str
    store: str
    rule: str
    action: str
    count: int


class Counted(Contract):
    """Of the grants under one review: confirmed, revoked, and left undecided, which ended them too."""

    grants: int
    kept: int
    not_kept: int
    undecided: int


class Audit(Contract):
    """One half-yearly audit of access rights, Art. 28(3)(h). `own`: of grants that open this organisation's data · `shared`: to systems
    and facilities that serve every customer."""

    review: UUID
    opened_at: datetime
    due_at: datetime
    closed_at: datetime | None
    own: Counted
    shared: Counted


class EndContract(Contract):
    """`POST /v1/pack/ending`: Art. 28(3)(g), the tenant's choice. `return`: the data are handed over, and then deleted."""

    wish: Literal["return", "delete"]
    ends_on: date


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Given(Contract):
    """A store's records as they were sent, to the last byte: `sha256` over all of them."""

    given_at: datetime
    sha256: str
    length: int
    records: int


class ReturnableStore(Contract):
    """records: how many it holds for the organisation now; None where only people can look · by_hand: people hand them over ·
    given: when all of them were last fetched since the contract ended."""

    store: str
    label: Text
    records: int | None
    by_hand: bool
    given: Given | None


class Returnable(Contract):
    """`GET /v1/pack/return`: each store's records are `GET /v1/pack/return/{store}`, NDJSON as the data plane's contract has it: an object
    announces a table or a file, an array is a row or a piece of the file in base64, and the object at the end counts."""

    ends_on: date
    items: list[ReturnableStore]


class Receipt(Contract):
    """`POST /v1/pack/return/receipt`: the organisation has these bytes, and its data may be deleted."""

    stores: Annotated[dict[Key, Sha256], Field(max_length=100)]


class HandOver(Contract):
    """`POST /v1/pack/endings/{tenant}/handover`, by operations, for what no program can send: the digest of the carrier or archive."""

    sha256: Sha256
    receipt: Annotated[str, StringConstraints(min_length=3, max_length=200, pattern=r"^[A-Za-z0-9 ./:_-]+$")]


class Ending(Contract):
    """`GET /v1/pack/ending`: how the contract ends.

    `chosen` → (`handed_over` →) `done`. From the day after `ends_on`, and after the data were returned, nothing keeps what is processed
    for the tenant, so the next sweep takes it; done is it when the stores were counted and hold nothing more, and then the
    certificate is signed. Due no later than `deadline`.
    """

    wish: Literal["return", "delete"]
    ends_on: date
    deadline: date
    state: Literal["chosen", "handed_over", "done"]
    chosen_by: str
    chosen_at: datetime
    remaining: int | None
    counted_at: datetime | None
    handed_over_at: datetime | None
    overdue_at: datetime | None
    certificate: str | None


class EndingCertificate(Contract):
    """What the certificate's signature says. `stores`: those that were counted, and hold nothing of the tenant · `by_hand`: those that no
    program can look into · `handed_over`: what was returned, by its digests."""

    tenant: UUID
    wish: Literal["return", "delete"]
    ended_on: date
    done_at: datetime
    policy_version: str
    stores: list[str]
    by_hand: list[str]
    remaining: Literal[0]
    handed_over: str | None


class EndingChosen(Contract):
    """`contract.ending`: a customer organisation chose what becomes of its data."""

    wish: Literal["return", "delete"]
    ends_on: date
    deadline: date
    by: str


class EndingOverdue(Contract):
    """`contract.overdue`, once: its deadline is over and its data are not gone, or the customer has not said that it has them."""

    deadline: date
    state: Literal["chosen", "handed_over"]
    remaining: int | None


class EndingDone(Contract):
    """`contract.ended`: its data are gone, and the certificate says so."""

    sha256: str


class PackManifest(Contract):
    """`manifest.json` of a tenant's Art. 28 pack."""

    tenant: UUID
    as_of: datetime
    policy_version: str
    measures: list[Measure]
    files: list[BundleFile]


class PeriodRefused(Problem):
    """`errors`: every fault at once, {path, problem}."""

    code = "registry.period_refused"
    status = 409
    title = "These times are outside what the policy book lets a customer set"


class EndingFixed(Problem):
    code = "registry.ending_fixed"
    status = 409
    title = "What becomes of the data was chosen already"


class EndingUnknown(Problem):
    code = "registry.ending_unknown"
    status = 404
    title = "This contract is not ending"


class ContractRuns(Problem):
    code = "registry.contract_runs"
    status = 409
    title = "The contract has not ended yet"


class NotReturned(Problem):
    """`errors`: {path: store, problem}."""

    code = "registry.not_returned"
    status = 409
    title = "Not everything has come back to the customer as it was sent"


class NothingToReturn(Problem):
    code = "registry.nothing_to_return"
    status = 409
    title = "The customer did not ask for its data, or has them"
