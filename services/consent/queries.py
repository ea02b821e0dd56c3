"""Reads: notices in force, what a person said, what it adds up to, and the proof of it."""

from base64 import b64decode
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import orjson
from joserfc.jwk import OKPKey
from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import and_, or_, select

from chassis import clock
from chassis.db import Database, Transaction
from chassis.errors import Malformed, NotFound
from chassis.ledger import queries as ledger
from chassis.ledger.contract import Inclusion, NotInLedger
from chassis.ledger.merkle import leaf_hash
from services.consent import receipts, rules
from services.consent.contract import (
    Consequence,
    Kind,
    Notice,
    Notices,
    NotYetInLedger,
    RecordDiffers,
    Recorded,
    Records,
    StandingConsent,
    StandingObjection,
    StandingRestriction,
    State,
    UnknownNotice,
    UnknownPurpose,
)
from services.consent.contract import Standing as StandingTold
from services.consent.records import Frame, own, purpose_of
from services.consent.tables import Guardianship, NoticeVersion, RecordFrame, Standing, Statement, TenantDuty
from services.registry.contract import PolicyBook


async def notices_in_force(tx: Transaction) -> Notices:
    """The newest version of each notice that is in force now."""
    return Notices(items=[as_notice(row) for row in await versions_in_force(tx)])


async def versions_in_force(tx: Transaction) -> list[NoticeVersion]:
    """Of each notice the newest version that began, unless it is over: none before it comes back."""
    now = clock.now()
    found = (
        select(NoticeVersion)
        .where(NoticeVersion.valid_from <= now)
        .order_by(NoticeVersion.notice, NoticeVersion.version.desc())
        .ext(distinct_on(NoticeVersion.notice))
    )
    rows = (await tx.session.execute(found)).scalars()
    return [row for row in rows if row.valid_to is None or row.valid_to > now]


async def notice(tx: Transaction, name: str, version: int) -> Notice:
    row = await tx.session.get(NoticeVersion, (tx.tenant, name, version))
    if row is None:
        raise UnknownNotice
    return as_notice(row)


def as_notice(row: NoticeVersion) -> Notice:
    words = {language: receipts.fingerprint(text) for language, text in row.texts.items()}
    return Notice(**row.model_dump(), supersedes=row.version - 1 or None, content_sha256=words)


async def records(tx: Transaction, principal: UUID, after: str | None, limit: int) -> Records:
    """Everything a person ever said, newest record first. `after`: the cursor of the page before."""
    counts = and_(
        Standing.tenant == Statement.tenant,
        Standing.principal == Statement.principal,
        Standing.statement == Statement.id,
    )
    found = select(Statement, Standing.statement).outerjoin(Standing, counts).where(Statement.principal == principal)
    if after is not None:
        found = found.where(Statement.event < _cursor(after))
    rows = (await tx.session.execute(found.order_by(Statement.event.desc()).limit(limit))).all()
    items = [Recorded(**row.model_dump(), record=row.id, current=counting is not None) for row, counting in rows]
    return Records(items=items, next=str(rows[-1][0].event) if len(rows) == limit else None)


async def recorded(tx: Transaction, record: UUID, key: OKPKey) -> Recorded:
    """One statement as it was answered, and whether it decides now."""
    row = await statement(tx, record)
    counting = select(Standing.statement).where(Standing.principal == row.principal, Standing.statement == record)
    current = (await tx.session.execute(counting)).scalar() is not None
    said = row.model_dump() | {"receipt": await receipt(tx, row, key)}
    return Recorded(**said, record=row.id, current=current)


def _cursor(after: str) -> UUID:
    # Events are UUIDv7, so they sort by when they were recorded.
    try:
        return UUID(after)
    except ValueError:
        raise Malformed("`after` is not a cursor of this listing.") from None


async def standing(tx: Transaction, principal: UUID, as_of: datetime | None = None) -> StandingTold:
    if as_of is None:
        found = select(Standing).where(Standing.principal == principal, Standing.statement.is_not(None))
        found = found.order_by(Standing.purpose, Standing.regulation)
        rows = (await tx.session.execute(found)).scalars().all()
        told = [(row.kind, row.model_dump() | {"since": row.occurred_at, "record": row.statement}) for row in rows]
    else:
        counted = await _counted(tx, principal, as_of)
        told = [(row.kind, row.model_dump() | {"since": row.occurred_at, "record": row.id}) for row in counted]
    restrictions = [StandingRestriction(**row) for kind, row in told if kind == Kind.restriction]
    return StandingTold(
        principal=principal,
        consents=[StandingConsent(**row) for kind, row in told if kind == Kind.consent],
        objections=[StandingObjection(**row) for kind, row in told if kind == Kind.objection],
        restriction=restrictions[0] if restrictions else None,
    )


async def _counted(tx: Transaction, principal: UUID, as_of: datetime) -> list[Statement]:
    """The statement of each matter that counted then, among those recorded by then: what came late was not known yet."""
    found = select(Statement).where(Statement.principal == principal, Statement.recorded_at <= as_of)
    best: dict[tuple[str, str, str], tuple[rules.Rank, Statement]] = {}
    for row in (await tx.session.execute(found)).scalars():
        matter = (row.purpose, row.regulation, row.kind)
        ranked = (_rank(row), row)
        if matter not in best or best[matter][0] < ranked[0]:
            best[matter] = ranked
    return [best[matter][1] for matter in sorted(best)]


