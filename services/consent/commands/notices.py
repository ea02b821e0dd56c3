"""What people are told: published in versions, and a published version never changes."""

from uuid import UUID

from sqlmodel import select

from chassis import clock
from chassis.db import Transaction
from services.consent import receipts, rules
from services.consent.commands.desk import Desk
from services.consent.contract import Notice, NoticeNotInForce, NoticePublished, PublishNotice, UnknownNotice
from services.consent.tables import NoticeVersion


async def publish(tx: Transaction, desk: Desk, notice: PublishNotice) -> Notice:
    for each in notice.purposes:
        rules.must_be_in_book(desk.book, each.purpose, each.categories)
    await tx.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"notice {notice.notice}")
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
        valid_from=notice.valid_from or now,
        valid_to=notice.valid_to,
        sha256=receipts.fingerprint(published),
        published_at=now,
        published_by=desk.caller.subject,
    )
    tx.session.add(row)
    told = NoticePublished(**row.model_dump(include=set(NoticePublished.model_fields)))
    await tx.emit("notice.published", told.model_dump(mode="json"))
    return Notice(**row.model_dump(), supersedes=before)


async def _newest_version(tx: Transaction, notice: str) -> int | None:
    newest = select(NoticeVersion.version).where(NoticeVersion.notice == notice).order_by(NoticeVersion.version.desc())
    return (await tx.session.execute(newest.limit(1))).scalar()


async def in_force(tx: Transaction, notice: str, version: int) -> NoticeVersion:
    row = _published.get((tx.tenant, notice, version)) or await _remember_notice(tx, notice, version)
    now = clock.now()
    if now < row.valid_from or (row.valid_to is not None and row.valid_to <= now):
        raise NoticeNotInForce("Ask with the version that is in force now.")
    return row


# What is published never changes, so it is read once. Only committed versions come here: the one just published is not.
_published: dict[tuple[UUID, str, int], NoticeVersion] = {}
_REMEMBERED = 10_000


async def _remember_notice(tx: Transaction, notice: str, version: int) -> NoticeVersion:
    row = await tx.session.get(NoticeVersion, (tx.tenant, notice, version))
    if row is None:
        raise UnknownNotice("Consent refers to one published version of a notice.")
    tx.session.expunge(row)
    if len(_published) >= _REMEMBERED:
        _published.clear()
    _published[tx.tenant, notice, version] = row
    return row
