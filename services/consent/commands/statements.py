"""What people say of their consent. What comes at the same moment is recorded in one transaction, each with its own outcome."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from chassis import clock
from chassis.auth import Caller
from chassis.db import Database, Transaction
from chassis.errors import NotFound, Problem
from chassis.idempotency import Reply, Write
from chassis.together import Made, Together
from services.consent import queries, rules
from services.consent.commands import notices, people, recording
from services.consent.commands.desk import Desk
from services.consent.commands.recording import Spoken, record, record_all, stands
from services.consent.contract import (
    AlreadyGiven,
    AskConsent,
    EndConsent,
    GiveConsent,
    Kind,
    LanguageMissing,
    NoConsentToEnd,
    NotAGuardian,
    ParentalNeeded,
    Recorded,
    RefuseConsent,
    Regulation,
    State,
    UnknownPurpose,
    Vouched,
    WithdrawConsent,
)
from services.consent.rules import Matter
from services.consent.tables import NoticeVersion
from services.registry.contract import PolicyBook


class Said(NamedTuple):
    """One call: who (`desk`) says what of whom, and its trace."""

    desk: Desk
    principal: UUID
    wish: GiveConsent | RefuseConsent | WithdrawConsent
    traceparent: str | None


def name(tenant: UUID, said: Said) -> str:
    """Of the lock that recording it takes."""
    return recording.name(tenant, (said.principal, Kind.consent.value, said.wish.regulation.value, said.wish.purpose))


async def record_together(tx: Transaction, said: Sequence[Said]) -> list[Made | Problem]:
    spoken = [await _spoken(tx, each) for each in said]
    entered = iter(await record_all(tx, [each for each in spoken if isinstance(each, Spoken)]))
    outcomes = [each if isinstance(each, Problem) else next(entered) for each in spoken]
    return [
        each if isinstance(each, Problem) else _made(each.told(call.desk))
        for each, call in zip(outcomes, said, strict=True)
    ]


def _made(told: dict[str, Any]) -> Made:
    """Of a `Recorded`, which need not be validated. Its receipt is five sixths of it, the same whenever it is made, and not kept."""
    body = _as_json(told)
    del told["receipt"]
    return Made(body, _as_json(told))


def _as_json(told: dict[str, Any]) -> bytes:
    return orjson.dumps(told, option=orjson.OPT_UTC_Z)


async def say(database: Database, together: Together[Said], sent: Write, said: Said) -> Reply:
    """On record, and answered with its receipt; who says it again under the same key is answered the same."""
    reply = await together(said.desk.caller.tenant, sent, said)
    return await _with_receipt(database, said.desk, reply) if reply.again else reply


async def _with_receipt(database: Database, desk: Desk, reply: Reply) -> Reply:
    told = Recorded.model_validate_json(reply.body)
    async with database.transaction(desk.caller.tenant) as tx:
        receipt = await queries.receipt(tx, await queries.statement(tx, told.record), desk.key)
    return reply._replace(body=told.model_copy(update={"receipt": receipt}).model_dump_json().encode())


async def _spoken(tx: Transaction, said: Said) -> Spoken | Problem:
    try:
        await _may_speak(tx, said)
        if isinstance(said.wish, GiveConsent):
            return await _given(tx, said, said.wish)
        if isinstance(said.wish, RefuseConsent):
            return await _refused(tx, said, said.wish)
        return await _withdrawn(tx, said, said.wish)
    except Problem as refused:
        return refused


async def _may_speak(tx: Transaction, said: Said) -> None:
    """A person speaks for herself, and for the child whose guardian she is; whom others are looks as if they did not exist."""
    speaker = said.desk.caller.principal
    if speaker not in (None, said.principal) and speaker not in await people.speaking_for(tx, said.principal):
        raise NotFound


async def _given(tx: Transaction, said: Said, wish: GiveConsent) -> Spoken:
    notice = await _explaining(tx, said.desk, wish)
    details = _how(wish) | {"type": wish.expression}
    if wish.service:
        details["service"] = wish.service
    if wish.expression == "parental" or wish.guardian or _guardian(said):
        await _must_be_a_guardian_s(tx, said, wish)
    return _spoken_of(said, State.given, details, notice, wish.evidence_ref)


async def _must_be_a_guardian_s(tx: Transaction, said: Said, wish: GiveConsent) -> None:
    """And said to be: a child who is old enough for this purpose has nobody consent for her."""
    speaker = said.desk.caller.principal
    if speaker == said.principal:
        raise ParentalNeeded("A guardian speaks with a login of her own.")
    may = (None, speaker) if speaker else await people.speaking_for(tx, said.principal)
    if wish.expression != "parental" or wish.guardian not in may:
        raise NotAGuardian(
            "A parental consent names the guardian who gave it, who is known to speak for this person now."
        )


async def _refused(tx: Transaction, said: Said, wish: RefuseConsent) -> Spoken:
    notice = await _explaining(tx, said.desk, wish)
    return _spoken_of(said, State.deferred if wish.later else State.refused, _how(wish), notice)


async def _withdrawn(tx: Transaction, said: Said, wish: WithdrawConsent) -> Spoken:
    """Always recorded, whether anything was given or not: what she said holds against whatever arrives late."""
    await _must_be_known(tx, said.desk.book, said.principal, wish.purpose)
    spoken = _spoken_of(said, State.withdrawn, {"collection_method": wish.method}, None)
    return spoken._replace(vouched=_vouched(said.desk.caller, wish))


def _vouched(caller: Caller, wish: WithdrawConsent) -> Vouched | None:
    """On whose word it is, where she does not say it herself: nobody of the staff names another for it."""
    if caller.kind == "staff":
        return Vouched(by=caller.subject)
    return wish.vouched if caller.principal is None else None


def _spoken_of(
    said: Said, state: State, details: dict[str, str], notice: NoticeVersion | None, evidence_ref: str | None = None
) -> Spoken:
    matter, claimed = Matter(Kind.consent, said.wish.regulation, said.wish.purpose), said.wish.occurred_at
    guardian = _guardian(said)
    if guardian is not None:
        details["guardian"] = str(guardian)
    return Spoken(
        said.desk,
        said.principal,
        matter,
        state,
        claimed,
        details,
        notice,
        said.traceparent,
        evidence_ref=evidence_ref,
    )


def _guardian(said: Said) -> UUID | None:
    """Who says it for a child: whoever is logged in, or whom staff name."""
    speaker = said.desk.caller.principal
    if speaker is None:
        return said.wish.guardian if isinstance(said.wish, GiveConsent) else None
    return None if speaker == said.principal else speaker


def _how(wish: GiveConsent | RefuseConsent | AskConsent) -> dict[str, str]:
    return {"language": wish.language, "collection_method": wish.method, "type": "expressed"}


async def _explaining(tx: Transaction, desk: Desk, wish: GiveConsent | RefuseConsent | AskConsent) -> NoticeVersion:
    """The notice she read, in her language, and about a purpose that rests on consent; `record_all` asks whether it was in force."""
    notice = await notices.published(tx, wish.notice, wish.notice_version)
    if wish.language not in notice.texts:
        raise LanguageMissing("Ask in a language in which the notice was published.")
    must_rest_on_consent(desk.book, notice, wish.purpose)
    return notice


# A version of a notice never changes, nor does a book: what is found of the two is found once.
_rests: dict[tuple[int, UUID, str, int, str], PolicyBook] = {}
_REMEMBERED = 10_000


def must_rest_on_consent(book: PolicyBook, notice: NoticeVersion, purpose: str) -> None:
    key = (id(book), notice.tenant, notice.notice, notice.version, purpose)
    if _rests.get(key) is book:
        return
    covered = [category for row in notice.purposes if row["purpose"] == purpose for category in row["categories"]]
    rules.must_rest_on_consent(book, purpose, covered)
    if len(_rests) >= _REMEMBERED:
        _rests.clear()
    _rests[key] = book


_SPOKE_OF = "SELECT true FROM standing WHERE tenant = $1 AND principal = $2 AND purpose = $3 LIMIT 1"


async def _must_be_known(tx: Transaction, book: PolicyBook, principal: UUID, purpose: str) -> None:
    """To the book, or from an earlier one under which she spoke: what was consented to can be ended whatever became of its purpose."""
    try:
        rules.must_be_in_book(book, purpose, [])
    except UnknownPurpose:
        if not await tx.connection.fetchval(_SPOKE_OF, tx.tenant, principal, purpose):
            raise


# --- what others do about it ---------------------------------------------------------------------------------------------


async def ask_consent(tx: Transaction, desk: Desk, wish: AskConsent) -> Recorded:
    notice = await _explaining(tx, desk, wish)
    matter = Matter(Kind.consent, wish.regulation, wish.purpose)
    said = {each: await stands(tx, wish.principal, matter._replace(regulation=each)) for each in sorted(Regulation)}
    for each in filter(None, said.values()):
        # A no is one to the purpose, by whichever law it was said.
        rules.may_ask(desk.book, wish.purpose, each.state, each.occurred_at, clock.now())
    before, words = said[wish.regulation], (wish.notice, wish.notice_version)
    if before is not None and before.state in _STAND and (before.notice, before.notice_version) == words:
        raise AlreadyGiven("There is nothing to ask.")
    return await record(tx, desk, wish.principal, matter, State.requested, None, _how(wish), notice)


async def end_consent(tx: Transaction, desk: Desk, wish: EndConsent) -> Recorded:
    await _must_be_known(tx, desk.book, wish.principal, wish.purpose)
    matter = Matter(Kind.consent, wish.regulation, wish.purpose)
    before = await stands(tx, wish.principal, matter)
    if before is None or before.state not in _STAND:
        raise NoConsentToEnd("Nothing stands that could be ended.")
    return await record(tx, desk, wish.principal, matter, State(wish.state), None, {"legal_ref": wish.legal_ref})


async def expire_all(tx: Transaction, desk: Desk, lapsed: Sequence[tuple[UUID, Matter]]) -> None:
    """Some hundreds at once: whoever takes over old consents has many that lapsed long ago."""
    await recording.lock_each(tx, lapsed)
    for principal, matter in lapsed:
        await expire(tx, desk, principal, matter)


async def expire(tx: Transaction, desk: Desk, principal: UUID, matter: Matter) -> Recorded | None:
    """The consent's own end. It is dated like the consent it ends, so that one given meanwhile and recorded late still counts."""
    before = await stands(tx, principal, matter)
    if before is None or before.state not in _STAND or not before.valid_until or before.valid_until > clock.now():
        return None
    notice = await notices.published(tx, before.notice, before.notice_version) if before.notice else None
    details = {"expired_at": before.valid_until.isoformat()}
    return await record(
        tx, desk, principal, matter, State.expired, before.occurred_at, details, notice, before.valid_until
    )


_STAND = frozenset({State.given, State.renewed})
