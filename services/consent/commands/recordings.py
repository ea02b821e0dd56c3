"""Whether a call is recorded: decided when it begins, when somebody in it answers, and again whenever a consent or a duty ends.

A withdrawal in mid-call stops the recording in its own transaction: the ledger has `recording.stop` right behind it.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import asyncpg

from chassis import clock
from chassis.db import Transaction
from services.consent import rules
from services.consent.contract import CallTold, Kind, Reason, Regulation, State
from services.consent.rules import Matter, Said, Verdict
from services.registry.contract import NotInBook, PolicyBook

_SAID = """
SELECT principal, kind, regulation, purpose, state, occurred_at, valid_until, notice, notice_version FROM standing
WHERE tenant = $1 AND principal = ANY ($2) AND (purpose = $3 OR kind = 'restriction') AND statement IS NOT NULL"""
_NOTICES = """
SELECT n.notice, n.version, n.purposes FROM notice_version n
JOIN unnest($2::text[], $3::int[]) named(notice, version) USING (notice, version) WHERE n.tenant = $1"""
_DUTY = "SELECT legal_ref FROM tenant_duty WHERE tenant = $1 AND purpose = $2 AND state = 'recorded'"
_PARTIES = "SELECT principal FROM call_party WHERE tenant = $1 AND call = $2 ORDER BY party"
_OPEN = """
SELECT id, purpose, category, reason, legal_ref FROM call WHERE tenant = $1 AND recording AND ({whose}) ORDER BY id FOR UPDATE"""
_WITH_THEM = _OPEN.format(
    whose="id IN (SELECT call FROM call_party WHERE tenant = $1 AND principal = ANY ($2::uuid[]))"
)
_BY_DUTY = _OPEN.format(whose="purpose = $2")
_STOP = (
    "UPDATE call SET recording = false, reason = $3, legal_ref = NULL, stopped_at = $4 WHERE tenant = $1 AND id = $2"
)


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
    said, covering = await _said(tx, book, purpose, category, [each for each in parties if each])
    mine, *others = ([*said.get(each, ())] for each in parties)
    verdict = rules.decide(ground, mine, others, operation=None, covering=covering, now=rules.microseconds(clock.now()))
    return verdict, duty if ground.by_duty else None


async def review_after(tx: Transaction, book: PolicyBook, principals: Iterable[UUID]) -> None:
    """Stop every recording that what these people just said forbids; where a duty keeps one going, say so."""
    for call in await tx.connection.fetch(_WITH_THEM, tx.tenant, sorted(set(principals))):
        await _review(tx, book, call)


async def review_duty(tx: Transaction, book: PolicyBook, purpose: str) -> None:
    """A duty to record that ends takes the recordings with it that nothing else allows."""
    for call in await tx.connection.fetch(_BY_DUTY, tx.tenant, purpose):
        await _review(tx, book, call)


def matters(purpose: str) -> list[Matter]:
    """Everything a person could say that bears on this purpose."""
    consents = [Matter(Kind.consent, regulation, purpose) for regulation in Regulation]
    others = [Matter(Kind.objection, Regulation.gdpr, purpose)]
    return [*consents, *others, Matter(Kind.restriction, Regulation.gdpr, rules.EVERY_PURPOSE)]


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


async def _said(
    tx: Transaction, book: PolicyBook, purpose: str, category: str, principals: list[UUID]
) -> tuple[dict[UUID, list[Said]], frozenset[int]]:
    """What each of them said of the purpose, and which of the notices they read speak of the category. Notices are numbered from 1."""
    rows = await tx.connection.fetch(_SAID, tx.tenant, principals, purpose)
    read = sorted({(row["notice"], row["notice_version"]) for row in rows if row["notice"]})
    numbers = {named: number for number, named in enumerate(read, start=1)}
    said: dict[UUID, list[Said]] = {}
    for row in rows:
        statement = Said(
            Matter(Kind(row["kind"]), Regulation(row["regulation"]), row["purpose"]),
            State(row["state"]),
            rules.microseconds(row["occurred_at"]),
            rules.microseconds(row["valid_until"]) if row["valid_until"] else None,
            numbers.get((row["notice"], row["notice_version"])),
        )
        said.setdefault(row["principal"], []).append(statement)
    wanted = set(book.elements_of(category))
    texts = (
        await tx.connection.fetch(_NOTICES, tx.tenant, *([*column] for column in zip(*read, strict=True)))
        if read
        else ()
    )
    covering = {
        numbers[row["notice"], row["version"]]
        for row in texts
        if wanted <= {element for each in _explained(row["purposes"], purpose) for element in _elements(book, each)}
    }
    return said, frozenset(covering)


def _explained(purposes: list[dict], purpose: str) -> list[str]:
    return [category for each in purposes if each["purpose"] == purpose for category in each["categories"]]


def _elements(book: PolicyBook, category: str) -> tuple[str, ...]:
    try:
        return book.elements_of(category)
    except NotInBook:
        return ()  # of an earlier book that the present one no longer has
