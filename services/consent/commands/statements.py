"""What people say of their consent, and how every statement gets on record.

Lock its matter → rule → record, event and standing, in the caller's transaction.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from chassis import clock
from chassis.db import Transaction
from services.consent import receipts, rules
from services.consent.commands import notices
from services.consent.commands.desk import Desk
from services.consent.contract import (
    AlreadyRecorded,
    GiveConsent,
    Kind,
    LanguageMissing,
    NoticePurpose,
    Recorded,
    State,
    Stated,
    WithdrawConsent,
)
from services.consent.rules import Matter
from services.consent.tables import NoticeVersion

# Counting up locks the row, so statements on one matter queue here; a first one is met by the primary key.
_LOCK = """
INSERT INTO standing (tenant, principal, kind, regulation, purpose) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, principal, kind, regulation, purpose) DO UPDATE SET sequence = standing.sequence + 1
RETURNING sequence, statement, state, occurred_at"""
_RECORD = """
WITH written AS (
    INSERT INTO statement (tenant, principal, kind, regulation, purpose, sequence, id, state, occurred_at, notice, notice_version,
                           valid_until, recorded_at, receipt, event)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (tenant, id) DO NOTHING RETURNING true
), counts AS (
    UPDATE standing SET statement = $7, state = $8, occurred_at = $9, notice = $10, notice_version = $11, valid_until = $12
    WHERE $16 AND tenant = $1 AND principal = $2 AND kind = $3 AND regulation = $4 AND purpose = $5
)
SELECT EXISTS (SELECT FROM written)"""


async def give_consent(tx: Transaction, desk: Desk, principal: UUID, wish: GiveConsent) -> Recorded:
    notice = await notices.in_force(tx, wish.notice, wish.notice_version)
    if wish.language not in notice.texts:
        raise LanguageMissing("Ask in a language in which the notice was published.")
    explained = [each for each in map(NoticePurpose.model_validate, notice.purposes) if each.purpose == wish.purpose]
    rules.must_rest_on_consent(
        desk.book, wish.purpose, [category for each in explained for category in each.categories]
    )
    matter = Matter(Kind.consent, wish.regulation, wish.purpose)
    details = {"language": wish.language, "collection_method": wish.method, "type": wish.expression}
    return await record(tx, desk, principal, matter, State.given, wish.occurred_at, details, notice)


async def withdraw_consent(tx: Transaction, desk: Desk, principal: UUID, wish: WithdrawConsent) -> Recorded:
    """Always recorded, whether anything was given or not: what she said holds against whatever arrives late."""
    rules.must_be_in_book(desk.book, wish.purpose, [])
    matter = Matter(Kind.consent, wish.regulation, wish.purpose)
    details = {"collection_method": wish.method}
    return await record(tx, desk, principal, matter, State.withdrawn, wish.occurred_at, details)


async def record(
    tx: Transaction,
    desk: Desk,
    principal: UUID,
    matter: Matter,
    state: State,
    claimed: datetime | None,
    details: dict[str, str],
    notice: NoticeVersion | None = None,
) -> Recorded:
    key = (tx.tenant, principal, matter.kind.value, matter.regulation.value, matter.purpose)
    before = await tx.connection.fetchrow(_LOCK, *key)
    said = _statement(tx.tenant, desk, principal, matter, state, claimed, notice, before)
    record = _as_record(tx.tenant, desk, said, notice) | details
    receipt = _receipt(desk, record, said.recorded_at)
    told = _as_event(said, receipts.fingerprint(record)) | ({"case": details["case"]} if "case" in details else {})
    if state is State.withdrawn and said.current:
        told |= await _erasing(tx, desk, matter.purpose)
    event = await tx.emit(_EVENTS[matter.kind, state], told, principal)
    written = await tx.connection.fetchval(
        _RECORD, *key, said.sequence, said.record, said.state.value, said.occurred_at, said.notice, said.notice_version,
        said.valid_until, said.recorded_at, receipt, event.id, said.current,
    )  # fmt: skip
    if not written:
        raise AlreadyRecorded("The same was said for the same instant before; nothing was recorded twice.")
    return said.model_copy(update={"receipt": receipt, "event": event.id})


def _statement(
    tenant: UUID,
    desk: Desk,
    principal: UUID,
    matter: Matter,
    state: State,
    claimed: datetime | None,
    notice: NoticeVersion | None,
    before: asyncpg.Record,
) -> Recorded:
    """The statement as it will stand, its receipt and event still to be written. `before`: what counted until now, under lock."""
    now, first = clock.now(), before["statement"] is None
    counted = None if first else rules.microseconds(before["occurred_at"])
    if state is State.given and before["state"] in (State.given, State.renewed):
        state = State.renewed
    said_at = rules.when_said(claimed, now, counted)
    named = (notice.notice, notice.version) if notice else None
    record = rules.record_id(tenant, principal, matter, state, named, said_at)
    current = first or (
        rules.rank(said_at, state, record) > rules.rank(counted, State(before["state"]), before["statement"])
    )
    occurred_at = rules.instant(said_at)
    lasts = desk.book.period("consent_validity").after(occurred_at, desk.book.tz) if notice else None
    return Recorded(
        record=record,
        principal=principal,
        kind=matter.kind,
        regulation=matter.regulation,
        purpose=matter.purpose,
        state=state,
        sequence=before["sequence"],
        current=current,
        notice=notice.notice if notice else None,
        notice_version=notice.version if notice else None,
        occurred_at=occurred_at,
        recorded_at=now,
        valid_until=lasts,
        receipt="",
        event=record,
    )


async def _erasing(tx: Transaction, desk: Desk, purpose: str) -> dict[str, Any]:
    """What the withdrawal's followers erase because nothing but this consent carried it."""
    if desk.book.withdrawal(purpose) is None:
        return {}
    duty = await tx.connection.fetchval(
        "SELECT state FROM tenant_duty WHERE tenant = $1 AND purpose = $2", tx.tenant, purpose
    )
    erased = rules.erased_on_withdrawal(desk.book, purpose, duty == "recorded")
    return {"erase_rule": erased[0], "erase_elements": erased[1]} if erased else {}


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


