"""What others may rely on from the registry: the policy book's model, its signed versions, its replies and errors."""

from uuid import UUID

from chassis.contract import Contract
from chassis.errors import Problem
from services.registry.contract.breaches import BreachNotified
from services.registry.contract.faults import Fault, faults
from services.registry.contract.findings import FindingChanged
from services.registry.contract.pack import EndingChosen, EndingDone, EndingOverdue
from services.registry.contract.periods import Period
from services.registry.contract.policy import (
    Basis,
    Instrument,
    LegalBasis,
    LimitKey,
    NotInBook,
    PolicyBook,
    Purpose,
    Representation,
    RepresentationKey,
    Retention,
    Right,
    StoreClass,
    TenantEnding,
    TenantPeriod,
    Text,
    TrafficKind,
    Withdrawal,
)
from services.registry.contract.register import (
    ChangeAnnounced,
    ChangeDecided,
    ObjectionRaised,
    ProcessingRecords,
    RegisterChanged,
    SubProcessors,
    Transparency,
    TransparencyRow,
)
from services.registry.contract.replies import (
    ApproveBook,
    Consequence,
    CurrentPolicy,
    Difference,
    Manifest,
    PolicyInForce,
    PolicyProposed,
    PolicyRejected,
    PolicyVersion,
    PolicyVersions,
    Proposal,
    Proposals,
    ProposeBook,
    RejectBook,
    SignedTenantPeriods,
    TenantPeriodDocuments,
    TenantPeriods,
    TenantPeriodsSet,
)
from services.registry.labels import LANGUAGES, Language

__all__ = [
    "EVENTS",
    "HOUSE",
    "LANGUAGES",
    "ApproveBook",
    "BackDated",
    "Basis",
    "BookFaulty",
    "BreachNotified",
    "Consequence",
    "CurrentPolicy",
    "Difference",
    "EndingChosen",
    "EndingDone",
    "EndingOverdue",
    "Fault",
    "FindingChanged",
    "Instrument",
    "Language",
    "LegalBasis",
    "LimitKey",
    "Manifest",
    "NotInBook",
    "NotWhatWasShown",
    "OwnProposal",
    "Period",
    "PolicyBook",
    "PolicyInForce",
    "PolicyProposed",
    "PolicyRejected",
    "PolicyVersion",
    "PolicyVersions",
    "ProcessingRecords",
    "Proposal",
    "ProposalDecided",
    "ProposalOutdated",
    "ProposalUnchecked",
    "ProposalUnknown",
    "Proposals",
    "ProposeBook",
    "Purpose",
    "RejectBook",
    "Representation",
    "RepresentationKey",
    "Retention",
    "Right",
    "SameBook",
    "SignedTenantPeriods",
    "StoreClass",
    "SubProcessors",
    "TenantEnding",
    "TenantPeriod",
    "TenantPeriodDocuments",
    "TenantPeriods",
    "TenantPeriodsSet",
    "Text",
    "TrafficKind",
    "Transparency",
    "TransparencyRow",
    "VersionTaken",
    "VersionUnknown",
    "Withdrawal",
    "faults",
]

# Facts that belong to no customer organisation, such as a policy in force, are the house's own.
HOUSE = UUID(int=0)

EVENTS: dict[str, type[Contract]] = {
    "policy.in_force": PolicyInForce,
    "policy.proposed": PolicyProposed,
    "policy.rejected": PolicyRejected,
    "policy.tenant_periods": TenantPeriodsSet,
    "finding.opened": FindingChanged,
    "finding.closed": FindingChanged,
    "breach.notified": BreachNotified,
    "contract.ending": EndingChosen,
    "contract.ended": EndingDone,
    "contract.overdue": EndingOverdue,
    "register.changed": RegisterChanged,
    "subprocessor.change_announced": ChangeAnnounced,
    "subprocessor.change_decided": ChangeDecided,
    "subprocessor.objection_raised": ObjectionRaised,
    "subprocessor.objection_resolved": ObjectionRaised,
}


class VersionUnknown(Problem):
    code = "registry.version_unknown"
    status = 404
    title = "No such version of the policy book"


class BookFaulty(Problem):
    """`errors`: every fault at once, {path, problem}."""

    code = "registry.book_faulty"
    status = 422
    title = "The policy book has faults"


class SameBook(Problem):
    code = "registry.same_book"
    status = 409
    title = "This book says what the book in force says"


class VersionTaken(Problem):
    code = "registry.version_taken"
    status = 409
    title = "This version was used before; a changed book needs a new one"


class BackDated(Problem):
    """What was exported for those days stays as it was known then; a change to them says that it is a correction."""

    code = "registry.back_dated"
    status = 409
    title = "The book begins on a day that is over"


class ProposalUnknown(Problem):
    code = "registry.proposal_unknown"
    status = 404
    title = "No such proposal"


class ProposalDecided(Problem):
    code = "registry.proposal_decided"
    status = 409
    title = "This proposal was decided already"


class ProposalUnchecked(Problem):
    code = "registry.proposal_unchecked"
    status = 409
    title = "Nobody knows yet what this book would do"


class ProposalOutdated(Problem):
    code = "registry.proposal_outdated"
    status = 409
    title = "Another book came first; propose this one again"


class OwnProposal(Problem):
    code = "registry.own_proposal"
    status = 403
    title = "Somebody else than its author approves a book"


class NotWhatWasShown(Problem):
    code = "registry.not_what_was_shown"
    status = 409
    title = "The proposal or its consequences are not those that were read"
