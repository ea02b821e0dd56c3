"""A question for consent at an address of its own: put by an API consumer, answered by the person after she logged in."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlencode
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import select

from chassis import clock
from chassis.db import Database, Transaction
from chassis.errors import Problem
from services.consent import camara, queries, rules, spoken
from services.consent.camara import Refusal
from services.consent.commands import notices, people, recordings
from services.consent.commands.desk import Desk
from services.consent.commands.recording import lock_matters, record, to_answer
from services.consent.commands.statements import must_rest_on_consent
from services.consent.contract import (
    BadCallback,
    Callbacks,
    Kind,
    RetrievedStatus,
    RetrieveStatus,
    SetCallbacks,
    State,
    StatusInfo,
)
from services.consent.rules import Said
from services.consent.tables import Capture, CaptureCallback, NoticeVersion
from services.registry.contract import PolicyBook

_FIND = "SELECT tenant FROM capture WHERE token = $1"
# A question takes nothing away from what she answered, so her standing does not show it.
_ASKED = """
SELECT EXISTS (SELECT FROM statement WHERE tenant = $1 AND principal = $2 AND kind = 'consent' AND purpose = $3
  AND state IN ('requested', 'request_deferred') AND occurred_at > coalesce(
    (SELECT max(occurred_at) FROM standing WHERE tenant = $1 AND principal = $2 AND kind = 'consent' AND purpose = $3
       AND state NOT IN ('requested', 'request_deferred')), '-infinity'))"""

_ANSWERED = """
SELECT event FROM statement WHERE tenant = $1 AND principal = $2 AND kind = 'consent' AND purpose = $3
ORDER BY recorded_at DESC LIMIT 1"""


async def retrieve(
    tx: Transaction, desk: Desk, principal: UUID, asked: RetrieveStatus, address: str
) -> RetrievedStatus:
    """address: what stands before a capture's token. Raises Refusal."""
    purpose = camara.purpose_of(desk.book, asked.purpose)
    covers = camara.covered_by(desk.book, purpose, asked.scopes)
    if asked.callbackUrl is not None:
        await _must_own(tx, desk.caller.original_client, asked.callbackUrl)
    if asked.requestCaptureUrl:
        await lock_matters(tx, [principal], recordings.consents_to(purpose))
    told = camara.together(await _statuses(tx, desk.book, principal, purpose, asked.purpose, covers))
    askable = [each for each in told if each.statusReason in camara.ASKABLE]
    if not askable or not asked.requestCaptureUrl:
        return RetrievedStatus(statusInfo=told)
    scopes = [scope for each in askable for scope in each.scopes]
    notice = await _notice_for(tx, desk.book, purpose, {covers[scope] for scope in scopes})
    if notice is None:
        return RetrievedStatus(statusInfo=told)
    token = await _put(tx, desk, principal, purpose, scopes, notice, asked.callbackUrl)
    return RetrievedStatus(statusInfo=told, captureUrl=f"{address}/{token}")


async def _statuses(
    tx: Transaction, book: PolicyBook, principal: UUID, purpose: str, named: str, covers: dict[str, str]
) -> list[StatusInfo]:
    """One for each scope."""
    now, found = clock.now(), []
    asked = await tx.connection.fetchval(_ASKED, tx.tenant, principal, purpose)
    for scope, category in covers.items():
        said, covering = await spoken.said_of(tx, book, purpose, category, [principal])
        hers = said.get(principal, [])
        verdict = rules.decide(
            rules.ground(book, purpose, category, False),
            hers,
            None,
            operation=None,
            covering=covering,
            now=rules.microseconds(now),
        )
        found.append(camara.status(named, scope, verdict, _said_no(book, hers, now), asked))
    return found


