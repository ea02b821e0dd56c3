"""How every statement gets on record, one or hundreds in a transaction.

Lock their matters → read what counted → rule, each in its turn → write statements, standing and events. A statement that a rule
refuses leaves nothing, and its neighbours stand.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from chassis import clock
from chassis.db import Transaction
from chassis.errors import Problem
from chassis.ledger.events import Composed
from services.consent import rules
from services.consent.commands import notices, recordings
from services.consent.commands.desk import Desk
from services.consent.contract import AlreadyRecorded, Kind, Recorded, Regulation, State, Vouched
from services.consent.records import Entry, Frame, frame, own
from services.consent.rules import Matter
from services.consent.tables import NoticeVersion

AT_A_STRETCH = 25  # statements, after which whoever else asks this process is answered

# `OFFSET 0`, or `LIMIT 1`, keeps each row a look-up in the key's index. Without it a plan made while a tenant was small, or for a tenant of the
# usual size, reads all that the greatest tenant ever said.
_COUNTED = """
SELECT said.*, s.sequence, s.statement, s.state, s.occurred_at, s.notice, s.notice_version, s.valid_until, g.born, n.ends
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[])
    said(principal, kind, regulation, purpose, told, version)
LEFT JOIN LATERAL (SELECT * FROM standing WHERE tenant = $1 AND principal = said.principal AND kind = said.kind
                   AND regulation = said.regulation AND purpose = said.purpose OFFSET 0) s ON true
LEFT JOIN LATERAL (SELECT coalesce(born, 'infinity') AS born FROM guardianship WHERE tenant = $1 AND principal = said.principal
                   ORDER BY waiting LIMIT 1) g ON true
LEFT JOIN LATERAL (SELECT min(valid_from) AS ends FROM notice_version WHERE tenant = $1 AND notice = said.told
                   AND version > said.version OFFSET 0) n ON true
WHERE s.sequence IS NOT NULL OR g.born IS NOT NULL OR n.ends IS NOT NULL"""
_THERE = """
SELECT said.principal, said.kind, said.regulation, said.purpose, there.* FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    said(principal, kind, regulation, purpose, occurred_at),
LATERAL (SELECT state, notice, notice_version, occurred_at FROM statement WHERE tenant = $1 AND principal = said.principal
         AND kind = said.kind AND regulation = said.regulation AND purpose = said.purpose AND occurred_at = said.occurred_at
         OFFSET 0) there"""
# Rows come as JSON: as arrays each of their four hundred values would be looked at by the driver, whether it is an array itself.
_STATEMENTS = """
INSERT INTO statement (tenant, principal, kind, regulation, purpose, sequence, id, state, occurred_at, notice, notice_version,
                       valid_until, recorded_at, event, frame, evidence_ref)
SELECT $1, principal, kind, regulation, purpose, sequence, record, state, occurred_at, notice, notice_version,
       valid_until, recorded_at, event, decode(frame, 'hex'), evidence_ref
FROM json_to_recordset($2::text::json) said(principal uuid, kind text, regulation text, purpose text, sequence int, record uuid,
    state text, occurred_at timestamptz, notice text, notice_version int, valid_until timestamptz, recorded_at timestamptz,
    event uuid, frame text, evidence_ref text)"""
# In one order for everybody; nearly always it is there.
_FRAMES = """
INSERT INTO record_frame (tenant, sha256, body)
SELECT $1, frame, body::jsonb FROM unnest($2::bytea[], $3::text[]) known(frame, body) ORDER BY frame
ON CONFLICT DO NOTHING"""
_STANDING = """
INSERT INTO standing (tenant, principal, kind, regulation, purpose, sequence, statement, state, occurred_at, notice,
                      notice_version, valid_until)
SELECT $1, * FROM json_to_recordset($2::text::json) counted(principal uuid, kind text, regulation text, purpose text, sequence int,
    statement uuid, state text, occurred_at timestamptz, notice text, notice_version int, valid_until timestamptz)
