"""What an order may name: the identifier formats of ETSI TS 103 280 and the operator's own, and how stores know them.

An order names people one by one. A network, a cell or a pattern names a crowd, and is refused whoever asks.
"""

import re
from collections.abc import Iterator

from services.requests.disclosure.contract import TargetIdentifier

# TS 103 280 v2, JSON schema; the last three are the operator's own.
FORMATS = {
    "InternationalE164": r"[0-9]{1,15}",
    "IMSI": r"[0-9]{6,15}",
    "IMEI": r"[0-9]{14}",
    "IMEICheckDigit": r"[0-9]{15}",
    "IMEISV": r"[0-9]{16}",
    "MACAddress": r"([a-f0-9]{2}:){5}[a-f0-9]{2}",
    "IPv4Address": r"((25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])",
    "IPv6Address": r"([0-9a-f]{4}:){7}[0-9a-f]{4}",
    "EmailAddress": r"[a-zA-Z0-9.!#$%&'*+\\/=?^_`{|}~-]+@[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*",
    "SIPURI": r"sips?:[a-zA-Z0-9!#$&-;=?-\[\]_~%]+",
    "UUID": r"[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}",
    "LDID": r"[A-Z]{2}-.+-.+",
    "CustomerNumber": r"[A-Z0-9]{1,32}",
    "AgentNumber": r"[A-Z0-9]{1,32}",
    "AccountName": r"[a-z0-9._@+-]{1,100}",
}

# How the anonymizer knows them. By the others no store of this operator finds anything: an honest "no data".
KNOWN_AS = {
    "InternationalE164": "msisdn",
    "EmailAddress": "email",
    "MACAddress": "mac",
    "CustomerNumber": "customer",
    "AgentNumber": "agent",
    "AccountName": "account",
}

_NETWORKS = frozenset({"IPv4CIDR", "IPv6CIDR", "VLANID", "VRF"})
_CELLS = frozenset({"CGI", "ECGI", "NCGI", "CellID", "Tower"})
# Many subscribers may share one address at the same time, so it names somebody only at an instant.
_SHARED = frozenset({"IPv4Address", "IPv6Address"})
_WILD = re.compile(r"[*?%]|\.\.\.|…")


def faults_of(target: TargetIdentifier) -> Iterator[str]:
    """The codes of what is wrong with one identifier; nothing for one that names somebody."""
    if target.type in _NETWORKS or (target.type in _SHARED and "/" in target.value):
        yield "CIDR"
    elif target.type in _CELLS:
        yield "CELL"
    elif target.type not in FORMATS:
        yield "DICT_UNKNOWN"
    elif re.fullmatch(FORMATS[target.type], target.value, re.ASCII) is None:
        # An e-mail address may contain these characters; where the format has no room for them they are a pattern.
        yield "WILDCARD" if _WILD.search(target.value) else "BAD_IDENTIFIER"
    elif target.type in _SHARED and target.at is None:
        yield "SHARED_IP_NEEDS_TIME"


def known_as(target: TargetIdentifier) -> tuple[str, str] | None:
    """(type, value) as the anonymizer has it; None when no store is kept by such an identifier."""
    type = KNOWN_AS.get(target.type)
    return (type, target.value.lower() if type in ("email", "account") else target.value) if type else None
