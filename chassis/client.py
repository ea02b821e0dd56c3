"""How one service calls another: a token of its own, a timeout, a retry only where repeating is safe, and typed errors back."""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import BaseModel, ValidationError

from chassis import telemetry
from chassis.errors import Problem, Unavailable, problem_from
from chassis.ids import new_id

Model = TypeVar("Model", bound=BaseModel)
Cursor = tuple[int, str | None]

_RENEW_BEFORE = 30
_SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_TRIES = 3


class _FeedPage(BaseModel):
    items: list[dict[str, Any]]
    next: int
    leaf: str | None


@cache
def trust() -> ssl.SSLContext:
    """Whose certificates this process believes: made once, since each is 4 MB, and shared with the children of a fork."""
    return httpx2.create_ssl_context(trust_env=False)


class TokenSource:
    """Access tokens for this process by client_credentials with private_key_jwt, remembered per (audience, tenant)."""

    def __init__(self, http: httpx2.AsyncClient, *, client: str, key: ECKey, issuer: str, token_url: str) -> None:
        self.http, self.client, self.key, self.issuer, self.token_url = http, client, key, issuer, token_url
        self._held: dict[tuple[str, UUID | None], tuple[str, float]] = {}

    async def token(self, audience: str, tenant: UUID | None = None) -> str:
        """A token for `audience` that speaks for `tenant`. Raises Unavailable when identity does not answer."""
        held = self._held.get((audience, tenant))
        if held and held[1] - _RENEW_BEFORE > time.time():
            return held[0]
        form = {"grant_type": "client_credentials", "resource": audience} | ({"tenant": str(tenant)} if tenant else {})
        token, expires_in = await self.request(form)
        self._held[(audience, tenant)] = (token, time.time() + expires_in)
        return token

    async def request(self, form: dict[str, str]) -> tuple[str, float]:
        """One call of the token endpoint: (token, seconds it lives). Raises Unavailable, or the OAuth refusal as Problem."""
        proof = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion(),
        }
        try:
            answer = await self.http.post(self.token_url, data=form | proof, headers=_traced({}))
        except httpx2.HTTPError:
            raise Unavailable("The token issuer does not answer.") from None
        if answer.status_code != 200:
            raise Unavailable("The token issuer refused this service.")
        body = answer.json()
        return body["access_token"], float(body["expires_in"])

    def assertion(self) -> str:
        """A one-time proof that this client holds its key (RFC 7523; `aud` is the issuer as a string)."""
        now = int(time.time())
        claims = {
            "iss": self.client,
            "sub": self.client,
            "aud": self.issuer,
            "jti": str(new_id()),
            "iat": now,
            "exp": now + 60,
        }
        return jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims, self.key)


class ServiceClient:
    """The base of each typed client: a subclass has one method per endpoint that callers need.

    `audience` is the process that answers: a subclass says its own, who only reads a feed names it. Raises the other service's own
    Problem classes, and Unavailable when it is away.
    """

    audience: str

    def __init__(
        self, http: httpx2.AsyncClient, base_url: str, tokens: TokenSource, audience: str | None = None
    ) -> None:
        self.http, self.base_url, self.tokens = http, base_url.rstrip("/"), tokens
        if audience is not None:
            self.audience = audience

    async def call(
        self,
        method: str,
        path: str,
        *,
        tenant: UUID | None = None,
        body: BaseModel | None = None,
        query: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout: float = 10,
    ) -> Any:
        """The JSON of the answer. Repeated after a lost connection or a 503 only if a repeat changes nothing."""
        repeatable = method in _SAFE or idempotency_key is not None
        for last in [False] * (_TRIES - 1) + [True]:
            try:
                answer = await self.http.request(
                    method,
                    self.base_url + path,
                    content=body.model_dump_json() if body else None,
                    params=query,
                    headers=await self._headers(tenant, idempotency_key),
                    timeout=timeout,
                )
            except httpx2.HTTPError as lost:
                if last or not (repeatable or isinstance(lost, httpx2.ConnectError)):
                    raise Unavailable(f"The {self.audience} service does not answer.") from None
            else:
                if answer.status_code < 400:
                    return answer.json() if answer.content else None
                if answer.status_code != 503 or last or not repeatable:
                    raise _refusal(answer)
            await asyncio.sleep(random.uniform(0.05, 0.3))
        raise AssertionError("unreachable: the last try returns or raises")

    async def ask(self, model: type[Model], method: str, path: str, **how: Any) -> Model:
        """`call`, with the answer read as `model`. Raises Unavailable for one in another form: that peer is of another release,
        which passes by itself, and must not end the work in the background of whoever asked."""
        answer = await self.call(method, path, **how)
        try:
            return model.model_validate(answer, strict=False)
        except ValidationError as other:
            # The fields only: the values may be somebody's data.
            fields = [".".join(map(str, error["loc"])) for error in other.errors(include_input=False)]
            telemetry.log().error("answer not understood", peer=self.audience, model=model.__name__, fields=fields)
            raise Unavailable(f"The {self.audience} service answered in a form that is not understood here.") from None

    async def events(
        self, at: Cursor, *, wait: float, limit: int, types: Iterable[str] | None = None, patience: float = 10
    ) -> tuple[list[dict[str, Any]], Cursor]:
        """A page of its feed: the events after a cursor, and the cursor to go on from. A cursor is a position and the leaf of the entry there,
        by which another ledger than before is known. wait: seconds until there is one · patience: seconds after that. Raises
        PositionUnknown besides."""
        query = {"after": at[0], "wait": wait, "limit": limit}
        query |= {} if at[1] is None else {"leaf": at[1]}
        query |= {} if types is None else {"types": ",".join(types)}
        page = await self.ask(_FeedPage, "GET", "/events", query=query, timeout=wait + patience)
        return page.items, (page.next, page.leaf)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, tenant: UUID | None = None, body: BaseModel | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer's bytes as they come. Raises like `call`; a cut in mid-stream raises Unavailable from the iterator."""
        headers = await self._headers(tenant, None)
        content = body.model_dump_json() if body else None
        try:
            async with self.http.stream(
                method, self.base_url + path, content=content, headers=headers, timeout=httpx2.Timeout(10, read=120)
            ) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise _refusal(answer)
                yield answer.aiter_bytes()
        except httpx2.HTTPError:
            raise Unavailable(f"The {self.audience} service stopped in the middle of its answer.") from None

    async def _headers(self, tenant: UUID | None, idempotency_key: str | None) -> dict[str, str]:
        headers = {
            "authorization": f"Bearer {await self.tokens.token(self.audience, tenant)}",
            "content-type": "application/json",
        }
        if idempotency_key:
            headers["idempotency-key"] = idempotency_key
        return _traced(headers)


def _refusal(answer: httpx2.Response) -> Problem:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    return problem_from(body if isinstance(body, dict) else {}, answer.status_code)


def _traced(headers: dict[str, str]) -> dict[str, str]:
    parent = telemetry.traceparent()
    return headers | {"traceparent": parent} if parent else headers