def _said_no(book: PolicyBook, hers: Sequence[Said], now: datetime) -> bool:
    """A no is one to the purpose, by whichever law it was said."""
    consents = [each for each in hers if each.matter.kind is Kind.consent]
    pauses = [
        rules.respected_until(book, each.matter.purpose, each.state, rules.instant(each.occurred_at))
        for each in consents
    ]
    return any(until is not None and now < until for until in pauses)


async def _put(
    tx: Transaction,
    desk: Desk,
    principal: UUID,
    purpose: str,
    scopes: list[str],
    notice: NoticeVersion,
    callback: str | None,
) -> str:
    """The token of a fresh address. She is asked, which stands in her record; how often, the policy book bounds."""
    now = clock.now()
    waiting = select(sa.func.count()).where(
        Capture.principal == principal, Capture.outcome.is_(None), Capture.expires_at > now
    )
    if (await tx.session.execute(waiting)).scalar() >= desk.book.number("consent_captures"):
        raise Refusal(
            403,
            "CONSENT_INFO.CAPTURE_FREQUENCY_EXCEEDED",
            "The frequency of consent capture requests has been exceeded. Please try again later.",
        )
    if not await tx.connection.fetchval(_ASKED, tx.tenant, principal, purpose):
        details = {"collection_method": "web_form", "type": "expressed", "asked_by": desk.caller.original_client}
        for matter in await to_answer(tx, principal, purpose):
            await record(tx, desk, principal, matter, State.requested, None, details, notice)
    token = secrets.token_urlsafe(32)
    tx.session.add(
        Capture(
            tenant=tx.tenant,
            token=_hashed(token),
            principal=principal,
            client=desk.caller.original_client,
            purpose=purpose,
            scopes=scopes,
            notice=notice.notice,
            notice_version=notice.version,
            callback=callback,
            consumer_state=None,
            form=None,
            outcome=None,
            expires_at=desk.book.period("consent_capture_expiry").after(now, desk.book.tz),
        )
    )
    return token


async def _notice_for(tx: Transaction, book: PolicyBook, purpose: str, categories: set[str]) -> NoticeVersion | None:
    """A notice in force that people can read on a page, and that speaks of all this."""
    wanted = {element for category in categories for element in book.elements_of(category)}
    for row in await queries.versions_in_force(tx):
        if row.channel in ("web", "app") and wanted <= spoken.explained(book, row.purposes, purpose):
            return row
    return None


# --- the page ------------------------------------------------------------------------------------------------------------


class EarlierPage(Exception):
    """The question was shown anew since, and waits for an answer from there."""


@dataclass(frozen=True)
class Opened:
    """A capture as whoever opens its address finds it."""

    tenant: UUID
    token: str


async def find(database: Database, token: str) -> Opened | None:
    async with database.system() as connection:
        tenant = await connection.fetchval(_FIND, _hashed(token))
    return Opened(tenant, token) if tenant else None


async def read(tx: Transaction, token: str) -> tuple[Capture, NoticeVersion]:
    row = await tx.session.get(Capture, (tx.tenant, _hashed(token)), with_for_update=True)
    return row, await notices.published(tx, row.notice, row.notice_version)


def over(row: Capture, notice: NoticeVersion, book: PolicyBook) -> bool:
    """Answered, too old, or about what rests on consent no longer, or what no scope opens any more."""
    if row.outcome is not None or row.expires_at <= clock.now():
        return True
    if not {each.scope for each in book.api_scopes}.issuperset(row.scopes):
        return True
    try:
        must_rest_on_consent(book, notice, row.purpose)
    except Problem:
        return True
    return False


async def speakers(tx: Transaction, row: Capture) -> list[UUID]:
    """Who may answer: she herself, and of a child its guardians."""
    return [row.principal, *await people.speaking_for(tx, row.principal)]


async def show(row: Capture, speaker: UUID) -> str:
    """What the form must bring back: only who was shown the page after logging in has it."""
    form = secrets.token_urlsafe(32)
    row.form = _bound(form, speaker)
    return form


