"""What counts and what follows from it: pure decisions, with every period and basis taken from the policy book.

Instants are integers here, microseconds since 1970 in UTC: a decision point holds millions of them.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Literal, NamedTuple
from uuid import UUID

import orjson

from services.consent.contract import (
    AskedTooSoon,
    GroundMissing,
    InTheFuture,
    Kind,
    NoRightToObject,
    NotAGuardian,
    NotByConsent,
    NoticeDoesNotCover,
    ObjectionIsAbsolute,
    ParentalNeeded,
    Reason,
    Regulation,
    SetObjection,
    SetRestriction,
    State,
    UnknownCategory,
    UnknownPurpose,
)
from services.registry.contract import NotInBook, Period, PolicyBook

# A restriction concerns all of a person's data: it is kept under this name instead of a purpose's.
EVERY_PURPOSE = "any"
# Where a tenant recorded a duty to record, the book's rows for this context apply to it.
DUTY = "tenant_legal_obligation"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# --- what counts ---------------------------------------------------------------------------------------------------------

# What protects the person outweighs what does not, at the same instant.
_PROTECTS = frozenset(
    {
        State.withdrawn,
        State.refused,
        State.revoked,
        State.expired,
        State.invalidated,
        State.unknown,
        State.raised,
        State.set,
    }
)
# A question is no answer: asking again takes away nothing that was said.
_QUESTIONS = frozenset({State.requested, State.deferred})


class Matter(NamedTuple):
    """What a statement is about. Statements on one matter replace each other, on two never."""

    kind: Kind
    regulation: Regulation
    purpose: str


class Said(NamedTuple):
    """A statement as decisions see it. notice: a number of the notice version, for the asker's own look-up."""

    matter: Matter
    state: State
    occurred_at: int
    valid_until: int | None = None
    notice: int | None = None


Rank = tuple[bool, int, bool, bytes]


def rank(occurred_at: int, state: State, record: UUID) -> Rank:
    """Of two statements on one matter the higher rank counts, whichever arrived first.

    An answer counts before a question; what was said later; at the same instant what protects the person; the record's own name
    settles the rest.
    """
    return state not in _QUESTIONS, occurred_at, state in _PROTECTS, record.bytes


def record_id(
    tenant: UUID, principal: UUID, matter: Matter, state: State, notice: tuple[str, int] | None, occurred_at: int
) -> UUID:
    """A UUIDv7 whose random part is a hash of what was said: the same statement sent twice has one name.

    Decision points name the record they rest on without holding its sixteen bytes for every person and purpose.
    """
    after = after_a_record(matter, state, notice)
    return UUID(record_name(before_a_record(tenant), after, str(principal), occurred_at))


def before_a_record(tenant: UUID) -> str:
    """What stands before the principal in what a record is named by."""
    return f"{tenant}|"


def after_a_record(matter: Matter, state: State, notice: tuple[str, int] | None) -> str:
    """What stands after her, but for the instant: many people of many companies say it."""
    name, version = notice or ("", 0)
    return f"|{matter.kind}|{matter.regulation}|{matter.purpose}|{state}|{name}|{version}|"


def record_name(before: str, after: str, principal: str, occurred_at: int) -> str:
    """`record_id` as text, for whoever says many of them: put together from the hash's own digits, of which the last three of twenty
    are the first random part and the rest the second."""
    digits = sha256(f"{before}{principal}{after}{occurred_at}".encode()).hexdigest()
    time = f"{occurred_at // 1000:012x}"
    return f"{time[:8]}-{time[8:]}-7{digits[17:20]}-{_VARIANT[digits[1]]}{digits[2:5]}-{digits[5:17]}"


# RFC 9562: two bits say how an id is to be read, two are left of this digit.
_VARIANT = {f"{digit:x}": f"{8 | digit & 3:x}" for digit in range(16)}


