"""What a decision point holds of everybody: built from the ledger's entries in their order, and never asked from a database.

A million people who each spoke on sixteen matters fit in less than 200 MB, so nothing here is an object per person. People lie in
buckets, by the last bits of their ids; a bucket is one string of bytes, a person in it a row:

    id (16 bytes) · number of its shape (3) · for each matter of the shape: number of the terms (3), occurred at (7)

A *shape* is a tenant and the matters somebody spoke on, *terms* are what was said but for the instant; both are few and shared.
"""

from array import array
from bisect import bisect
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from chassis.ledger.events import Event
from services.consent.contract import Kind, NoticePublished, Regulation, State
from services.consent.rules import Matter, Said, microseconds, rank, record_id

_KINDS = frozenset(Kind)
_DECIDES = _KINDS | {"notice", "duty"}
_NO_RECORD = UUID(int=0)
_BUCKETS = 1 << 17
PARTS = 512
_OF_A_PART = _BUCKETS // PARTS
_HEAD, _ENTRY = 19, 10
_REMEMBERED = 100_000
_DAY = 24 * 60 * 60 * 1_000_000
_MINUTE = 60 * 1_000_000
_YEAR_ONE = 62_135_596_800_000_000  # microseconds before 1970: no instant is negative, and seven bytes last until 2284


class NoticeVersion:
    """Which categories a version explains, by purpose."""

    __slots__ = ("name", "purposes", "version")

    def __init__(self, name: str, version: int, purposes: dict[str, frozenset[str]]) -> None:
        self.name, self.version, self.purposes = name, version, purposes


