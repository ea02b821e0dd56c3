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


class HandOver(Contract):
    """`POST /v1/pack/endings/{tenant}/handover`, by operations: what was handed over, by the digest of the carrier or archive."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    receipt: Annotated[str, StringConstraints(min_length=3, max_length=200, pattern=r"^[A-Za-z0-9 ./:_-]+$")]


class Ending(Contract):
    """`GET /v1/pack/ending`: how the contract ends.

    `chosen` → (`handed_over` →) `done`. From the day after `ends_on` every rule that the customer defines keeps the tenant's data
    for the least the book allows, so the ordinary sweeps take them; done is it when the stores hold none past that, counted
    again, and then the certificate is signed. Due no later than `deadline`.
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
    certificate: str | None


class EndingCertificate(Contract):
    """What the certificate's signature says. `rules`: with what became of each one's records."""

    tenant: UUID
    wish: Literal["return", "delete"]
    ended_on: date
    done_at: datetime
    policy_version: str
    rules: list[Key]
    remaining: Literal[0]
    handed_over: str | None


class EndingChosen(Contract):
    """`contract.ending`: a customer organisation chose what becomes of its data."""

    wish: Literal["return", "delete"]
    ends_on: date
    deadline: date
    by: str


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


class NothingToReturn(Problem):
    code = "registry.nothing_to_return"
    status = 409
    title = "The customer did not ask for its data, or has them"
