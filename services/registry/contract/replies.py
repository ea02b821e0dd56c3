"""What the registry signs and hands out: versions of the book, tenants' periods, the manifest of a bundle."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints

from chassis.contract import Contract, Moment
from chassis.ledger.contract import Inclusion
from services.registry.contract.policy import TenantEnding, TenantPeriod, Text
from services.registry.labels import Language


class CurrentPolicy(Contract):
    """`GET /v1/policy/current`: the book in force, as JWS (compact, Ed25519) over its RFC 8785 canonical JSON."""

    version: str
    jws: str


class PolicyVersion(Contract):
    """One signed version: when its rules apply from, and when the registry learned it."""

    version: str
    valid_from: datetime
    known_from: datetime
    sha256: str
    jws: str


class PolicyVersions(Contract):
    """`GET /v1/policy/versions?known_after=`: signed versions in the order in which the registry learned them.

    before: how many others it has, which it learned until then. Who holds another number of them compares all.
    """

    items: list[PolicyVersion]
    before: int


class PolicyInForce(Contract):
    """`policy.in_force`: a new version was signed; followers fetch it.

    `how`: the first book is put in force by operations, from the reviewed file; each later one is a proposal by one person that
    another one approved (accounts, not names).
    """

    version: str
    valid_from: datetime
    sha256: str
    how: Literal["bootstrap", "approved"] = "bootstrap"
    proposal: UUID | None = None
    author: str | None = None
    approver: str | None = None


class TenantPeriods(Contract):
    """What one tenant set, all of it: the payload of a signed document. The newest one known counts."""

    tenant: UUID
    known_from: datetime
    periods: list[TenantPeriod]
    ending: TenantEnding | None = None


class SignedTenantPeriods(Contract):
    tenant: UUID
    known_from: datetime
    jws: str


class TenantPeriodDocuments(Contract):
    """`GET /v1/policy/tenant-periods?known_after=`: signed documents in the order in which the registry learned them.

    before: how many others it has, which it learned until then.
    """

    items: list[SignedTenantPeriods]
    before: int


class TenantPeriodsSet(Contract):
    """`policy.tenant_periods`: a tenant set its own anonymisation times; followers fetch the document."""

    by: str
    sha256: str
    periods: list[TenantPeriod]


class BundleFile(Contract):
    path: str
    sha256: str
    length: int
    type: str


class BundlePolicy(Contract):
    version: str
    valid_from: datetime
    known_from: datetime
    sha256: str


class Manifest(Contract):
    """`manifest.json` of a bundle. `ledger` proves that the version was put in force: event, place, signed head. `register_row` proves
    the same of the newest row of the register that was known; none was, if it is not there. `rows`: of each sheet."""

    profile: str
    language: Language
    as_of: datetime
    known_at: datetime
    policy: BundlePolicy
    files: list[BundleFile]
    rows: dict[str, int]
    ledger: Inclusion
    register_row: Inclusion | None


class Difference(Contract):
    """How one row, or one field of it, differs between two books. `where` names the row, `words` say it in a sentence."""

    where: str
    kind: Literal["added", "removed", "changed"]
    field: str | None
    before: str | None
    after: str | None
    words: Text


class ProposeBook(Contract):
    """`POST /v1/policy/proposals`: a changed book's file, word for word as it was reviewed.

    reason: why, for whoever approves · correction: the book begins before today. What was exported stays as it was: it was known
    then; from the approval on, the corrected book is what was in force.
    """

    file: Annotated[str, StringConstraints(min_length=1, max_length=900_000)]
    reason: Annotated[str, StringConstraints(min_length=3, max_length=2_000)]
    correction: bool = False


class Fate(Contract):
    """What becomes of records: `keep`, `delete` or `anonymise`, under which rule; without one they stay."""

    action: Literal["keep", "delete", "anonymise"]
    rule: str | None


class Consequence(Contract):
    """How many records of one table change their fate, as they lie in the stores on the day the book would begin."""

    store: str
    table: str
    element: str
    category: str
    before: Fate
    after: Fate
    count: int


class Proposal(Contract):
    """A proposed version of the book.

    `checking`: its consequences are being asked for · `proposed`: they are known, and somebody else than its author decides ·
    `refused`: the stores hold what this book does not know (`problem`). `consequences` were counted at `simulated_at`; accounts
    are named by their ids.
    """

    proposal: UUID
    version: str
    valid_from: date
    base: str
    correction: bool
    reason: str
    sha256: str
    author: str
    made_at: datetime
    state: Literal["checking", "proposed", "approved", "rejected", "refused"]
    differences: list[Difference]
    consequences: list[Consequence] | None
    simulated_at: datetime | None
    problem: str | None
    decided_by: str | None
    decided_at: datetime | None
    decision: str | None


class Proposals(Contract):
    """`GET /v1/policy/proposals`: the newest first."""

    items: list[Proposal]
    next: str | None = None


class ApproveBook(Contract):
    """`POST /v1/policy/proposals/{proposal}/approval`: exactly the bytes that were shown. `seen`: when the consequences that the
    approver read were counted."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    seen: Moment


class RejectBook(Contract):
    """`POST /v1/policy/proposals/{proposal}/rejection`, by an approver or by the author, who thereby withdraws it."""

    reason: Annotated[str, StringConstraints(min_length=3, max_length=2_000)]


class PolicyProposed(Contract):
    """`policy.proposed`: somebody wants another book."""

    proposal: UUID
    version: str
    sha256: str
    author: str


class PolicyRejected(Contract):
    """`policy.rejected`: a proposal that will not be in force, and who said so."""

    proposal: UUID
    version: str
    by: str