async def guardianships(tx: Transaction, child: UUID) -> Sequence[Guardianship]:
    """Those that ended as well; empty for whom nobody knows as a child."""
    found = select(Guardianship).where(Guardianship.principal == child).order_by(Guardianship.guardian)
    return (await tx.session.execute(found)).scalars().all()


async def guardianships_with(tx: Transaction, person: UUID | None) -> Sequence[Guardianship]:
    """Those of a child, and those of whoever is a guardian."""
    either = or_(Guardianship.principal == person, Guardianship.guardian == person)
    return (await tx.session.execute(select(Guardianship).where(either))).scalars().all()


async def guardians(tx: Transaction, child: UUID) -> list[UUID]:
    """Who speaks for her now; whoever waits for another of the staff does not, nor who is a child himself."""
    now = clock.now()
    theirs = [
        row.guardian
        for row in await guardianships(tx, child)
        if row.ended_at is None and not row.waiting and (row.until is None or row.until > now)
    ]
    children = await children_of(tx, theirs) if theirs else set()
    return [guardian for guardian in theirs if guardian not in children]


async def children_of(tx: Transaction, people: Sequence[UUID]) -> set[UUID]:
    """Those of these people who are known to be children."""
    return set(
        (await tx.session.scalars(select(Guardianship.principal).where(Guardianship.principal.in_(people)))).all()
    )


async def consequence(tx: Transaction, book: PolicyBook, principal: UUID, purpose: str) -> Consequence:
    """What she is shown before she withdraws."""
    found = select(Standing).where(
        Standing.principal == principal, Standing.kind == Kind.consent, Standing.purpose == purpose
    )
    stands = (await tx.session.execute(found.order_by(Standing.occurred_at.desc().nulls_last()))).scalars().first()
    row = purpose_of(book, purpose)
    if row is None and stands is None:
        raise UnknownPurpose("The policy book in force has no purpose of that name.")
    label = {"sv": row.label.sv, "en": row.label.en} if row else {"sv": purpose, "en": purpose}
    read = None
    if stands is not None and stands.notice is not None:
        read = await tx.session.get(NoticeVersion, (tx.tenant, stands.notice, stands.notice_version))
    duty = await tx.session.get(TenantDuty, (tx.tenant, purpose))
    erased = rules.erased_on_withdrawal(book, purpose, duty is not None and duty.state == "recorded")
    return Consequence(
        purpose=purpose,
        label=label,
        without={"sv": row.without.sv, "en": row.without.en} if row and row.without else None,
        notice={language: words["consequence"] for language, words in read.texts.items()} if read else None,
        standing=State(stands.state) if stands is not None and stands.state else None,
        erased=erased[1] if erased else [],
    )


async def statement(tx: Transaction, record: UUID) -> Statement:
    row = await tx.session.get(Statement, (tx.tenant, record))
    if row is None:
        raise NotFound
    return row


async def _superseded(tx: Transaction, row: Statement) -> UUID | None:
    """What counted on the matter until this statement did; None for one that came too late to count."""
    matter = ("principal", "kind", "regulation", "purpose")
    same = (getattr(Statement, name) == getattr(row, name) for name in matter)
    earlier = (await tx.session.execute(select(Statement).where(*same, Statement.sequence < row.sequence))).scalars()
    before = max(earlier, key=_rank, default=None)
    return before.id if before is not None and _rank(before) < _rank(row) else None


def _rank(row: Statement) -> rules.Rank:
    return rules.rank(rules.microseconds(row.occurred_at), State(row.state), row.id)


async def receipt(tx: Transaction, row: Statement, key: OKPKey) -> str:
    """The receipt of a statement, the same each time. Raises RecordDiffers for what is not as it was when it was said."""
    if row.receipt is not None:
        return row.receipt  # of a time when they were kept
    kept = (await tx.session.get(RecordFrame, (tx.tenant, row.frame))).body
    alone = own(
        Recorded(**row.model_dump(), record=row.id, current=False), await _superseded(tx, row), row.evidence_ref
    )
    if receipts.of_earlier_release(kept):
        del alone["supersedes"]
    frame = Frame(kept)
    record = frame.record(alone)
    event = await tx.connection.fetchval("SELECT body FROM event WHERE id = $1", row.event)
    if orjson.loads(event)["data"]["sha256"] != sha256(record).hexdigest():
        raise RecordDiffers("What is stored is not what the ledger has the fingerprint of; nothing is signed.")
    return frame.receipt(record, alone, key)


async def proof(database: Database, row: Statement) -> Inclusion:
    """That its event stands in the ledger. Raises NotYetInLedger, and RecordDiffers for an event that is not what was entered."""
    async with database.system() as connection:
        try:
            found = await ledger.inclusion(connection, database.service, row.event, row.tenant)
        except NotInLedger:
            raise NotYetInLedger from None
    if b64decode(found.leaf) != leaf_hash(found.body.encode()):
        raise RecordDiffers("What is stored is not what was entered into the ledger; nothing proves it.")
    return found
