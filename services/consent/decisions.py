"""The one question, asked many thousand times a second, answered from memory.

What a decision says depends on few things: the policy book's row, the terms of what was said, whether they are over. Each
combination is thought through once and kept as a `_Precedent`; only the name of the record and the state's version are a person's own.
"""

from binascii import unhexlify
from collections import Counter as Counts
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from prometheus_client import Counter

from chassis import clock
from chassis.auth import Caller
from services.consent import rules
from services.consent.contract import Reason
from services.consent.memory import Heard, Memory, as_said
from services.consent.questions import BadQuestion, Question, read_many, read_one
from services.consent.rules import LEFT_OPEN, Ground, Said, Verdict, microseconds
from services.registry.contract import NotInBook, PolicyBook

PATH = "/access/v1/evaluation"
PATH_OF_MANY = "/access/v1/evaluations"
SCOPE = "decision.ask"
_REMEMBERED = 20_000

_decisions = Counter("wardline_decisions_total", "Decisions by their reason", ["reason"])
_counted = {reason: _decisions.labels(reason.value) for reason in Reason}


class _Precedent(NamedTuple):
    """told: the JSON of the answer up to the state's version · after: of the record it names, what its name is made of besides whose it
    is (`rules.after_a_record`): the same is said to many companies · said: the statement that bears it, where it is not the only
    one heard."""

    allowed: bool
    reason: Reason
    told: bytes
    after: str | None = None
    said: Said | None = None


Answered = tuple[bool, Reason, bytes]


class _Case:
    """What the book says of one (purpose, category), and what followed from it so far."""

    __slots__ = ("covering", "ground", "notices_seen", "precedents")

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.covering: frozenset[int] = frozenset()
        self.notices_seen = 0
        self.precedents: dict[tuple, _Precedent] = {}


