"""What others may rely on from the registry: the policy book's model, its signed versions, its replies and errors."""

from datetime import datetime

from chassis.contract import Contract
from chassis.errors import Problem
from services.registry.contract.faults import Fault, faults
from services.registry.contract.periods import Period
from services.registry.contract.policy import (
    Basis,
    Instrument,
    LegalBasis,
    NotInBook,
    PolicyBook,
    Retention,
    Right,
    StoreClass,
    Text,
    TrafficKind,
)

__all__ = [
    "Basis", "CurrentPolicy", "Fault", "Instrument", "LegalBasis", "NotInBook", "Period", "PolicyBook", "PolicyInForce",
    "PolicyVersion", "PolicyVersions", "Retention", "Right", "StoreClass", "Text", "TrafficKind", "VersionUnknown", "faults",
]


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
    """`GET /v1/policy/versions`: every version ever signed, oldest first."""

    items: list[PolicyVersion]


class PolicyInForce(Contract):
    """`policy.in_force`: a new version was signed; followers fetch it."""

    version: str
    valid_from: datetime
    sha256: str


EVENTS: dict[str, type[Contract]] = {"policy.in_force": PolicyInForce}


class VersionUnknown(Problem):
    code = "registry.version_unknown"
    status = 404
    title = "No such version of the policy book"