def _as_event(said: Recorded, fingerprint: str) -> dict[str, Any]:
    """A `Stated`, taken from the statement without being validated once more."""
    return said.model_dump(mode="json", include=_STATED) | {"sha256": fingerprint}


_STATED = set(Stated.model_fields) - {"sha256"}


def _as_record(tenant: UUID, desk: Desk, said: Recorded, notice: NoticeVersion | None) -> dict[str, Any]:
    """The record of ISO/IEC TS 27560 that the receipt embeds: everything spelled out, for readers without our database."""
    record = {
        "schema_version": receipts.SCHEMA_VERSION,
        "record_id": str(said.record),
        "principal_id": str(said.principal),
        "tenant": str(tenant),
        "policy_version": desk.book.version,
        "jurisdiction": "SE",
        "kind": said.kind.value,
        "regulation": said.regulation.value,
        "purpose": said.purpose,
        "state": said.state.value,
        "sequence": said.sequence,
        "event_time": said.occurred_at.isoformat(),
        "recorded_at": said.recorded_at.isoformat(),
        "valid_until": said.valid_until.isoformat() if said.valid_until else None,
        "actor": {"client": desk.caller.original_client, "kind": desk.caller.kind},
    }
    if notice is None:
        return record
    explained = [each["categories"] for each in notice.purposes if each["purpose"] == said.purpose]
    return record | {
        "basis": "consent",
        "pii": sorted({category for categories in explained for category in categories}),
        "controllers": [notice.controller],
        "withdrawal_method": notice.withdrawal_url,
        "notice": {"id": notice.notice, "version": notice.version, "sha256": notice.sha256},
    }


def _receipt(desk: Desk, record: dict[str, Any], created: datetime) -> str:
    delay = desk.book.period("consent_merge_delay").elapsed
    return receipts.sign(
        record, desk.key, publisher=desk.publisher, created=created, merge_delay_ms=delay // timedelta(milliseconds=1)
    )
