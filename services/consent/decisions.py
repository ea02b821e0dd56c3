"""The one question, asked many thousand times a second: AuthZEN 1.0 on the bytes of the request, answered from memory.

`HotPath` stands in front of everything else and answers at once when the caller's token is known; whatever is not plain
(a first token, a large body, a caller without a tenant) goes on to the ordinary route, which asks the same `DecisionPoint`.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import clock
from chassis.auth import Caller
from chassis.bodies import refuse_ambiguous
from chassis.errors import Malformed
from chassis.ids import new_id
from services.consent import rules
from services.consent.contract import Reason
from services.consent.memory import Memory
from services.consent.rules import Ground, Verdict, microseconds
from services.registry.contract import NotInBook, PolicyBook

PATH = "/access/v1/evaluation"
SCOPE = "decision.ask"
LARGEST = 64 * 1024

_decisions = Counter("wardline_decisions_total", "Decisions by their reason", ["reason"])
_counted = {reason: _decisions.labels(reason.value) for reason in Reason}
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~-]{1,128}")


class BadQuestion(Exception):
    """What AuthZEN answers with 400 and a message."""


class Question(NamedTuple):
    """`participants`: the other parties' ids as sent; None when they were not named, or one of them is unknown."""

    subject_type: str
    subject: str
    purpose: str
    category: str
    operation: str | None
    participants: tuple[str, ...] | None


class DecisionPoint:
    """Everything needed to answer without waiting for anybody.

    may_answer: whether the memory is fresh (services.consent.leases) · book: the policy book in force, or None.
    """

    def __init__(self, memory: Memory, may_answer: Callable[[], bool]) -> None:
        self.memory, self.may_answer = memory, may_answer
        self._book: PolicyBook | None = None
        self._grounds: dict[tuple[str, str, bool], Ground | Reason] = {}
        self._covering: dict[tuple[str, str], tuple[int, frozenset[int]]] = {}

    def use(self, book: PolicyBook | None) -> None:
        if book is not self._book:
            self._book, self._grounds, self._covering = book, {}, {}

    def answer(self, caller: Caller, content_type: bytes, raw: bytes) -> tuple[int, bytes]:
        """(status, JSON). The caller has a tenant and the scope."""
        try:
            if content_type.partition(b";")[0].strip().lower() != b"application/json":
                raise BadQuestion("Send application/json.")
            question = read(raw)
        except BadQuestion as fault:
            return 400, orjson.dumps(str(fault))
        return 200, orjson.dumps(self.decide(caller, question))

    def decide(self, caller: Caller, question: Question) -> dict[str, Any]:
        principal = _principal(question.subject) if question.subject_type == "principal" else None
        if principal is None or (caller.kind == "customer" and question.subject != caller.subject):
            return self._told(Verdict(False, Reason.unknown_subject))
        if self._book is None or not self.may_answer():
            return self._told(Verdict(False, Reason.stale))
        tenant, purpose, category = caller.tenant, question.purpose, question.category
        ground = self._ground(purpose, category, self.memory.has_duty(tenant, purpose))
        if isinstance(ground, Reason):
            return self._told(Verdict(False, ground))
        verdict = rules.decide(
            ground,
            self.memory.said(tenant, principal, purpose),
            self._others(tenant, question) if ground.content else None,
            operation=question.operation,
            covering=self._covers(purpose, category),
            now=microseconds(clock.now()),
        )
        return self._told(verdict, ground.basis, tenant, principal)

    def _others(self, tenant: UUID, question: Question) -> list | None:
        if question.participants is None:
            return None
        found = [_principal(each) for each in question.participants]
        return None if None in found else [self.memory.said(tenant, each, question.purpose) for each in found]

    def _ground(self, purpose: str, category: str, duty: bool) -> Ground | Reason:
        key = (purpose, category, duty)
        found = self._grounds.get(key)
        if found is None:
            found = rules.ground(self._book, purpose, category, duty)
            if found not in (Reason.unknown_purpose, Reason.unknown_category):
                # What is in the book is finite; what callers invent is not, and must not be remembered.
                self._grounds[key] = found
        return found

    def _covers(self, purpose: str, category: str) -> frozenset[int]:
        """The notice versions that speak of this purpose and of everything in this category."""
        known, notices = self._covering.get((purpose, category), (0, frozenset())), self.memory.notices
        if known[0] != self.memory.notices_changed:
            wanted = set(self._book.elements_of(category))
            found = {
                n for n, notice in enumerate(notices) if wanted <= self._explained(notice.purposes.get(purpose, ()))
            }
            known = self._covering[(purpose, category)] = (self.memory.notices_changed, frozenset(found))
        return known[1]

    def _explained(self, categories) -> set[str]:
        explained: set[str] = set()
        for category in categories:
            try:
                explained.update(self._book.elements_of(category))
            except NotInBook:
                continue  # a category of an earlier book that the present one no longer has
        return explained

    def _told(
        self, verdict: Verdict, basis: str | None = None, tenant: UUID | None = None, principal: bytes | None = None
    ) -> dict[str, Any]:
        _counted[verdict.reason].inc()
        context: dict[str, Any] = {"reason": verdict.reason.value, "state_version": self.memory.position}
        if basis is not None:
            context["basis"] = basis
        if verdict.said is not None:
            context["record"] = self.memory.record_of(tenant, UUID(bytes=principal), verdict.said)
            if verdict.said.notice:
                notice = self.memory.notices[verdict.said.notice]
                context["notice"], context["notice_version"] = notice.name, notice.version
        if verdict.obligations:
            context["obligations"] = verdict.obligations
        if verdict.until is not None:
            context["expires_at"] = rules.instant(verdict.until)
        return {"decision": verdict.allowed, "context": context}


