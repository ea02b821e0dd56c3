"""Where promise, law, book and stores do not say the same: each difference has an owner and a day."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import StringConstraints

from chassis.contract import Contract
from chassis.errors import Problem
from services.registry.contract.policy import Text

FindingKind = Literal[
    "book", "promise_and_law", "not_in_book", "not_in_stores", "missing_in_store", "not_in_map", "mislabelled"
]
Name = Annotated[str, StringConstraints(min_length=2, max_length=200, pattern=r"^\S.*\S$")]


class FindingTold(Contract):
    """One finding. `kind`: `book` was written there by the operator's lawyers; the others the registry found itself, at
    `found_at`: a promise and the law that differ where no lawyer said so, a field of a store that the book does not know, an element
    of the book that no store is said to hold; and where a store itself was looked into, a table or column that the data map names
    and the store has not, one that the store has and nobody declared, and one declared as technical whose values are personal."""

    key: str
    kind: FindingKind
    statement: Text
    decision: Text
    rows: list[str]
    owner: str
    due_on: date
    overdue: bool
    found_at: datetime | None
    source: str


class Findings(Contract):
    """`GET /v1/findings`: those that are open, the most urgent first."""

    policy_version: str
    items: list[FindingTold]


class AssignFinding(Contract):
    """`PUT /v1/findings/{kind}/{about}`: who settles it, and by when. What stands in the book is changed there."""

    owner: Name
    due_on: date


class FindingChanged(Contract):
    """`finding.opened` and `finding.closed`."""

    key: str
    kind: FindingKind


class FindingUnknown(Problem):
    code = "registry.finding_unknown"
    status = 404
    title = "No such open finding"
