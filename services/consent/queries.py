"""Reads: notices in force, what a person said, what it adds up to, and the proof of it."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import and_, or_, select

from chassis import clock
from chassis.db import Database, Transaction
from chassis.errors import Malformed, NotFound
from chassis.ledger import queries as ledger
from chassis.ledger.contract import NotInLedger
from services.consent.contract import (
    Kind,
    Notice,
    Notices,
    NotYetInLedger,
    Receipt,
    Recorded,
    Records,
    StandingConsent,
    StandingObjection,
    StandingRestriction,
    UnknownNotice,
)
from services.consent.contract import Standing as StandingTold
from services.consent.tables import NoticeVersion, Standing, Statement


async def notices_in_force(tx: Transaction) -> Notices:
    """The newest version of each notice that is in force now."""
    now = clock.now()
    found = (
        select(NoticeVersion)
        .where(NoticeVersion.valid_from <= now, or_(NoticeVersion.valid_to.is_(None), NoticeVersion.valid_to > now))
        .order_by(NoticeVersion.notice, NoticeVersion.version.desc())
        .ext(distinct_on(NoticeVersion.notice))
    )
    return Notices(items=[_notice(row) for row in (await tx.session.execute(found)).scalars()])


async def notice(tx: Transaction, name: str, version: int) -> Notice:
    row = await tx.session.get(NoticeVersion, (tx.tenant, name, version))
    if row is None:
        raise UnknownNotice
    return _notice(row)


def _notice(row: NoticeVersion) -> Notice:
    return Notice(**row.model_dump(), supersedes=row.version - 1 or None)


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


async def recorded(tx: Transaction, record: UUID) -> Recorded:
    """One statement as it was answered, and whether it decides now."""
    row = await statement(tx, record)
    counting = select(Standing.statement).where(Standing.principal == row.principal, Standing.statement == record)
    current = (await tx.session.execute(counting)).scalar() is not None
    return Recorded(**row.model_dump(), record=row.id, current=current)


def _cursor(after: str) -> UUID:
    # Events are UUIDv7, so they sort by when they were recorded.
    try:
        return UUID(after)
    except ValueError:
        raise Malformed("`after` is not a cursor of this listing.") from None


async def standing(tx: Transaction, principal: UUID) -> StandingTold:
    found = select(Standing).where(Standing.principal == principal, Standing.statement.is_not(None))
    rows = (await tx.session.execute(found.order_by(Standing.purpose, Standing.regulation))).scalars().all()
    told = [(row.kind, row.model_dump() | {"since": row.occurred_at, "record": row.statement}) for row in rows]
    restrictions = [StandingRestriction(**row) for kind, row in told if kind == Kind.restriction]
    return StandingTold(
        principal=principal,
        consents=[StandingConsent(**row) for kind, row in told if kind == Kind.consent],
        objections=[StandingObjection(**row) for kind, row in told if kind == Kind.objection],
        restriction=restrictions[0] if restrictions else None,
    )


async def statement(tx: Transaction, record: UUID) -> Statement:
    row = await tx.session.get(Statement, (tx.tenant, record))
    if row is None:
        raise NotFound
    return row


async def receipt(database: Database, row: Statement) -> Receipt:
    async with database.system() as connection:
        try:
            proof = await ledger.inclusion(connection, database.service, row.event, row.tenant)
        except NotInLedger:
            raise NotYetInLedger from None
    return Receipt(receipt=row.receipt, proof=proof)