class Terms(NamedTuple):
    """lasts: from the instant it was said until it lapses, in microseconds, or from the beginning of that day (UTC) where it lapses at
    some midnight: so there are few of them."""

    state: State
    notice: int | None
    lasts: int | None
    from_day: bool

    def until(self, occurred_at: int) -> int | None:
        if self.lasts is None:
            return None
        return (occurred_at // _DAY * _DAY if self.from_day else occurred_at) + self.lasts


Heard = tuple[Matter, Terms, int]


class _Shape:
    """size: of a row of this shape, in bytes."""

    __slots__ = ("company", "known", "matters", "size", "tenant")

    def __init__(self, tenant: UUID, matters: tuple[int, ...]) -> None:
        self.tenant, self.matters, self.size = tenant, matters, _HEAD + _ENTRY * len(matters)
        self.company = tenant.int  # UUIDs are compared in Python, numbers are not
        self.known: dict[str, tuple[tuple[int, Matter], ...]] = {}

    def places(self, purpose: str, known: list[Matter]) -> tuple[tuple[int, Matter], ...]:
        """Where in a row stands what bears on a purpose (of the policy book: they are finite): what was said of it, and a restriction."""
        matters = [(_HEAD + _ENTRY * n, known[number]) for n, number in enumerate(self.matters)]
        found = self.known[purpose] = tuple(
            place for place in matters if place[1].purpose == purpose or place[1].kind is Kind.restriction
        )
        return found


class Memory:
    """`position`: the ledger position up to which everything said is in here · `notices_changed`: counts notices learned."""

    def __init__(self) -> None:
        self.notices_changed = 0
        self.forget()

    def forget(self) -> None:
        self.position = 0
        self.notices_changed += 1
        self.notices: list[NoticeVersion] = [NoticeVersion("", 0, {})]
        self._notice_numbers: dict[tuple[UUID, str, int], int] = {}
        self._duties: set[tuple[UUID, str]] = set()
        self._buckets: list[bytes] = [b""] * _BUCKETS
        self._shapes: list[_Shape] = []
        self._shape_numbers: dict[tuple[UUID, tuple[int, ...]], int] = {}
        self._terms: list[Terms] = []
        self._terms_numbers: dict[Terms, int] = {}
        self._matters: list[Matter] = []
        self._matter_numbers: dict[tuple[str, str, str], int] = {}
        self._numbers: dict[tuple, tuple[int, int]] = {}

    # --- asked ---

    def has_duty(self, tenant: UUID, purpose: str) -> bool:
        return bool(self._duties) and (tenant, purpose) in self._duties

    def heard(self, tenant: UUID, principal: bytes, purpose: str) -> Sequence[Heard]:
        """What a person said of one purpose, her objection and restriction included. `principal`: its 16 bytes."""
        bucket = self._buckets[_bucket(principal)]
        # Whoever said nothing has an empty bucket, mostly.
        shape, at = self._found(bucket, tenant, principal) if bucket else (None, 0)
        if shape is None:
            return ()
        places = shape.known.get(purpose)
        if places is None:
            places = shape.places(purpose, self._matters)
        heard = []
        for place, matter in places:
            place += at
            value = int.from_bytes(bucket[place : place + _ENTRY], "little")
            heard.append((matter, self._terms[value & 0xFFFFFF], (value >> 24) - _YEAR_ONE))
        return heard

    def said(self, tenant: UUID, principal: bytes, purpose: str) -> list[Said]:
        return [as_said(*each) for each in self.heard(tenant, principal, purpose)]

    def record_of(self, tenant: UUID, principal: UUID, said: Said) -> UUID:
        """The name of the record behind a statement."""
        notice = self.notices[said.notice] if said.notice else None
        named = (notice.name, notice.version) if notice else None
        return record_id(tenant, principal, said.matter, said.state, named, said.occurred_at)

    def everything(self) -> dict[tuple[UUID, bytes], frozenset[Said]]:
        """All that is held, for comparing two memories."""
        found = {}
        for bucket in filter(None, self._buckets):
            for at, shape in self._rows(bucket):
                matters = [(at + _HEAD + _ENTRY * n, self._matters[number]) for n, number in enumerate(shape.matters)]
                said = frozenset(as_said(matter, *self._entry(bucket, place)) for place, matter in matters)
                found[shape.tenant, bucket[at : at + 16]] = said
        return found

    # --- told ---

    def apply(self, position: int, event: Event) -> None:
        """Take in the next entry of the ledger. What concerns no decision only moves the position.

        An entry taken in twice, or after later ones, changes nothing: what counts does not depend on the order.
        """
        self._take(event.type, event.tenant, event.subject, event.data)
        self.position = position

    def read(self, position: int, type: str, tenant: UUID, subject: UUID | None, body: bytes) -> None:
        """`apply` of an event's row: a start reads hundreds of thousands, and most of what stands in a body it need not know."""
        if type.partition(".")[0] in _DECIDES:
            self._take(type, tenant, subject, orjson.loads(body)["data"])
        self.position = position

    def _take(self, type: str, tenant: UUID, subject: UUID | None, data: dict[str, Any]) -> None:
        kind = type.partition(".")[0]
        if kind == "notice":
            self._publish(tenant, NoticePublished.model_validate(data, strict=False))
        elif kind == "duty":
            duty = (tenant, data["purpose"])
            (self._duties.add if type == "duty.recorded" else self._duties.discard)(duty)
        elif kind in _KINDS and subject is not None:
            self._state(tenant, subject, data)

    def _publish(self, tenant: UUID, notice: NoticePublished) -> None:
        purposes = {each.purpose: frozenset(each.categories) for each in notice.purposes}
        self.notices[self._notice_number(tenant, notice.notice, notice.version)].purposes = purposes
        self.notices_changed += 1

    def _state(self, tenant: UUID, principal: UUID, data: dict[str, Any]) -> None:
        """`data`: of a `Stated`, read without being validated once more: hundreds of thousands are read at a start."""
        occurred_at = microseconds(datetime.fromisoformat(data["occurred_at"]))
        until = data["valid_until"] and microseconds(datetime.fromisoformat(data["valid_until"]))
        notice = (data["notice"], data["notice_version"]) if data["notice"] else None
        matter = data["kind"], data["regulation"], data["purpose"]
        self.hear(tenant, principal, matter, data["state"], occurred_at, until, notice)

    def hear(
        self,
        tenant: UUID,
        principal: UUID,
        about: tuple[str, str, str],
        state: str,
        occurred_at: int,
        until: int | None,
        notice: tuple[str, int] | None,
    ) -> None:
        """One statement. about: kind, regulation and purpose."""
        said = (tenant, about, state, notice)
        key = (*said, None if until is None else until - occurred_at, False)
        if until is not None and until % _MINUTE == 0:
            exactly, key = key, (*said, until - occurred_at // _DAY * _DAY, True)
            numbers = self._numbers.get(key) or self._numbers.get(exactly)
        else:
            numbers = self._numbers.get(key)
        if numbers is None:
            numbers = self._numbered(*key)
        matter, terms = numbers
        entry = (terms | occurred_at + _YEAR_ONE << 24).to_bytes(_ENTRY, "little")
        person = principal.bytes
        number = _bucket(person)
        bucket = self._buckets[number]
        shape, at = self._found(bucket, tenant, person)
        end, matters = (at, ()) if shape is None else (at + shape.size, shape.matters)
        place = bisect(matters, matter)
        if place and matters[place - 1] == matter:
            begin = at + _HEAD + _ENTRY * (place - 1)
            if self._outranked(
                tenant, principal, self._matters[matter], self._entry(bucket, begin), (self._terms[terms], occurred_at)
            ):
                self._buckets[number] = bucket[:begin] + entry + bucket[begin + _ENTRY :]
            return
        shape_number = self._shape_number(tenant, (*matters[:place], matter, *matters[place:]))
        before, after = bucket[at + _HEAD : at + _HEAD + _ENTRY * place], bucket[at + _HEAD + _ENTRY * place : end]
        row = person + shape_number.to_bytes(3, "little") + before + entry + after
        self._buckets[number] = bucket[:at] + row + bucket[end:]

    def _outranked(
        self, tenant: UUID, principal: UUID, matter: Matter, before: tuple[Terms, int], said: tuple[Terms, int]
    ) -> bool:
        ranks = [rank(occurred_at, terms.state, _NO_RECORD) for terms, occurred_at in (before, said)]
        if ranks[0] != ranks[1]:
            return ranks[0] < ranks[1]
        # Only a tie is worth the records' names.
        named = [self.record_of(tenant, principal, as_said(matter, *each)).bytes for each in (before, said)]
        return named[0] < named[1]

    def _numbered(
        self,
        tenant: UUID,
        about: tuple[str, str, str],
        state: str,
        notice: tuple[str, int] | None,
        lasts: int | None,
        from_day: bool,
    ) -> tuple[int, int]:
        """The numbers of its matter and of its terms, remembered: many say the same."""
        if len(self._numbers) >= _REMEMBERED:
            self._numbers.clear()
        number = self._notice_number(tenant, *notice) if notice else None
        terms = self._terms_number(Terms(State(state), number, lasts, from_day))
        found = self._numbers[tenant, about, state, notice, lasts, from_day] = self._matter_number(*about), terms
        return found

    # --- kept and recalled (services.consent.image) ---

    def part(self, n: int) -> bytes:
        """The n-th part of the buckets: how long each is, then all of them."""
        buckets = self._buckets[n * _OF_A_PART : (n + 1) * _OF_A_PART]
        return array("I", map(len, buckets)).tobytes() + b"".join(buckets)

    def index(self) -> bytes:
        """What the rows name by numbers, the notices and the duties."""
        of_notices = {number: key for key, number in self._notice_numbers.items()}
        return orjson.dumps(
            {
                "shapes": [[shape.tenant, shape.matters] for shape in self._shapes],
                "terms": [tuple(terms) for terms in self._terms],
                "matters": [tuple(matter) for matter in self._matters],
                "notices": [
                    [*of_notices[n], {purpose: list(each) for purpose, each in self.notices[n].purposes.items()}]
                    for n in range(1, len(self.notices))
                ],
                "duties": list(self._duties),
            },
            default=str,  # asyncpg's UUIDs are a class of their own
        )

    def recall(self, n: int, part: bytes) -> None:
        lengths = array("I", part[: _OF_A_PART * 4])
        at = _OF_A_PART * 4
        for bucket, length in enumerate(lengths, n * _OF_A_PART):
            if length:
                self._buckets[bucket] = part[at : at + length]
                at += length

    def recall_index(self, index: bytes, position: int) -> None:
        said = orjson.loads(index)
        for kind, regulation, purpose in said["matters"]:
            self._matter_number(kind, regulation, purpose)
        for tenant, matters in said["shapes"]:
            self._shape_number(UUID(tenant), tuple(matters))
        for tenant, name, version, purposes in said["notices"]:
            notice = self.notices[self._notice_number(UUID(tenant), name, version)]
            notice.purposes = {purpose: frozenset(each) for purpose, each in purposes.items()}
        for state, notice_number, lasts, from_day in said["terms"]:
            self._terms_number(Terms(State(state), notice_number, lasts, from_day))
        self._duties.update((UUID(tenant), purpose) for tenant, purpose in said["duties"])
        self.notices_changed += 1
        self.position = position

    # --- rows ---

    def _found(self, bucket: bytes, tenant: UUID, principal: bytes) -> tuple[_Shape | None, int]:
        """A person's shape, and where her row begins; the bucket's end where she has none."""
        at, end, shapes, company = 0, len(bucket), self._shapes, tenant.int
        while at < end:
            shape = shapes[bucket[at + 16] | bucket[at + 17] << 8 | bucket[at + 18] << 16]
            if bucket.startswith(principal, at) and shape.company == company:
                return shape, at
            at += shape.size
        return None, end

    def _rows(self, bucket: bytes) -> Iterator[tuple[int, _Shape]]:
        at = 0
        while at < len(bucket):
            shape = self._shapes[int.from_bytes(bucket[at + 16 : at + _HEAD], "little")]
            yield at, shape
            at += shape.size

    def _entry(self, bucket: bytes, at: int) -> tuple[Terms, int]:
        value = int.from_bytes(bucket[at : at + _ENTRY], "little")
        return self._terms[value & 0xFFFFFF], (value >> 24) - _YEAR_ONE

    # --- what rows name by numbers ---

    def _notice_number(self, tenant: UUID, notice: str, version: int) -> int:
        number = self._notice_numbers.get((tenant, notice, version))
        if number is None:
            number = self._notice_numbers[(tenant, notice, version)] = len(self.notices)
            self.notices.append(NoticeVersion(notice, version, {}))
        return number

    def _matter_number(self, kind: str, regulation: str, purpose: str) -> int:
        number = self._matter_numbers.get((kind, regulation, purpose))
        if number is None:
            number = self._matter_numbers[kind, regulation, purpose] = len(self._matters)
            self._matters.append(Matter(Kind(kind), Regulation(regulation), purpose))
        return number

    def _terms_number(self, terms: Terms) -> int:
        number = self._terms_numbers.get(terms)
        if number is None:
            number = self._terms_numbers[terms] = len(self._terms)
            self._terms.append(terms)
        return number

    def _shape_number(self, tenant: UUID, matters: tuple[int, ...]) -> int:
        number = self._shape_numbers.get((tenant, matters))
        if number is None:
            number = self._shape_numbers[tenant, matters] = len(self._shapes)
            self._shapes.append(_Shape(tenant, matters))
        return number


def as_said(matter: Matter, terms: Terms, occurred_at: int) -> Said:
    return Said(matter, terms.state, occurred_at, terms.until(occurred_at), terms.notice)


def _bucket(principal: bytes) -> int:
    # The last bits of a UUIDv7 are random.
    return (principal[13] & 1) << 16 | principal[14] << 8 | principal[15]
