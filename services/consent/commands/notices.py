"""What people are told: published in versions, and a published version never changes."""

from datetime import datetime
from uuid import UUID

from sqlmodel import select

from chassis import clock
from chassis.db import Transaction
from services.consent import queries, receipts, rules
from services.consent.commands.desk import Desk
from services.consent.contract import Notice, NoticeNotInForce, NoticePublished, PublishNotice, UnknownNotice
from services.consent.tables import NoticeVersion


async def publish(tx: Transaction, desk: Desk, notice: PublishNotice) -> Notice:
    for each in notice.purposes:
        rules.must_be_in_book(desk.book, each.purpose, each.categories)
    await tx.lock(name(tx.tenant))
    before = await _newest_version(tx, notice.notice)
    now = clock.now()
    published = notice.model_dump(mode="json") | {"version": (before or 0) + 1}
    row = NoticeVersion(
        tenant=tx.tenant,
        notice=notice.notice,
        version=(before or 0) + 1,
        channel=notice.channel,
        texts=published["texts"],
        controller=notice.controller,
        purposes=published["purposes"],
        withdrawal_url=notice.withdrawal_url,
        party=published["party"],
        valid_from=notice.valid_from or now,
        valid_to=notice.valid_to,
        sha256=receipts.fingerprint(published),
        published_at=now,
        published_by=desk.caller.subject,
    )
    tx.session.add(row)
    told = NoticePublished(**row.model_dump(include=set(NoticePublished.model_fields)))
    await tx.emit("notice.published", told.model_dump(mode="json"))
    return queries.as_notice(row)


async def _newest_version(tx: Transaction, notice: str) -> int | None:
    newest = select(NoticeVersion.version).where(NoticeVersion.notice == notice).order_by(NoticeVersion.version.desc())
    return (await tx.session.execute(newest.limit(1))).scalar()


def must_be_in_force(row: NoticeVersion, ends: datetime | None, at: datetime) -> None:
    """ends: when a later version begins."""
    if at < row.valid_from or any(end is not None and end <= at for end in (row.valid_to, ends)):
        raise NoticeNotInForce("Consent refers to the version that was in force when it was given.")


def name(tenant: UUID) -> str:
    """Of the lock that whoever publishes holds, and whoever records what was read shares: the one begins after the other."""
    return f"notices {tenant}"


# What is published never changes, so it is read once. Whether another version followed is asked where it is recorded.
_read: dict[tuple[UUID, str, int], NoticeVersion] = {}
_REMEMBERED = 10_000


async def published(tx: Transaction, notice: str, version: int) -> NoticeVersion:
    """A version, whatever its days. Raises UnknownNotice."""
    key = (tx.tenant, notice, version)
    row = _read.get(key)
    if row is None:
        row = await tx.session.get(NoticeVersion, key)
        if row is None:
            raise UnknownNotice("Consent refers to one published version of a notice.")
        tx.session.expunge(row)
        if len(_read) >= _REMEMBERED:
            _read.clear()
        _read[key] = row
    return row
