"""What people are told: published in versions, and a published version never changes."""

import time
from datetime import datetime
from functools import partial
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
    tx.after_commit(partial(_forget, (tx.tenant, notice.notice, before or 0)))
    told = NoticePublished(**row.model_dump(include=set(NoticePublished.model_fields)))
    await tx.emit("notice.published", told.model_dump(mode="json"))
    return queries.as_notice(row)


async def _forget(key: tuple[UUID, str, int]) -> None:
    """After the commit: whoever read the version before it meanwhile was told that it has no end, and must not remember that."""
    global _published
    _published += 1
    _read.pop(key, None)


async def _newest_version(tx: Transaction, notice: str) -> int | None:
    newest = select(NoticeVersion.version).where(NoticeVersion.notice == notice).order_by(NoticeVersion.version.desc())
    return (await tx.session.execute(newest.limit(1))).scalar()


async def in_force(tx: Transaction, notice: str, version: int, at: datetime | None = None) -> NoticeVersion:
    """The version, if it is what people are told now, or were told at the instant when this one spoke."""
    row, ends = await known(tx, notice, version)
    must_be_in_force(row, ends, at or clock.now())
    return row


def must_be_in_force(row: NoticeVersion, ends: datetime | None, at: datetime) -> None:
    if at < row.valid_from or (ends is not None and ends <= at):
        raise NoticeNotInForce("Consent refers to the version that was in force when it was given.")


async def published(tx: Transaction, notice: str, version: int) -> NoticeVersion:
    """A version whatever its days."""
    return (await known(tx, notice, version))[0]


# What is published never changes, so it is read once; only what follows it may come later, and is asked again twice a second.
_read: dict[tuple[UUID, str, int], tuple[NoticeVersion, datetime | None, float]] = {}
_REMEMBERED = 10_000
_ASK_AGAIN = 0.5
_published = 0  # by this process


async def known(tx: Transaction, notice: str, version: int) -> tuple[NoticeVersion, datetime | None]:
    """A version, and when it ends: at its own last instant, or when a later one begins."""
    key = (tx.tenant, notice, version)
    held = _read.get(key)
    if held is not None and time.monotonic() - held[2] < _ASK_AGAIN:
        return held[0], held[1]
    published = _published
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
    ends = min((each for each in (row.valid_to, next_from) if each is not None), default=None)
    if published == _published:
        _read[key] = (row, ends, time.monotonic())
    return row, ends
