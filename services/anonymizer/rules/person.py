"""A person as the stores see them: every value they are known by, each for the time in which it was theirs.

Numbers are given to new people, so a number counts only inside its period; names and personnummer never *find* a row (others
may bear the same name), they are looked for in texts.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis import identifiers
from services.anonymizer.contract import IdentifierType
from services.anonymizer.datamap import Identifies

FINDS = frozenset(IdentifierType) - {IdentifierType.name, IdentifierType.personnummer, IdentifierType.ip}
ERASED = "[…]"
"""What stands in a text where somebody's data were."""

NOTHING = "(?!)"
"""A regular expression that matches nothing."""

COUNTRY = "46"
"""The operator's numbering plan: what a number in national form means."""


@dataclass(frozen=True)
class Known:
    """`to` is excluded; None is open on that side."""

    type: IdentifierType
    value: str
    from_: datetime | None = None
    to: datetime | None = None

    def holds_at(self, at: datetime) -> bool:
        return (self.from_ is None or self.from_ <= at) and (self.to is None or at < self.to)


@dataclass(frozen=True)
class Person:
    principal: UUID
    tenant: UUID
    known: tuple[Known, ...]

    def of(self, *types: IdentifierType) -> tuple[Known, ...]:
        return tuple(known for known in self.known if known.type in types)

    def values(self) -> set[str]:
        return {known.value for known in self.known}

    def finding(self) -> set[str]:
        return {known.value for known in self.known if known.type in FINDS}

    def names(self) -> set[str]:
        return {known.value for known in self.of(IdentifierType.name)}

    def is_seen_in(self, value: str, at: datetime) -> bool:
        """However it is spelled; a name alone is nobody's."""
        return any(known.holds_at(at) and _seen(known, value) for known in self.known)

    def is_known_by(self, type: IdentifierType, value: object, at: datetime) -> bool:
        return any(known.value == value and known.holds_at(at) for known in self.of(type))


def normalised(type: IdentifierType, value: str) -> str:
    """One spelling per value, as the stores write it. Raises BadIdentifier."""
    if type == IdentifierType.name:
        return " ".join(value.split())
    if type == IdentifierType.personnummer:
        return re.sub(r"[ +-]", "", value)
    if type == IdentifierType.ip:
        return identifiers.normalise("ipv6" if ":" in value else "ipv4", value)
    return identifiers.normalise(type.value, value, COUNTRY)


def stored_as(identifies: Identifies | None, value: str) -> str:
    """A value as a column of its kind is written. Raises BadIdentifier."""
    return normalised(identifies.type, value) if identifies else value


def mentions(known: Iterable[Known], *, column: bool = False) -> str:
    """One case-insensitive regular expression for every way people write these values; the same in Python and PostgreSQL.
    Empty when there is nothing to look for. In a column of its own, `anna.maja@` is not taken for the address `maja@`."""
    written = sorted({_written(one, column) for one in known if one.type in _TEXTUAL}, key=len, reverse=True)
    return "|".join(written)


def subsequences(known: Iterable[Known]) -> list[str]:
    """LIKE patterns for lower case, one of which fits whatever `mentions` finds: the letters and digits of a value in their order."""
    return sorted({f"%{'%'.join(_PLAIN.findall(_core(one).lower()))}%" for one in known if one.type in _TEXTUAL})


def _core(known: Known) -> str:
    """What every way to write a value has of it."""
    if known.type == IdentifierType.msisdn:
        return known.value.removeprefix(COUNTRY)
    return known.value[2:] if known.type == IdentifierType.personnummer and len(known.value) == 12 else known.value


_PLAIN = re.compile(r"[a-z0-9]")  # of other letters databases do not all know the small ones
_TEXTUAL = {
    IdentifierType.msisdn,
    IdentifierType.personnummer,
    IdentifierType.email,
    IdentifierType.name,
    IdentifierType.customer,
    IdentifierType.mac,
}


_BETWEEN = r"[\s()./\u2010-\u2015-]{0,2}"
"""What people put between the digits of a number."""


def _seen(known: Known, value: str) -> bool:
    if known.type == IdentifierType.name:
        return False
    pattern = mentions([known], column=True)
    return value == known.value or bool(pattern and re.search(pattern, value, re.IGNORECASE))


def _written(known: Known, column: bool) -> str:
    if known.type == IdentifierType.msisdn:
        return _number(known.value)
    if known.type == IdentifierType.personnummer and len(known.value) == 12:
        return rf"(?<![0-9])({known.value[:2]})?{known.value[2:8]}[-+ ]?{known.value[8:]}(?![0-9])"
    if known.type == IdentifierType.mac:
        return rf"(?<!\w){'[:. -]?'.join(known.value.split(':'))}(?!\w)"
    if known.type == IdentifierType.email and column:
        return rf"(?<!\w)(?<!\w[.+-]){re.escape(known.value)}(?![\w-])(?!\.\w)"
    words = r"\s+".join(re.escape(word) for word in known.value.split())
    return rf"(?<!\w){words}(?!\w)"


def _number(digits: str) -> str:
    """+46 70-174 06 05, 0046…, 46…, and 070-174 06 05."""
    national = digits.removeprefix(COUNTRY)
    spaced = _BETWEEN.join(national)
    if national == digits:
        return rf"(?<![0-9])(\+|00)?{spaced}(?![0-9])"
    return rf"(?<![0-9])((\+|00)?{COUNTRY}{_BETWEEN}(\(0\))?|0){_BETWEEN}{spaced}(?![0-9])"