def read(raw: bytes) -> Question:
    """The question as AuthZEN 1.0 has it; members it does not define are accepted. Raises BadQuestion."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadQuestion("The body is not JSON.") from None
    if not isinstance(said, dict):
        raise BadQuestion("The body is not a JSON object.")
    _refuse_duplicate_keys(raw, said)
    subject, action, resource = _entity(said, "subject"), _entity(said, "action"), _entity(said, "resource")
    context = said.get("context", {})
    if not isinstance(context, dict):
        raise BadQuestion("context is not an object.")
    _text(resource, "resource", "id")
    return Question(
        _text(subject, "subject", "type"),
        _text(subject, "subject", "id"),
        _text(action, "action", "name"),
        _text(resource, "resource", "type"),
        action.get("properties", {}).get("operation"),
        _participants(context.get("participants")),
    )


def _entity(said: dict[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    if not isinstance(found, dict):
        raise BadQuestion(f"{name} is missing or not an object.")
    if not isinstance(found.get("properties", {}), dict):
        raise BadQuestion(f"{name}.properties is not an object.")
    return found


def _text(entity: dict[str, Any], name: str, member: str) -> str:
    found = entity.get(member)
    if not isinstance(found, str):
        raise BadQuestion(f"{name}.{member} is missing or not a string.")
    return found


def _participants(named: Any) -> tuple[str, ...] | None:
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        return None
    return tuple(named)


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


def _refuse_duplicate_keys(raw: bytes, said: dict[str, Any]) -> None:
    """Without escapes, every string costs exactly two quotation marks; a key that was dropped as a duplicate is missing two."""
    if b"\\" not in raw and raw.count(b'"') == orjson.dumps(said).count(b'"'):
        return
    try:
        refuse_ambiguous(raw)
    except Malformed:
        raise BadQuestion("The body names a key twice.") from None


class HotPath:
    """Pure ASGI, in front of the chassis' envelope: no await but the body's own, no span, its own counters."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        caller = self._known_caller(scope, headers.get(b"authorization", b""))
        length = headers.get(b"content-length", b"")
        if caller is None or not length.isdigit() or int(length) > LARGEST:
            return await self.app(scope, receive, send)
        raw = b""
        while True:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, body = scope["app"].state.decisions.answer(caller, headers.get(b"content-type", b""), raw)
        await send({"type": "http.response.start", "status": status, "headers": _headers(headers, body)})
        await send({"type": "http.response.body", "body": body})

    def _known_caller(self, scope: Scope, authorization: bytes) -> Caller | None:
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        caller = scope["app"].state.verifier.recall(token)
        return caller if caller is not None and SCOPE in caller.scopes and caller.tenant is not None else None


def _headers(request: dict[bytes, bytes], body: bytes) -> list[tuple[bytes, bytes]]:
    given = request.get(b"x-request-id", b"")
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", given if _REQUEST_ID.fullmatch(given) else str(new_id()).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]
