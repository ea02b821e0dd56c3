"""What others may rely on from the registry: the policy book's model, its signed versions, its replies and errors."""

from uuid import UUID

from chassis.contract import Contract
from chassis.errors import Problem
from services.registry.contract.faults import Fault, faults
from services.registry.contract.periods import Period
from services.registry.contract.policy import (
    LANGUAGES,
    Basis,
    Instrument,
    Language,
    LegalBasis,
    NotInBook,
    PolicyBook,
    Retention,
    Right,
    StoreClass,
    TenantPeriod,
    Text,
    TrafficKind,
)
from services.registry.contract.replies import (
    CurrentPolicy,
    Manifest,
    PolicyInForce,
    PolicyVersion,
    PolicyVersions,
    ProcessingRecords,
    SignedTenantPeriods,
    SubProcessors,
    TenantPeriodDocuments,
    TenantPeriods,
    TenantPeriodsSet,
)

__all__ = [
    "EVENTS",
    "HOUSE",
    "LANGUAGES",
    "Basis",
    "CurrentPolicy",
    "Fault",
    "Instrument",
    "Language",
    "LegalBasis",
    "Manifest",
    "NotInBook",
    "Period",
    "PolicyBook",
    "PolicyInForce",
    "PolicyVersion",
    "PolicyVersions",
    "ProcessingRecords",
    "Retention",
    "Right",
    "SignedTenantPeriods",
    "StoreClass",
    "SubProcessors",
    "TenantPeriod",
    "TenantPeriodDocuments",
    "TenantPeriods",
    "TenantPeriodsSet",
    "Text",
    "TrafficKind",
    "VersionUnknown",
    "faults",
]

# Facts that belong to no customer organisation, such as a policy in force, are the house's own.
HOUSE = UUID(int=0)

EVENTS: dict[str, type[Contract]] = {
    "policy.in_force": PolicyInForce,
    "policy.tenant_periods": TenantPeriodsSet,
}


class VersionUnknown(Problem):
    code = "registry.version_unknown"
    status = 404
    title = "No such version of the policy book"
