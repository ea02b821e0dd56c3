"""What a decision point holds of everybody: built from the ledger's entries in their order, and never asked from a database.

A person is one short row of bytes, nineteen for each matter on which she spoke; names of matters and notices are numbered.
"""

import struct
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from chassis.ledger.events import Event
from services.consent.contract import Kind, NoticePublished, State, Stated
from services.consent.rules import Matter, Said, microseconds, rank, record_id

# matter, state, notice version (0: none), valid until in whole seconds (0: no end), occurred at in microseconds
_ENTRY = struct.Struct("<HBIIq")
_STATES = tuple(State)
_NUMBER = {state: number for number, state in enumerate(_STATES)}


class NoticeVersion:
    """Which categories a version explains, by purpose."""

    __slots__ = ("name", "purposes", "version")

    def __init__(self, name: str, version: int, purposes: dict[str, frozenset[str]]) -> None:
        self.name, self.version, self.purposes = name, version, purposes


class Memory:
    """`position`: the ledger position up to which everything said is in here · `notices_changed`: counts notices learned."""

    def __init__(self) -> None:
        self.position = 0
        self.notices_changed = 1
        self.notices: list[NoticeVersion] = [NoticeVersion("", 0, {})]
        self._people: dict[UUID, dict[bytes, bytes]] = {}
        self._matters: list[Matter] = []
        self._matter_numbers: dict[Matter, int] = {}
        self._notice_numbers: dict[tuple[UUID, str, int], int] = {}
        self._duties: set[tuple[UUID, str]] = set()

    def apply(self, position: int, event: Event) -> None:
        """Take in the next entry of the ledger. What concerns no decision only moves the position."""
        kind = event.type.partition(".")[0]
        if kind == "notice":
            self._publish(event.tenant, NoticePublished.model_validate(event.data, strict=False))
        elif kind == "duty":
            duty = (event.tenant, event.data["purpose"])
            (self._duties.add if event.type == "duty.recorded" else self._duties.discard)(duty)
        elif kind in ("consent", "objection", "restriction") and event.subject is not None:
            self._state(event.tenant, event.subject, event.data)
        self.position = position

    def has_duty(self, tenant: UUID, purpose: str) -> bool:
        return (tenant, purpose) in self._duties

    def said(self, tenant: UUID, principal: bytes, purpose: str) -> list[Said]:
        """What a person said of one purpose, her objection and restriction included. `principal`: its 16 bytes."""
        people = self._people.get(tenant)
        row = people.get(principal) if people else None
        if row is None:
            return []
        return [
            each for each in self._read(row) if each.matter.purpose == purpose or each.matter.kind is Kind.restriction
        ]

    def record_of(self, tenant: UUID, principal: UUID, said: Said) -> UUID:
        """The name of the record behind a statement."""
        notice = self.notices[said.notice] if said.notice else None
        named = (notice.name, notice.version) if notice else None
        return record_id(tenant, principal, said.matter, said.state, named, said.occurred_at)

    def everything(self) -> dict[tuple[UUID, bytes], frozenset[Said]]:
        """All that is held, for comparing two memories."""
        return {
            (tenant, principal): frozenset(self._read(row))
            for tenant, people in self._people.items()
            for principal, row in people.items()
        }

    def _publish(self, tenant: UUID, notice: NoticePublished) -> None:
        purposes = {each.purpose: frozenset(each.categories) for each in notice.purposes}
        self.notices[self._notice_number(tenant, notice.notice, notice.version)].purposes = purposes
        self.notices_changed += 1

    def _state(self, tenant: UUID, principal: UUID, data: dict[str, Any]) -> None:
        stated = Stated.model_validate(data, strict=False)
        said = Said(
            Matter(stated.kind, stated.regulation, stated.purpose),
            stated.state,
            microseconds(stated.occurred_at),
            None if stated.valid_until is None else microseconds(stated.valid_until),
            self._notice_number(tenant, stated.notice, stated.notice_version) if stated.notice else None,
        )
        people = self._people.setdefault(tenant, {})
        held = list(self._read(people.get(principal.bytes, b"")))
        kept = [each for each in held if each.matter != said.matter]
        before = next((each for each in held if each.matter == said.matter), None)
        if before is None or self._rank(tenant, principal, before) < self._rank(tenant, principal, said):
            before = said
        people[principal.bytes] = b"".join(map(self._written, [*kept, before]))

    def _rank(self, tenant: UUID, principal: UUID, said: Said):
        return rank(said.occurred_at, said.state, self.record_of(tenant, principal, said))

    def _notice_number(self, tenant: UUID, notice: str, version: int) -> int:
        number = self._notice_numbers.get((tenant, notice, version))
        if number is None:
            number = self._notice_numbers[(tenant, notice, version)] = len(self.notices)
            self.notices.append(NoticeVersion(notice, version, {}))
        return number

    def _read(self, row: bytes) -> Iterator[Said]:
        for matter, state, notice, valid_until, occurred_at in _ENTRY.iter_unpack(row):
            yield Said(
                self._matters[matter],
                _STATES[state],
                occurred_at,
                valid_until * 1_000_000 or None,
                notice or None,
            )

    def _written(self, said: Said) -> bytes:
        number = self._matter_numbers.get(said.matter)
        if number is None:
            number = self._matter_numbers[said.matter] = len(self._matters)
            self._matters.append(said.matter)
        # Rounded down: a consent never counts longer than it is valid. Book periods end on whole seconds.
        seconds = min((said.valid_until or 0) // 1_000_000, 2**32 - 1)
        return _ENTRY.pack(number, _NUMBER[said.state], said.notice or 0, seconds, said.occurred_at)
