"""The one question, asked many thousand times a second, answered from memory.

What a decision says depends on few things: the policy book's row, the terms of what was said, whether they are over. Each
combination is thought through once and kept as a `_Precedent`; only the name of the record and the state's version are a person's own.
"""

from collections.abc import Callable
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
    """`told`: the JSON of the answer up to the state's version · said: which statement's record it names, of those heard."""

    allowed: bool
    told: bytes
    said: Said | None
    counted: Counter


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

    may_answer: whether the memory is fresh (services.consent.leases) · book: the policy book in force, or None.
    """

    def __init__(self, memory: Memory, may_answer: Callable[[], bool]) -> None:
        self.memory, self.may_answer = memory, may_answer
        self._book: PolicyBook | None = None
        self._cases: dict[tuple[str, str, bool], _Case] = {}

    def use(self, book: PolicyBook | None) -> None:
        if book is not self._book:
            self._book, self._cases = book, {}

    def answer(self, caller: Caller, content_type: bytes, raw: bytes) -> tuple[int, bytes]:
        """(status, JSON) of one question. The caller has a tenant and the scope."""
        try:
            question = read_one(content_type, raw)
        except BadQuestion as fault:
            return 400, orjson.dumps(str(fault))
        return 200, self.decide(caller, question, microseconds(clock.now()))[1]

    def answer_many(self, caller: Caller, content_type: bytes, raw: bytes) -> tuple[int, bytes]:
        """The same of many: as many answers in the same order, up to the last one that was wanted."""
        try:
            asked = read_many(content_type, raw)
        except BadQuestion as fault:
            return 400, orjson.dumps(str(fault))
        now = microseconds(clock.now())
        if isinstance(asked, Question):
            return 200, self.decide(caller, asked, now)[1]
        answers = []
        for item in asked.items:
            allowed, told = self._unread(item) if isinstance(item, BadQuestion) else self.decide(caller, item, now)
            answers.append(told)
            if allowed is asked.last:
                break
        return 200, b'{"evaluations":[' + b",".join(answers) + b"]}"

    def decide(self, caller: Caller, question: Question, now: int) -> tuple[bool, bytes]:
        """(yes or no, its JSON)"""
        principal = _principal(question.subject) if question.subject_type == "principal" else None
        if principal is None or (caller.kind == "customer" and question.subject != caller.subject):
            return self._no(Reason.unknown_subject)
        if self._book is None or not self.may_answer():
            return self._no(Reason.stale)
        tenant, purpose = caller.tenant, question.purpose
        case = self._case(purpose, question.category, self.memory.has_duty(tenant, purpose))
        if isinstance(case, Reason):
            return self._no(case)
        if case.notices_seen != self.memory.notices_changed:
            self._look_up_notices(case, purpose, question.category)
        heard = self.memory.heard(tenant, principal, purpose)
        found = self._precedent(case, tenant, question, heard, now)
        found.counted.inc()
        version = b"%d" % self.memory.position
        if found.said is None:
            return found.allowed, found.told + version + b"}}"
        record = self._record(tenant, question.subject, heard, found.said)
        return found.allowed, found.told + version + b',"record":"' + record + b'"}}'

    def _precedent(self, case: _Case, tenant: UUID, question: Question, heard: list[Heard], now: int) -> _Precedent:
        if len(heard) > 1 or case.ground.content:
            # Which of several was said last, or what others said, is no precedent.
            return self._thought_through(case, tenant, question, heard, now)
        operation = question.operation if question.operation in LEFT_OPEN else None
        if not heard:
            key: tuple = (operation,)
        else:
            terms, until = heard[0][1], heard[0][1].until(heard[0][2])
            key = (operation, heard[0][0], terms, until, until is not None and until <= now)
        found = case.precedents.get(key)
        if found is None:
            if len(case.precedents) >= _REMEMBERED:
                case.precedents.clear()
            found = case.precedents[key] = self._thought_through(case, tenant, question, heard, now)
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

    def _case(self, purpose: str, category: str, duty: bool) -> _Case | Reason:
        key = (purpose, category, duty)
        found = self._cases.get(key)
        if found is None:
            ground = rules.ground(self._book, purpose, category, duty)
            if isinstance(ground, Reason):
                # What is in the book is finite; what callers invent is not, and is not remembered.
                return ground
            found = self._cases[key] = _Case(ground)
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

    def _no(self, reason: Reason) -> tuple[bool, bytes]:
        _counted[reason].inc()
        return False, self._as_precedent(Verdict(False, reason)).told + b"%d}}" % self.memory.position

    def _unread(self, fault: BadQuestion) -> tuple[bool, bytes]:
        _counted[Reason.malformed].inc()
        error = {"status": 400, "message": str(fault)}
        context = {"reason": Reason.malformed, "error": error, "state_version": self.memory.position}
        return False, orjson.dumps({"decision": False, "context": context})

    def _as_precedent(self, verdict: Verdict, basis: str | None = None) -> _Precedent:
        context: dict[str, object] = {"reason": verdict.reason.value}
        if basis is not None:
            context["basis"] = basis
        if verdict.said is not None and verdict.said.notice:
            notice = self.memory.notices[verdict.said.notice]
            context |= {"notice": notice.name, "notice_version": notice.version}
        if verdict.obligations:
            context["obligations"] = verdict.obligations
        if verdict.until is not None:
            context["expires_at"] = rules.instant(verdict.until)
        told = orjson.dumps({"decision": verdict.allowed, "context": context})
        return _Precedent(
            verdict.allowed, told.removesuffix(b"}}") + b',"state_version":', verdict.said, _counted[verdict.reason]
        )

    def _record(self, tenant: UUID, subject: str, heard: list[Heard], said: Said) -> bytes:
        """The record's name. The instant is this person's, also where the rest is a precedent."""
        occurred_at = heard[0][2] if len(heard) == 1 else said.occurred_at
        notice = self.memory.notices[said.notice] if said.notice else None
        named = (notice.name, notice.version) if notice else None
        return str(rules.record_id(tenant, subject, said.matter, said.state, named, occurred_at)).encode()


def _principal(id: str) -> bytes | None:
    """The sixteen bytes of a UUID as ids are written here (lower case, with hyphens); None for anything else."""
    if len(id) != 36:
        return None
    try:
        found = bytes.fromhex(id.replace("-", ""))
    except ValueError:
        return None
    well_formed = len(found) == 16 and id[8] == id[13] == id[18] == id[23] == "-" and id == id.lower()
    return found if well_formed else None