ON CONFLICT (tenant, principal, kind, regulation, purpose) DO UPDATE SET sequence = excluded.sequence,
    statement = excluded.statement, state = excluded.state, occurred_at = excluded.occurred_at, notice = excluded.notice,
    notice_version = excluded.notice_version, valid_until = excluded.valid_until"""
_ABOUT = ("principal", "kind", "regulation", "purpose")
_DUTIES = "SELECT purpose FROM tenant_duty WHERE tenant = $1 AND purpose = ANY ($2) AND state = 'recorded'"


class Spoken(NamedTuple):
    """What is to be recorded, checked against everything but what she said before.

    claimed: when it was said, if that was before now · details: what the receipt's record says besides, but for `evidence_ref`, which
    hardly two have in common · traceparent: of the call · until: when a consent lapses, where that is before the policy book says ·
    vouched: on whose word she withdrew, where it is not her own.
    """

    desk: Desk
    principal: UUID
    matter: Matter
    state: State
    claimed: datetime | None
    details: Mapping[str, Any]
    notice: NoticeVersion | None = None
    traceparent: str | None = None
    until: datetime | None = None
    evidence_ref: str | None = None
    vouched: Vouched | None = None

    @property
    def about(self) -> tuple[UUID, str, str, str]:
        return self.principal, self.matter.kind.value, self.matter.regulation.value, self.matter.purpose

    @property
    def told(self) -> tuple[str | None, int | None]:
        """The version of a notice that she was told, if any."""
        return (self.notice.notice, self.notice.version) if self.notice else (None, None)


class Counted(NamedTuple):
    """Her standing on one matter: how many statements there are, and the one that counts."""

    sequence: int
    statement: UUID
    state: State
    occurred_at: datetime
    notice: str | None
    notice_version: int | None
    valid_until: datetime | None


class Entered(NamedTuple):
    """A statement on record, and what its receipt is made of: the whole record, and what of it is its own."""

    said: Entry
    event: UUID
    frame: Frame
    own: dict[str, Any]
    record: bytes

    def told(self, desk: Desk) -> dict[str, Any]:
        """A `Recorded`."""
        receipt = self.frame.receipt(self.record, self.own, desk.key)
        return self.said._asdict() | {"receipt": receipt, "event": self.event}


async def record(
    tx: Transaction,
    desk: Desk,
    principal: UUID,
    matter: Matter,
    state: State,
    claimed: datetime | None,
    details: Mapping[str, Any],
    notice: NoticeVersion | None = None,
    until: datetime | None = None,
    evidence_ref: str | None = None,
) -> Recorded:
    spoken = Spoken(desk, principal, matter, state, claimed, details, notice, until=until, evidence_ref=evidence_ref)
    (outcome,) = await record_all(tx, [spoken])
    await tx.flush()
    if isinstance(outcome, Problem):
        raise outcome
    return Recorded(**outcome.told(desk))


async def stands(tx: Transaction, principal: UUID, matter: Matter) -> "Counted | None":
    """What counts on a matter now, and until this transaction ends."""
    about = (principal, matter.kind.value, matter.regulation.value, matter.purpose)
    await tx.lock(name(tx.tenant, about))
    row = await tx.connection.fetchrow(_COUNTED, tx.tenant, *_columns([(*about, None, None)]))
    return _counted(row) if row is not None else None


async def lock_matters(tx: Transaction, principals: Iterable[UUID], matters: Sequence[Matter]) -> None:
    """Nothing is recorded of these people on these matters until this transaction ends."""
    await lock_each(tx, [(who, each) for who in principals for each in matters])


async def to_answer(tx: Transaction, principal: UUID, purpose: str) -> list[Matter]:
    """What her answer to a question is about: whatever she said of the purpose, by whichever law, since each of it stands in the way
    alone."""
    consents = recordings.consents_to(purpose)
    await lock_matters(tx, [principal], consents)
    spoken = [each for each in consents if await stands(tx, principal, each) is not None]
    return spoken or [Matter(Kind.consent, Regulation.gdpr, purpose)]


async def lock_each(tx: Transaction, about: Iterable[tuple[UUID, Matter]]) -> None:
    """All at once, so that nobody who wants the same ones in another order waits for us and we for them."""
    said = ((who, each.kind.value, each.regulation.value, each.purpose) for who, each in about)
    await tx.lock(*(name(tx.tenant, each) for each in said))


async def record_all(tx: Transaction, spoken: Sequence[Spoken]) -> list[Entered | Problem]:
    """The outcome of each, in their order; at most some hundreds at once, for each takes a lock. The rows are due (`Transaction.write`)."""
    if not spoken:
        return []
    await tx.flush()
    await tx.share(notices.name(tx.tenant))
    abouts = [each.about for each in spoken]
    await tx.lock(*(name(tx.tenant, about) for about in abouts))
    counted, children, ends, there, duties = await _known(tx, spoken, abouts)
    now = clock.now()
    outcomes: list[Entered | Problem] = []
    facts: list[Composed] = []
    frames: dict[bytes, Frame] = {}
    rows: list[dict[str, Any]] = []
    changed: dict[tuple, Counted] = {}
    for place, (each, about) in enumerate(zip(spoken, abouts, strict=True), 1):
        if place % AT_A_STRETCH == 0:
            await asyncio.sleep(0)
        before = counted.get(about)
        try:
            said = _statement(tx.tenant, each, before, now)
            _must_speak_for_herself(each, said, children)
            if each.notice is not None and each.state not in _WHATEVER_WORDS:
                notices.must_be_in_force(each.notice, ends.get(each.told), said.occurred_at)
            same = _same(*about, said.state.value, said.notice, said.notice_version, said.occurred_at)
            if same in there:
                raise AlreadyRecorded("The same was said for the same instant before; nothing was recorded twice.")
        except Problem as refused:
            outcomes.append(refused)
            continue
        there.add(same)
        counted[about] = changed[about] = _counts(said, before)
        desk = each.desk
        framed = frame(tx.tenant, desk.book, desk.publisher, desk.caller, each.matter, each.notice, each.details)
        frames[framed.sha256] = framed
        supersedes = before.statement if before is not None and said.current else None
        alone = own(said, supersedes, each.evidence_ref)
        written = framed.record(alone)
        fact = tx.compose(
            _EVENTS[each.matter.kind, each.state],
            _as_event(each, said, alone, sha256(written).hexdigest(), duties),
            each.principal,
            each.traceparent,
            now,
        )
        facts.append(fact)
        outcomes.append(Entered(said, fact.id, framed, alone, written))
        kept = {"event": fact.id, "frame": framed.sha256.hex(), "evidence_ref": each.evidence_ref}
        rows.append(said._asdict() | kept)
    if facts:
        said_once = [(each.sha256, each.said) for each in frames.values()]
        tx.write(_FRAMES, tx.tenant, *_columns(said_once))
        tx.tell(facts)
        standing = [dict(zip(_ABOUT, about, strict=True)) | counts._asdict() for about, counts in changed.items()]
        tx.write(_STATEMENTS, tx.tenant, _as_json(rows))
        tx.write(_STANDING, tx.tenant, _as_json(standing))
    entered = [each.said for each in outcomes if isinstance(each, Entered)]
    ended = {said.principal for said in entered if said.current and rules.protects(said.state)}
    if ended:
        await tx.flush()
        await recordings.review_after(tx, spoken[0].desk.book, ended)
    return outcomes


async def _known(
    tx: Transaction, spoken: Sequence[Spoken], abouts: Sequence[tuple]
) -> tuple[dict[tuple, Counted], dict[UUID, date], dict[tuple, datetime | None], set[tuple], frozenset[str]]:
    """Under the locks: what counts on each matter, who is a child and born when, when a notice was followed by another, what was said
    before for the instants that are claimed, which duties stand."""
    connection = tx.connection
    asked = {(*about, *each.told) for each, about in zip(spoken, abouts, strict=True)}
    rows = await connection.fetch(_COUNTED, tx.tenant, *_columns(asked))
    counted = {tuple(row)[:4]: found for row in rows if (found := _counted(row)) is not None}
    children = {row["principal"]: row["born"] for row in rows if row["born"] is not None}
    ends = {(row["told"], row["version"]): row["ends"] for row in rows}
    # Of whom nothing counts on a matter there is no record on it either.
    told = zip(spoken, abouts, strict=True)
    claims = [(*about, each.claimed) for each, about in told if each.claimed is not None and about in counted]
    there = {_same(*row) for row in await connection.fetch(_THERE, tx.tenant, *_columns(claims))} if claims else set()
    ended = [each.matter.purpose for each in spoken if _may_erase(each)]
    duties = await connection.fetch(_DUTIES, tx.tenant, ended) if ended else ()
    return counted, children, ends, there, frozenset(row["purpose"] for row in duties)


def _same(
    principal: UUID,
    kind: str,
    regulation: str,
    purpose: str,
    state: str,
    notice: str | None,
    version: int | None,
    at: datetime,
) -> tuple:
    """What makes two statements the same. Whether a consent renews another depends on what arrived before it, and is none of it."""
    state = State.given.value if state == State.renewed else state
    return principal, kind, regulation, purpose, state, notice, version, at


def _counted(row: asyncpg.Record) -> Counted | None:
    if row["sequence"] is None:
        return None
    return Counted(row["sequence"], row["statement"], State(row["state"]), *tuple(row)[9:13])


def name(tenant: UUID, about: tuple) -> str:
    """Of a matter's lock."""
    return "/".join(map(str, (tenant, *about)))


