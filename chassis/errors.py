"""One tree of errors, spoken as RFC 9457 problems.

A service declares its own in `contract.py`, each with a code `service.reason` that is never reused, so that a typed client
can raise the very same class on the other side of the wire. Details are written for a helpdesk and hold no personal data.
"""

from typing import Any, ClassVar, Self

from starlette.responses import JSONResponse

PROBLEM_JSON = "application/problem+json"


class Problem(Exception):
    """A refusal with a stable `code` and HTTP `status`. Raising one means that nothing was recorded."""

    code: ClassVar[str] = "wardline.error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    headers: ClassVar[dict[str, str]] = {}

    by_code: ClassVar[dict[str, type["Problem"]]] = {}

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.extra = extra

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" in cls.__dict__:
            Problem.by_code[cls.code] = cls

    def with_headers(self, headers: dict[str, str]) -> Self:
        """This one refusal, told with headers of its own."""
        self.headers = headers  # type: ignore[misc]
        return self

    def body(self) -> dict[str, Any]:
        told = {"type": "about:blank", "title": self.title, "status": self.status, "code": self.code}
        return told | ({"detail": self.detail} if self.detail else {}) | self.extra

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers, media_type=PROBLEM_JSON)


def problem_from(body: dict[str, Any], status: int) -> Problem:
    """The error another service raised, rebuilt from its answer; an unknown code becomes `PeerRefused`."""
    extra = {name: value for name, value in body.items() if name not in {"type", "title", "status", "code", "detail"}}
    kind = Problem.by_code.get(str(body.get("code")))
    if kind is None:
        return PeerRefused(f"A service behind this one answered {status}.")
    return kind(str(body.get("detail", "")), **extra)


class Malformed(Problem):
    code, status, title = "request.malformed", 400, "The request could not be read"


class Unauthenticated(Problem):
    code, status, title = "request.unauthenticated", 401, "Log in, or present a valid access token"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    code, status, title = "request.forbidden", 403, "This caller may not do that"


class NotFound(Problem):
    code, status, title = "request.not_found", 404, "There is nothing here for this caller"


class MethodNotAllowed(Problem):
    code, status, title = "request.method_not_allowed", 405, "That method is not served here"


class Conflict(Problem):
    code, status, title = "request.conflict", 409, "The request contradicts what is already recorded"


class KeyReused(Conflict):
    code, title = "request.key_reused", "This Idempotency-Key was used for a different request"


class KeyMissing(Malformed):
    code, title = "request.key_missing", "Send an Idempotency-Key header with every write"


class TooLarge(Problem):
    code, status, title = "request.too_large", 413, "The request is larger than this service reads"


class WrongMediaType(Problem):
    code, status, title = "request.media_type", 415, "Send application/json"


class Invalid(Problem):
    """A malformed payload; `errors` lists {path, problem} for every fault and never repeats the values sent."""

    code, status, title = "request.invalid", 422, "The request has faults"


class TooMany(Problem):
    code, status, title = "request.too_many", 429, "Too many requests; wait and try again"


class Broken(Problem):
    """What an unexpected exception looks like from outside: nothing is revealed."""

    code, status, title = "request.broken", 500, "Something went wrong here; the request id helps us find it"


class PeerRefused(Problem):
    code, status, title = "request.peer_refused", 502, "A service behind this one refused"


class Unavailable(Problem):
    code, status, title = "request.unavailable", 503, "Not available right now; nothing was lost, try again shortly"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}