def when_said(claimed: datetime | None, now: datetime, counted: int | None) -> int:
    """The instant of a statement. One that names no time of its own is said now, after whatever counted until now.

    Two machines' clocks differ: without that, a withdrawal taken by the slower one would lose to the consent before it.
    """
    if claimed is None:
        return microseconds(now) if counted is None else max(microseconds(now), counted + 1)
    if claimed > now:
        raise InTheFuture("The statement is dated later than now.")
    return microseconds(claimed)


def microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def instant(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND


# --- what may be recorded ------------------------------------------------------------------------------------------------


def must_rest_on_consent(book: PolicyBook, purpose: str, covered: Sequence[str]) -> None:
    """Consent is taken only for what rests on it; `covered`: the categories the notice explains for the purpose."""
    _known_purpose(book, purpose)
    if not covered:
        raise NoticeDoesNotCover("This version of the notice does not name the purpose.")
    bases = [book.basis(purpose, element) for category in covered for element in _elements(book, category)]
    if not any(basis and basis.basis == "consent" for basis in bases):
        raise NotByConsent("The policy book rests it on another basis, which consent can neither add to nor replace.")


# A day of birth, in place of one that nobody knows any more: whether she is a child can't be known, so nobody's yes counts.
LOST = date.max


def of_age_on(book: PolicyBook, born: date, purpose: str | None = None) -> date:
    """The first day on which a person consents for herself, Art. 8(1); without a purpose, to whatever it be."""
    age = book.min_age(purpose) if purpose else max(book.min_age(row.key) for row in book.purposes)
    return Period(count=age, unit="year").last_day(born)


def must_speak_for_herself(
    book: PolicyBook, purpose: str, born: date | None, said_at: datetime, parental: bool
) -> None:
    """Below the book's age a guardian speaks, and only then. `born`: None for whom no guardian is known."""
    if born == LOST and parental:
        raise NotAGuardian("Her day of birth is not known any more: record her guardian again, with it.")
    child = born == LOST or (born is not None and said_at.astimezone(book.tz).date() < of_age_on(book, born, purpose))
    if child and not parental:
        raise ParentalNeeded("She is below the age of consent of the policy book.")
    if parental and not child:
        raise NotAGuardian("Parental consent is taken for a child whose guardian is recorded, until she is of age.")


def may_ask(book: PolicyBook, purpose: str, state: State | None, said_at: datetime | None, now: datetime) -> None:
    """A no is respected for a while: she is not asked until it is over."""
    again = respected_until(book, purpose, state, said_at)
    if again is not None and now < again:
        raise AskedTooSoon("Her answer stands.", not_before=again.astimezone(book.tz).date().isoformat())


def respected_until(book: PolicyBook, purpose: str, state: State | None, said_at: datetime | None) -> datetime | None:
    """From when on she may be asked again; None for what is no no of hers."""
    if state not in (State.refused, State.withdrawn) or said_at is None:
        return None
    return book.re_ask_after(purpose).after(said_at, book.tz)


def must_be_in_book(book: PolicyBook, purpose: str, categories: Sequence[str]) -> None:
    _known_purpose(book, purpose)
    for category in categories:
        _elements(book, category)


def may_object(book: PolicyBook, purpose: str, objection: SetObjection, stands: bool = False) -> None:
    """Art. 21: where processing rests on a balance; against direct marketing no grounds of ours count. stands: one was raised, by whichever
    book, and what was raised can be ended whatever became of its purpose."""
    weighed = any(one.key == purpose and one.objection != "none" for one in book.purposes)
    if stands and objection.state != "raised" and not weighed:
        return
    right = _known_purpose(book, purpose).objection
    if right == "none":
        raise NoRightToObject("Nothing done for this purpose rests on a balance of interests.")
    if right == "absolute" and objection.state == "overruled":
        raise ObjectionIsAbsolute("An objection to direct marketing always holds, Art. 21(3).")


def may_restrict(restriction: SetRestriction) -> None:
    if restriction.state == "set" and restriction.ground is None:
        raise GroundMissing("Say which ground of Art. 18(1) it rests on.")


def erased_on_withdrawal(book: PolicyBook, purpose: str, duty: bool) -> tuple[str, list[str]] | None:
    """The rule by which this withdrawal erases and the elements it does, Art. 17(1)(b); None when nothing goes.

    A tenant's duty to keep an element is another basis for it.
    """
    row = book.withdrawal(purpose)
    context = DUTY if duty else "any"
    gone = [each for each in row.elements if book.rests_on_consent_alone(purpose, each, context)] if row else []
    return (row.key, gone) if row and gone else None


def protects(state: State) -> bool:
    """Whether a state stands in the way of processing, rather than opening it."""
    return state in _PROTECTS


def _known_purpose(book: PolicyBook, purpose: str):
    try:
        return book.purpose(purpose)
    except NotInBook:
        raise UnknownPurpose("The policy book in force has no purpose of that name.") from None


def _elements(book: PolicyBook, category: str) -> tuple[str, ...]:
    try:
        return book.elements_of(category)
    except NotInBook:
        raise UnknownCategory("The policy book in force has no category or element of that name.") from None


def rows_of(book: PolicyBook) -> str:
    """A fingerprint of what answers rest on: of one version some rows apply from a day on, or to a day."""
    global _fingerprinted
    if book is not _fingerprinted[0]:
        rows = (*book.purposes, *book.bases, *book.categories, *book.limits)
        said = [book.version, *(row.model_dump(mode="json") for row in rows)]
        _fingerprinted = book, sha256(orjson.dumps(said)).hexdigest()
    return _fingerprinted[1]


_fingerprinted: tuple[PolicyBook | None, str] = (None, "")


# --- may it be processed? ------------------------------------------------------------------------------------------------


class Ground(NamedTuple):
    """What the policy book says of one (purpose, category) for one tenant."""

    purpose: str
    basis: str
    objection: Literal["none", "weighed", "absolute"]
    content: bool
    by_duty: bool


class Verdict(NamedTuple):
    """`said`: the statement it rests on. `until`: when the answer changes by itself."""

    allowed: bool
    reason: Reason
    said: Said | None = None
    until: int | None = None
    obligations: tuple[str, ...] = ()


# What a restriction leaves open, Art. 18(2), and what the asker is bound to then.
LEFT_OPEN = {"storage": "store_only", "legal_claims": "use_for_legal_claims_only"}


def ground(book: PolicyBook, purpose: str, category: str, duty: bool) -> Ground | Reason:
    """The one basis of a purpose for a category, or why there is none."""
    try:
        row, known = book.basis(purpose, category, DUTY if duty else "any"), book.purpose(purpose)
    except NotInBook:
        return Reason.unknown_purpose
    try:
        content = book.is_content(category)
    except NotInBook:
        return Reason.unknown_category
    if row is None:
        return Reason.no_legal_basis
    return Ground(purpose, row.basis, known.objection, content, row.context == DUTY)


def decide(
    ground: Ground,
    said: Sequence[Said],
    others: Sequence[Sequence[Said]] | None,
    *,
    operation: str | None,
    covering: frozenset[int],
    now: int,
) -> Verdict:
    """May it be processed now?

    said: what the person said of this purpose, and her restriction · others: what each other party of a communication said of it;
    None when a party is not known · operation: `storage` or `legal_claims`, else anything · covering: the notice versions that
    speak of this purpose and category.
    """
    if ground.basis == "legal_obligation":
        return Verdict(True, Reason.tenant_legal_obligation if ground.by_duty else Reason.legal_obligation)
    obligations: tuple[str, ...] = ()
    if restriction := _in_state(said, Kind.restriction, State.set):
        if operation not in LEFT_OPEN:
            return Verdict(False, Reason.restricted, restriction)
        obligations = (LEFT_OPEN[operation],)
    verdict = _on_its_basis(ground, said, others, covering, now)
    # Who is told no is bound to nothing.
    return verdict._replace(obligations=verdict.obligations + obligations) if verdict.allowed else verdict


def _on_its_basis(
    ground: Ground, said: Sequence[Said], others: Sequence[Sequence[Said]] | None, covering: frozenset[int], now: int
) -> Verdict:
    if ground.basis == "consent":
        verdict = _consent(ground, said, covering, now)
        return _of_all_parties(verdict, ground, others, covering, now) if ground.content else verdict
    if ground.basis in ("legitimate_interest", "public_task"):
        return _balanced(ground, said)
    return Verdict(True, Reason(ground.basis))


def _balanced(ground: Ground, said: Sequence[Said]) -> Verdict:
    """Art. 21(1): the processing ends with the objection, unless compelling grounds were recorded."""
    if objection := _in_state(said, Kind.objection, State.raised):
        return Verdict(False, Reason.objected, objection)
    if overruled := _in_state(said, Kind.objection, State.overruled):
        return Verdict(True, Reason.compelling_grounds, overruled)
    return Verdict(True, Reason(ground.basis))


# What each state of a consent that does not stand is called in an answer.
_NO = {
    State.requested: Reason.no_consent,
    State.deferred: Reason.no_consent,
    State.unknown: Reason.no_consent,
    State.refused: Reason.refused,
    State.withdrawn: Reason.withdrawn,
    State.revoked: Reason.revoked,
    State.expired: Reason.expired,
    State.invalidated: Reason.invalidated,
}


def _consent(ground: Ground, said: Sequence[Said], covering: frozenset[int], now: int) -> Verdict:
    """Art. 7. Under whatever regulation she spoke: every consent must stand, and there must be one. A question takes nothing away."""
    spoken = [each for each in said if each.matter.kind is Kind.consent]
    consents = [each for each in spoken if each.state not in _QUESTIONS] or spoken
    if len(consents) > 1:
        consents.sort(key=_by_law)  # of two noes the same is told, whoever was heard in which order
    for consent in consents:
        if consent.state in _NO:
            return Verdict(False, _NO[consent.state], consent)
        if consent.valid_until is not None and consent.valid_until <= now:
            return Verdict(False, Reason.expired, consent)
        if consent.notice not in covering:
            return Verdict(False, Reason.notice_does_not_cover, consent)
    if not consents:
        return Verdict(False, Reason.no_consent)
    newest = max(consents, key=lambda consent: consent.occurred_at)
    if ground.objection == "absolute":
        # Art. 21(3): an objection to direct marketing ends it on every basis, until she consents anew.
        objection = _in_state(said, Kind.objection, State.raised)
        if objection and objection.occurred_at >= newest.occurred_at:
            return Verdict(False, Reason.objected, objection)
    ends = [consent.valid_until for consent in consents if consent.valid_until is not None]
    return Verdict(True, Reason.consent, newest, min(ends, default=None), ("stop_on_withdrawal",))


def _by_law(said: Said) -> str:
    return said.matter.regulation


def _of_all_parties(
    own: Verdict, ground: Ground, others: Sequence[Sequence[Said]] | None, covering: frozenset[int], now: int
) -> Verdict:
    """Content of communication belongs to everyone in it; a party nobody knows has not consented."""
    if not own.allowed:
        return own
    if others is None:
        return Verdict(False, Reason.participants_unknown)
    theirs = [_consent(ground, said, covering, now) for said in others]
    restricted = any(_in_state(said, Kind.restriction, State.set) for said in others)
    if restricted or not all(verdict.allowed for verdict in theirs):
        return Verdict(False, Reason.participant_has_not_consented)
    ends = [verdict.until for verdict in (own, *theirs) if verdict.until is not None]
    return own._replace(until=min(ends, default=None))


def _in_state(said: Sequence[Said], kind: Kind, state: State) -> Said | None:
    for each in said:
        if each.matter.kind is kind and each.state is state:
            return each
    return None