def _must_speak_for_herself(spoken: Spoken, said: Entry, children: Mapping[UUID, date]) -> None:
    if spoken.state is State.given:
        born, parental = children.get(spoken.principal), spoken.details.get("type") == "parental"
        # A guardian speaks as long as she is a child, whatever day the words are dated.
        at = said.recorded_at if parental else said.occurred_at
        rules.must_speak_for_herself(spoken.desk.book, said.purpose, born, at, parental)


def _statement(tenant: UUID, spoken: Spoken, before: Counted | None, now: datetime) -> Entry:
    """The statement as it will stand. `before`: what counted until now."""
    notice, state = spoken.notice, spoken.state
    counted = None if before is None else rules.microseconds(before.occurred_at)
    said_at = rules.when_said(spoken.claimed, now, counted)
    if state is State.given and counted is not None and before.state in _STAND and counted < said_at:
        state = State.renewed
    named = (notice.notice, notice.version) if notice else None
    record = rules.record_id(tenant, spoken.principal, spoken.matter, state, named, said_at)
    current = before is None or (
        rules.rank(said_at, state, record) > rules.rank(counted, before.state, before.statement)
    )
    occurred_at = rules.instant(said_at)
    book = spoken.desk.book
    lasts = spoken.until
    if state in _STAND:
        longest = book.consent_validity(spoken.matter.purpose).after(occurred_at, book.tz)
        lasts = longest if lasts is None else min(lasts, longest)
    return Entry(
        record=record,
        principal=spoken.principal,
        kind=spoken.matter.kind,
        regulation=spoken.matter.regulation,
        purpose=spoken.matter.purpose,
        state=state,
        sequence=1 if before is None else before.sequence + 1,
        current=current,
        notice=notice.notice if notice else None,
        notice_version=notice.version if notice else None,
        occurred_at=occurred_at,
        recorded_at=now,
        valid_until=lasts,
    )


