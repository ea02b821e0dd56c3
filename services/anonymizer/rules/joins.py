"""Following a person from one identifier to the next: what stands together in one record of a login is one person's.

An account or an address leads on to whatever else stands beside it. A device's address (MAC) may change hands or be shared, so it is
somebody's only from one sighting with them to the last one before it is seen with somebody else; and it leads to whom it was last
seen with.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from services.anonymizer.contract import IdentifierType
from services.anonymizer.rules.person import Known

LEADING = frozenset({IdentifierType.account, IdentifierType.email, IdentifierType.customer})
DEVICE = IdentifierType.mac


@dataclass(frozen=True)
class Sighting:
    """The identifiers that stood together in one record."""

    at: datetime
    seen: frozenset[tuple[IdentifierType, str]]

    def leading(self) -> set[tuple[IdentifierType, str]]:
        return {one for one in self.seen if one[0] in LEADING}


def followed(known: Iterable[Known], sightings: Iterable[Sighting]) -> list[Known]:
    """What else the person is known by. `sightings`: all in which one of theirs stands, or one that these lead to."""
    known, seen = list(known), sorted(sightings, key=lambda one: one.at)
    theirs = _leading(known, seen)
    if not theirs:
        return []
    found = [Known(*one) for one in sorted(theirs - {(one.type, one.value) for one in known})]
    return found + [one for one in _devices(theirs, seen) if not _covered(one, known)]


def _leading(known: list[Known], seen: list[Sighting]) -> set[tuple[IdentifierType, str]]:
    """Accounts and addresses that lead to each other; where none is known, those that their device was last seen with."""
    theirs = {(one.type, one.value) for one in known if one.type in LEADING}
    if not theirs:
        for device in (one for one in known if one.type == DEVICE):
            last = [one for one in seen if (DEVICE, device.value) in one.seen and device.holds_at(one.at)][-1:]
            theirs |= {each for one in last for each in one.leading()}
    while new := {each for one in seen if one.leading() & theirs for each in one.leading()} - theirs:
        theirs |= new
    return theirs


def _devices(theirs: set[tuple[IdentifierType, str]], seen: list[Sighting]) -> list[Known]:
    """Each device in the periods in which it was seen with nobody but them; open at the end while nobody else came after."""
    periods: dict[str, list[Known]] = {}
    for one in seen:
        for type, value in one.seen if one.leading() else ():
            if type != DEVICE:
                continue
            mine, held = bool(one.leading() & theirs), periods.setdefault(value, [])
            if mine and not (held and held[-1].to is None):
                held.append(Known(DEVICE, value, one.at))
            elif not mine and held and held[-1].to is None:
                held[-1] = Known(DEVICE, value, held[-1].from_, one.at)
    return [one for held in periods.values() for one in held]


def _covered(one: Known, known: list[Known]) -> bool:
    same = (other for other in known if (other.type, other.value, other.to) == (one.type, one.value, one.to))
    return any(other.holds_at(one.from_) for other in same if one.from_)
