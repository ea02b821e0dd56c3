"""What people are told: published in versions, and a published version never changes."""

import time
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
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
        party=published["party"],
        valid_from=notice.valid_from or now,
        valid_to=notice.valid_to,
        sha256=receipts.fingerprint(published),
        published_at=now,
        published_by=desk.caller.subject,
    )
    tx.session.add(row)
    _read.pop((tx.tenant, notice.notice, before or 0), None)
    told = NoticePublished(**row.model_dump(include=set(NoticePublished.model_fields)))
    await tx.emit("notice.published", told.model_dump(mode="json"))
    return queries.as_notice(row)


async def _newest_version(tx: Transaction, notice: str) -> int | None:
    newest = select(NoticeVersion.version).where(NoticeVersion.notice == notice).order_by(NoticeVersion.version.desc())
    return (await tx.session.execute(newest.limit(1))).scalar()


async def in_force(tx: Transaction, notice: str, version: int, at: datetime | None = None) -> NoticeVersion:
    """The version, if it is what people are told now, or were told at the instant when this one spoke."""
    row, next_from = await _known(tx, notice, version)
    at = at or clock.now()
    if at < row.valid_from or (row.valid_to is not None and row.valid_to <= at) or (next_from and next_from <= at):
        raise NoticeNotInForce("Consent refers to the version that was in force when it was given.")
    return row


async def published(tx: Transaction, notice: str, version: int) -> NoticeVersion:
    """A version whatever its days."""
    return (await _known(tx, notice, version))[0]


# What is published never changes, so it is read once; only what follows it may come later, and is asked again every few seconds.
_read: dict[tuple[UUID, str, int], tuple[NoticeVersion, datetime | None, float]] = {}
_REMEMBERED = 10_000
_ASK_AGAIN = 2.0


async def _known(tx: Transaction, notice: str, version: int) -> tuple[NoticeVersion, datetime | None]:
    """A version, and from when a later one is in force."""
    key = (tx.tenant, notice, version)
    held = _read.get(key)
    if held is not None and time.monotonic() - held[2] < _ASK_AGAIN:
        return held[0], held[1]
    row = await tx.session.get(NoticeVersion, key)
    if row is None:
        raise UnknownNotice("Consent refers to one published version of a notice.")
    later = select(sa.func.min(NoticeVersion.valid_from)).where(
        NoticeVersion.notice == notice, NoticeVersion.version > version
    )
    next_from = (await tx.session.execute(later)).scalar()
    tx.session.expunge(row)
    if len(_read) >= _REMEMBERED:
        _read.clear()
    _read[key] = (row, next_from, time.monotonic())
    return row, next_from