class DecisionPoint:
    """Everything needed to answer without waiting for anybody.

    may_answer: whether the memory is fresh (services.consent.leases) · now: the instant of a decision · book: the policy book in
    force, or None.
    """

    def __init__(self, memory: Memory, may_answer: Callable[[], bool], now: Callable[[], datetime] = clock.now) -> None:
        self.memory, self.may_answer, self._now = memory, may_answer, now
        self._book: PolicyBook | None = None
        self._cases: dict[tuple[str, str, bool], _Case] = {}

    def use(self, book: PolicyBook | None) -> None:
        if book is not self._book:
            self._book, self._cases = book, {}

    def answer(self, caller: Caller, content_type: bytes, raw: bytes) -> tuple[int, bytes]:
        """(status, JSON) of one question. The caller has a tenant and the scope."""
        try:
            return 200, self._told(caller, read_one(content_type, raw))
        except BadQuestion as fault:
            return 400, orjson.dumps(str(fault))

    def answer_many(self, caller: Caller, content_type: bytes, raw: bytes) -> tuple[int, bytes]:
        """The same of many: as many answers in the same order, up to the last one that was wanted."""
        try:
            asked = read_many(content_type, raw)
        except BadQuestion as fault:
            return 400, orjson.dumps(str(fault))
        if isinstance(asked, Question):
            return 200, self._told(caller, asked)
        decide, answers = self._deciding(caller), []
        for item in asked.items:
            answers.append(answer := decide(item))
            if answer[0] is asked.last:
                break
        for reason, count in Counts(reason for _, reason, _ in answers).items():
            _counted[reason].inc(count)
        return 200, b'{"evaluations":[' + b",".join([told for _, _, told in answers]) + b"]}"

    def told(self, caller: Caller, question: Question) -> bytes:
        """The answer alone, which counts as no decision of today's."""
        return self._deciding(caller)(question)[2]

    def _told(self, caller: Caller, question: Question) -> bytes:
        _, reason, told = self._deciding(caller)(question)
        _counted[reason].inc()
        return told

    def _deciding(self, caller: Caller) -> Callable[[Question | BadQuestion], Answered]:
        """To be used at once, without waiting for anything: the clock and the lease are looked at here, for all that is asked."""
        now, version = microseconds(self._now()), b"%d" % self.memory.position
        end = version + b"}}"
        fresh, tenant = self._book is not None and self.may_answer(), caller.tenant
        herself = caller.subject if caller.kind == "customer" else None
        before = rules.before_a_record(tenant)
        cases: dict[tuple[str, str], _Case | Reason] = {}
        # Most people said nothing of what is asked. Nothing restricts them, and what others of a call said changes no answer of theirs.
        silent: dict[_Case, Answered] = {}

        def decide(question: Question | BadQuestion) -> Answered:
            if isinstance(question, BadQuestion):
                return self._unread(question)
            kind, subject, purpose, category, _, _ = question
            principal = _principal(subject) if kind == "principal" else None
            if principal is None or (herself is not None and subject != herself):
                return _no(Reason.unknown_subject, version)
            if not fresh:
                return _no(Reason.stale, version)
            case = cases.get((purpose, category))
            if case is None:
                case = cases[purpose, category] = self._case(tenant, purpose, category)
            if isinstance(case, Reason):
                return _no(case, version)
            heard = self.memory.heard(tenant, principal, purpose)
            if not heard and (answer := silent.get(case)):
                return answer
            allowed, reason, told, after, said = self._precedent(case, tenant, question, heard, now)
            if after is None:
                answer = allowed, reason, told + end
                if not heard:
                    silent[case] = answer
                return answer
            occurred_at = heard[0][2] if said is None else said.occurred_at
            record = rules.record_name(before, after, subject, occurred_at).encode()
            return allowed, reason, b'%b%b,"record":"%b"}}' % (told, version, record)

        return decide

    def _precedent(self, case: _Case, tenant: UUID, question: Question, heard: list[Heard], now: int) -> _Precedent:
        if len(heard) > 1 or case.ground.content:
            # Which of several was said last, or what others said, is no precedent.
            return self._thought_through(case, tenant, question, heard, now)
        operation = question.operation if question.operation in LEFT_OPEN else None
        if heard:
            matter, terms, occurred_at = heard[0]
            until = terms.until(occurred_at)
            # By their identities: the memory keeps one object of each.
            key = (operation, id(matter), id(terms), until, until is not None and until <= now)
        else:
            key = (operation,)
        found = case.precedents.get(key)
        if found is None:
            if len(case.precedents) >= _REMEMBERED:
                case.precedents.clear()
            found = case.precedents[key] = self._thought_through(case, tenant, question, heard, now)._replace(said=None)
        return found

    def _thought_through(
        self, case: _Case, tenant: UUID, question: Question, heard: list[Heard], now: int
    ) -> _Precedent:
        ground = case.ground
        verdict = rules.decide(
            ground,
            [as_said(*each) for each in heard],
            self._others(tenant, question) if ground.content else None,
            operation=question.operation,
            covering=case.covering,
            now=now,
        )
        return self._as_precedent(verdict, ground.basis)

    def _others(self, tenant: UUID, question: Question) -> list | None:
        if question.participants is None:
            return None
        found = [_principal(each) for each in question.participants]
        return None if None in found else [self.memory.said(tenant, each, question.purpose) for each in found]

    def _case(self, tenant: UUID, purpose: str, category: str) -> _Case | Reason:
        duty = self.memory.has_duty(tenant, purpose)
        key = (purpose, category, duty)
        found = self._cases.get(key)
        if found is None:
            ground = rules.ground(self._book, purpose, category, duty)
            if isinstance(ground, Reason):
                # What is in the book is finite; what callers invent is not, and is not remembered.
                return ground
            found = self._cases[key] = _Case(ground)
        if found.notices_seen != self.memory.notices_changed:
            self._look_up_notices(found, purpose, category)
        return found

    def _look_up_notices(self, case: _Case, purpose: str, category: str) -> None:
        """Which versions speak of this purpose and of everything in this category; what followed from the former ones is forgotten."""
        wanted = set(self._book.elements_of(category))
        explained = (self._explained(notice.purposes.get(purpose, ())) for notice in self.memory.notices)
        case.covering = frozenset(n for n, elements in enumerate(explained) if wanted <= elements)
        case.precedents.clear()
        case.notices_seen = self.memory.notices_changed

    def _explained(self, categories) -> set[str]:
        explained: set[str] = set()
        for category in categories:
            try:
                explained.update(self._book.elements_of(category))
            except NotInBook:
                continue  # a category of an earlier book that the present one no longer has
        return explained

    def _unread(self, fault: BadQuestion) -> Answered:
        error = {"status": 400, "message": str(fault)}
        context = {"reason": Reason.malformed, "error": error, "state_version": self.memory.position}
        return False, Reason.malformed, orjson.dumps({"decision": False, "context": context})

    def _as_precedent(self, verdict: Verdict, basis: str) -> _Precedent:
        context: dict[str, object] = {"reason": verdict.reason.value, "basis": basis}
        said, after = verdict.said, None
        if said is not None:
            notice = self.memory.notices[said.notice] if said.notice else None
            if notice:
                context |= {"notice": notice.name, "notice_version": notice.version}
            named = (notice.name, notice.version) if notice else None
            after = rules.after_a_record(said.matter, said.state, named)
        if verdict.obligations:
            context["obligations"] = verdict.obligations
        if verdict.until is not None:
            context["expires_at"] = rules.instant(verdict.until)
        told = orjson.dumps({"decision": verdict.allowed, "context": context}).removesuffix(b"}}")
        return _Precedent(verdict.allowed, verdict.reason, told + b',"state_version":', after, said)


def _no(reason: Reason, version: bytes) -> Answered:
    return (
        False,
        reason,
        b'{"decision":false,"context":{"reason":"%b","state_version":%b}}' % (reason.encode(), version),
    )


def _principal(id: str) -> bytes | None:
    """The sixteen bytes of a UUID as ids are written here (lower case, with hyphens); None for anything else."""
    if len(id) == 36 and id[8:24:5] == "----" and id == id.lower():
        try:
            return unhexlify(id.replace("-", "", 4))
        except ValueError:
            pass
    return None