_STAND = frozenset({State.given, State.renewed})
# A no counts under whichever words it was said, and a consent ends under those it was given under.
_WHATEVER_WORDS = frozenset({State.refused, State.expired})


def _counts(said: Entry, before: Counted | None) -> Counted:
    if before is not None and not said.current:
        return before._replace(sequence=said.sequence)
    return Counted(
        said.sequence, said.record, said.state, said.occurred_at, said.notice, said.notice_version, said.valid_until
    )


def _as_json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows, default=str).decode()  # the driver's own UUIDs are of another class


def _columns(rows: Iterable[tuple]) -> list[tuple]:
    return list(zip(*rows, strict=True))


def _may_erase(spoken: Spoken) -> bool:
    if "import" in spoken.details:
        return False  # said long ago to somebody else's system, which had to erase then
    return spoken.state is State.withdrawn and spoken.desk.book.withdrawal(spoken.matter.purpose) is not None


def _erasing(spoken: Spoken, duties: frozenset[str]) -> dict[str, Any]:
    """What the withdrawal's followers erase because nothing but this consent carried it."""
    if not _may_erase(spoken):
        return {}
    erased = rules.erased_on_withdrawal(spoken.desk.book, spoken.matter.purpose, spoken.matter.purpose in duties)
    if not erased:
        return {}
    told: dict[str, Any] = {"erase_rule": erased[0], "erase_elements": erased[1]}
    return told | ({"vouched": spoken.vouched.model_dump(mode="json")} if spoken.vouched else {})


_EVENTS = {
    (Kind.consent, State.given): "consent.given",
    (Kind.consent, State.renewed): "consent.given",
    (Kind.consent, State.withdrawn): "consent.withdrawn",
    (Kind.consent, State.requested): "consent.requested",
    (Kind.consent, State.deferred): "consent.request_deferred",
    (Kind.consent, State.refused): "consent.refused",
    (Kind.consent, State.revoked): "consent.revoked",
    (Kind.consent, State.expired): "consent.expired",
    (Kind.consent, State.invalidated): "consent.invalidated",
    (Kind.consent, State.unknown): "consent.unknown",
    (Kind.objection, State.raised): "objection.raised",
    (Kind.objection, State.lifted): "objection.lifted",
    (Kind.objection, State.overruled): "objection.overruled",
    (Kind.restriction, State.set): "restriction.set",
    (Kind.restriction, State.lifted): "restriction.lifted",
}


def _as_event(
    spoken: Spoken, said: Entry, alone: Mapping[str, Any], fingerprint: str, duties: frozenset[str]
) -> dict[str, Any]:
    """A `Stated`, written without being validated once more. alone: what her record says that is its own."""
    told: dict[str, Any] = {
        "record": alone["record_id"],
        "sha256": fingerprint,
        "kind": said.kind.value,
        "regulation": said.regulation.value,
        "purpose": said.purpose,
        "state": alone["state"],
        "sequence": said.sequence,
        "occurred_at": alone["event_time"],
        "notice": said.notice,
        "notice_version": said.notice_version,
        "valid_until": alone["valid_until"],
    }
    if "case" in spoken.details:
        told["case"] = spoken.details["case"]
    return told | _erasing(spoken, duties) if said.current else told