async def answer(tx: Transaction, desk: Desk, token: str, form: str, yes: bool, language: str) -> tuple[Capture, UUID]:
    """The answer, under the notice that was shown, and its last entry in the ledger; the same once more changes nothing. Raises
    EarlierPage, Refusal for a question that is not open, ParentalNeeded for a child's own yes."""
    row, notice = await read(tx, token)
    shown_to = [] if row.form is None else await speakers(tx, row)
    if any(hmac.compare_digest(row.form, _bound(form, each, yes)) for each in shown_to):
        return row, await tx.connection.fetchval(_ANSWERED, tx.tenant, row.principal, row.purpose)
    if over(row, notice, desk.book):
        raise Refusal(400, "INVALID_ARGUMENT", "This page was answered, or is too old.")
    speaker = next((each for each in shown_to if hmac.compare_digest(row.form, _bound(form, each))), None)
    if speaker is None:
        raise EarlierPage
    details = {"language": language, "collection_method": "web_form", "type": "explicit", "asked_by": row.client}
    if speaker != row.principal:
        details |= {"type": "parental", "guardian": str(speaker)}
    state = State.given if yes else State.refused
    person = replace(desk.caller, original_client="capture", kind="customer", subject=str(speaker))
    for matter in await to_answer(tx, row.principal, row.purpose):
        told = await record(tx, desk._replace(caller=person), row.principal, matter, state, None, details, notice)
    row.outcome, row.form = "denied" if not yes else await _outcome(tx, desk.book, row), _bound(form, speaker, yes)
    return row, told.event


async def _outcome(tx: Transaction, book: PolicyBook, row: Capture) -> str:
    """Whether all that was asked for may be done now."""
    covers = {each.scope: each.covers for each in book.api_scopes if each.scope in row.scopes}
    allowed = [
        each.statusValidForProcessing
        for each in await _statuses(tx, book, row.principal, row.purpose, row.purpose, covers)
    ]
    return "granted" if all(allowed) else "partial_grant" if any(allowed) else "denied"


async def back_to(tx: Transaction, row: Capture, outcome: str) -> str | None:
    """The consumer's own address, if it is still, with the outcome and the state it gave; nothing about the person."""
    if row.callback is None or not await _owns(tx, row.client, row.callback):
        return None
    query = {"capture_result": outcome} | ({"state": row.consumer_state} if row.consumer_state is not None else {})
    return row.callback + ("&" if "?" in row.callback else "?") + urlencode(query)


def _bound(form: str, speaker: UUID, answered: bool | None = None) -> bytes:
    return _hashed(f"{form} {speaker}" if answered is None else f"{form} {speaker} {answered}")


def _hashed(token: str) -> bytes:
    return sha256(token.encode()).digest()


# --- where to ------------------------------------------------------------------------------------------------------------


async def set_callbacks(tx: Transaction, client: str, wish: SetCallbacks) -> Callbacks:
    if not all(camara.may_send_back_to(url) for url in wish.urls):
        raise BadCallback("https, this machine's loopback, or an app's own scheme; no fragment, no user.")
    await tx.lock(f"callbacks {tx.tenant} {client}")
    await tx.session.execute(sa.delete(CaptureCallback).where(CaptureCallback.client == client))
    for url in sorted(set(wish.urls)):
        tx.session.add(CaptureCallback(tenant=tx.tenant, client=client, url=url))
    await tx.emit("callbacks.set", {"client": client})
    return Callbacks(client=client, urls=sorted(set(wish.urls)))


async def _must_own(tx: Transaction, client: str, url: str) -> None:
    if not await _owns(tx, client, url):
        raise Refusal(403, "CONSENT_INFO.INVALID_CALLBACK_URL", "The provided callback URL is invalid.")


async def _owns(tx: Transaction, client: str, url: str) -> bool:
    return await tx.session.get(CaptureCallback, (tx.tenant, client, url)) is not None
