"""Whether a call is recorded: decided when it begins, when somebody in it answers, and again whenever a consent or a duty ends or
another policy book comes into force.

A withdrawal in mid-call stops the recording in its own transaction: the ledger has `recording.stop` right behind it.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import asyncpg

from chassis import clock
from chassis.db import Transaction
from services.consent import rules, spoken
from services.consent.contract import CallTold, Kind, Reason, Regulation
from services.consent.rules import Matter, Verdict
from services.registry.contract import PolicyBook

_DUTY = "SELECT legal_ref FROM tenant_duty WHERE tenant = $1 AND purpose = $2 AND state = 'recorded'"
_PARTIES = "SELECT principal FROM call_party WHERE tenant = $1 AND call = $2 ORDER BY party"
_OPEN = """
SELECT id, purpose, category, reason, legal_ref FROM call WHERE tenant = $1 AND recording AND ({whose}) ORDER BY id FOR UPDATE"""
_WITH_THEM = _OPEN.format(
    whose="id IN (SELECT call FROM call_party WHERE tenant = $1 AND principal = ANY ($2::uuid[]))"
)
_BY_DUTY = _OPEN.format(whose="purpose = $2")
_BY_ANOTHER_BOOK = _OPEN.format(whose="book_rows <> $2")
_STOP = (
    "UPDATE call SET recording = false, reason = $3, legal_ref = NULL, stopped_at = $4 WHERE tenant = $1 AND id = $2"
)
_GOES_ON = "UPDATE call SET book_rows = $2 WHERE tenant = $1 AND recording AND book_rows <> $2"


async def may_record(
    tx: Transaction, book: PolicyBook, purpose: str, category: str, parties: Sequence[UUID | None]
) -> tuple[Verdict, str | None]:
    """The verdict, and where the tenant is obliged to record, by which law. One party that nobody knows and it is no."""
    duty = await tx.connection.fetchval(_DUTY, tx.tenant, purpose)
    ground = rules.ground(book, purpose, category, duty is not None)
    if isinstance(ground, Reason):
        return Verdict(False, ground), None
    if not ground.by_duty and None in parties:
        return Verdict(False, Reason.participants_unknown), None
    said, covering = await spoken.said_of(tx, book, purpose, category, [each for each in parties if each])
    mine, *others = ([*said.get(each, ())] for each in parties)
    verdict = rules.decide(ground, mine, others, operation=None, covering=covering, now=rules.microseconds(clock.now()))
    return verdict, duty if ground.by_duty else None


def duty(tenant: UUID, purpose: str) -> str:
    """Of the lock that whoever sets a duty holds, and whoever begins a recording by it shares: a call that begins meanwhile would be
    found by neither."""
    return f"duty {tenant} {purpose}"


async def review_after(tx: Transaction, book: PolicyBook, principals: Iterable[UUID]) -> None:
    """Stop every recording that what these people just said forbids; where a duty keeps one going, say so."""
    for call in await tx.connection.fetch(_WITH_THEM, tx.tenant, sorted(set(principals))):
        await _review(tx, book, call)


async def review_duty(tx: Transaction, book: PolicyBook, purpose: str) -> None:
    """A duty to record that ends takes the recordings with it that nothing else allows."""
    for call in await tx.connection.fetch(_BY_DUTY, tx.tenant, purpose):
        await _review(tx, book, call)


async def review_book(tx: Transaction, book: PolicyBook) -> None:
    """What was decided by another book, or by rows of it that do not apply any more, is decided by this one."""
    rows = rules.rows_of(book)
    for call in await tx.connection.fetch(_BY_ANOTHER_BOOK, tx.tenant, rows):
        await _review(tx, book, call)
    await tx.connection.execute(_GOES_ON, tx.tenant, rows)


def consents_to(purpose: str) -> list[Matter]:
    """By whichever law."""
    return [Matter(Kind.consent, law, purpose) for law in sorted(Regulation)]


def matters(purpose: str) -> list[Matter]:
    """Everything a person could say that bears on this purpose."""
    others = [Matter(Kind.objection, Regulation.gdpr, purpose)]
    return [*consents_to(purpose), *others, Matter(Kind.restriction, Regulation.gdpr, rules.EVERY_PURPOSE)]


async def _review(tx: Transaction, book: PolicyBook, call: asyncpg.Record) -> None:
    parties = [row["principal"] for row in await tx.connection.fetch(_PARTIES, tx.tenant, call["id"])]
    verdict, duty = await may_record(tx, book, call["purpose"], call["category"], parties)
    told = CallTold(call=call["id"], reason=verdict.reason, recording=verdict.allowed, legal_ref=duty)
    if verdict.allowed:
        if duty is not None:
            await tx.emit("recording.kept", told.model_dump(mode="json"))
        return
    await tx.connection.execute(_STOP, tx.tenant, call["id"], verdict.reason.value, clock.now())
    await tx.emit("recording.stop", told.model_dump(mode="json"))
