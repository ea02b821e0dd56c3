"""Who is calling, and whether they may: one verifier for every service, and scopes as parameter types.

    ConsentWriter = Annotated[Caller, Requires("consent.write")]

A route says by its signature who may call it; a route for everybody says `_: Anyone`. Whatever can't be checked is refused.
"""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import httpx2
from fastapi import Depends, Request
from fastapi.params import Depends as DependsParam
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from chassis import telemetry
from chassis.client import trust
from chassis.errors import Forbidden, NotFound, Problem, Unauthenticated, Unavailable

_CLOCK_SKEW = 10
_REMEMBERED = 20_000
_REFETCH_KEYS_AFTER = 30.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `client` is the process at the other end, `subject` whom it acts for (a principal, a staff account or itself).

    acr, auth_time: how sure the login was, and when it was (seconds since 1970).
    """

    client: str
    original_client: str
    subject: str
    kind: str
    tenant: UUID | None
    scopes: frozenset[str]
    roles: frozenset[str]
    session: str | None
    expires: float
    acr: str | None = None
    auth_time: float | None = None

    @property
    def principal(self) -> UUID | None:
        """The person, where a person calls for herself."""
        return UUID(self.subject) if self.kind == "customer" else None

    def own(self, principal: UUID | None) -> UUID:
        """The principal this call is about: her own for a person (another's looks as if it did not exist), any named one for others."""
        mine = self.principal
        if mine is not None and principal not in (None, mine):
            raise NotFound
        chosen = mine or principal
        if chosen is None:
            raise Forbidden("Say which person the call is about.")
        return chosen


class Verifier:
    """Checks RFC 9068 access tokens of the trusted issuer for one audience. Keys and checked tokens are remembered."""

    def __init__(self, *, issuer: str, jwks_url: str, audience: str, clients: frozenset[str] | None) -> None:
        """`clients`: which client ids may call; an empty set lets nobody in, None means any client of the issuer (the edges)."""
        self.issuer, self.jwks_url, self.audience, self.clients = issuer, jwks_url, audience, clients
        self._keys: KeySet | None = None
        self._asked_keys = float("-inf")
        self._checked: OrderedDict[bytes, Caller] = OrderedDict()
        self._http = httpx2.AsyncClient(timeout=5, trust_env=False, verify=trust())

    async def caller(self, token: str) -> Caller:
        """The caller a token speaks for. Raises Unauthenticated, Forbidden (client not listed) or Unavailable (no keys to check with)."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._checked.get(digest)
        if known is not None:
            if known.expires > time.time():
                return known
            del self._checked[digest]
        caller = self._read(await self._claims(token))
        self._checked[digest] = caller
        if len(self._checked) > _REMEMBERED:
            self._checked.popitem(last=False)
        return caller

    def recall(self, token: bytes | str) -> Caller | None:
        """The caller of a token checked before, without waiting: for routes too hot to await anything."""
        raw = token.encode() if isinstance(token, str) else token
        known = self._checked.get(hashlib.sha256(raw).digest())
        return known if known is not None and known.expires > time.time() else None

    def forget(self, session: str | None) -> None:
        """Drop what was remembered of a session that identity revoked; None: of every session."""
        for digest in [digest for digest, caller in self._checked.items() if session in (None, caller.session)]:
            del self._checked[digest]

    async def close(self) -> None:
        await self._http.aclose()

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = _header(token)
            if header.get("alg") != "ES256" or header.get("typ", "").lower() not in ("at+jwt", "application/at+jwt"):
                raise Unauthenticated
            keys = await self._keys_with(header.get("kid"))
            return jwt.decode(token, keys, algorithms=["ES256"]).claims
        except (JoseError, ValueError, TypeError, AttributeError):
            raise Unauthenticated from None

    async def _keys_with(self, kid: str | None) -> KeySet:
        held = self._keys
        if held is not None and any(key.kid == kid for key in held.keys):
            return held
        if time.monotonic() - self._asked_keys > _REFETCH_KEYS_AFTER or held is None:
            self._asked_keys = time.monotonic()
            try:
                answer = await self._http.get(self.jwks_url)
                answer.raise_for_status()
                held = self._keys = KeySet.import_key_set(answer.json())
            except (httpx2.HTTPError, ValueError):
                raise Unavailable("Access tokens cannot be checked right now.") from None
        if not any(key.kid == kid for key in held.keys):
            raise Unauthenticated
        return held

    def _read(self, claims: dict[str, Any]) -> Caller:
        now = time.time()
        try:
            expires, issued = float(claims["exp"]), float(claims["iat"])
            audience = claims["aud"]
            acting = str(claims["act"]["sub"]) if "act" in claims else str(claims["client_id"])
            caller = Caller(
                client=acting,
                original_client=str(claims["client_id"]),
                subject=str(claims["sub"]),
                kind=str(claims["kind"]),
                tenant=UUID(claims["tenant"]) if claims.get("tenant") else None,
                scopes=frozenset(str(claims.get("scope", "")).split()),
                roles=frozenset(claims.get("roles", ())),
                session=claims.get("sid"),
                expires=expires,
                acr=str(claims["acr"]) if claims.get("acr") else None,
                auth_time=float(claims["auth_time"]) if claims.get("auth_time") is not None else None,
            )
            if caller.kind == "customer":
                UUID(caller.subject)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Unauthenticated from None
        if claims.get("iss") != self.issuer or audience != self.audience:
            raise Unauthenticated
        if expires <= now or issued > now + _CLOCK_SKEW or float(claims.get("nbf", 0)) > now + _CLOCK_SKEW:
            raise Unauthenticated
        if self.clients is not None and caller.client not in self.clients:
            raise Forbidden("This client is not listed here.")
        return caller


def _header(token: str) -> dict[str, Any]:
    from joserfc.jws import extract_compact

    return extract_compact(token.encode()).headers()


def bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    return token


async def current_caller(request: Request) -> Caller:
    """The verified caller of this request; denials go to the security log and a metric, since no tenant is known yet."""
    verifier: Verifier = request.app.state.verifier
    try:
        return await verifier.caller(bearer(request))
    except Problem as denial:
        telemetry.refusals_total.labels(verifier.audience, denial.code).inc()
        telemetry.log().warning("caller refused", reason=denial.code, route=request.scope.get("path"))
        raise


class ScopeCheck:
    """The dependency behind `Requires`; its scopes are readable, so that a test can list every route with its scope."""

    def __init__(self, scopes: tuple[str, ...]) -> None:
        self.scopes = frozenset(scopes)

    # Async although it waits for nothing, as every dependency here: FastAPI sends a plain one to a thread and back.
    async def __call__(self, caller: Annotated[Caller, Depends(current_caller)]) -> Caller:
        if not self.scopes & caller.scopes:
            telemetry.refusals_total.labels("scope", Forbidden.code).inc()
            raise Forbidden(f"This needs the scope {' or '.join(sorted(self.scopes))}.")
        return caller


class PublicCheck:
    """The dependency behind `Anyone`: says in the signature that no token is needed."""

    async def __call__(self) -> None:
        return None


def Requires(*scopes: str) -> DependsParam:
    """The caller holds at least one of `scopes`."""
    return Depends(ScopeCheck(scopes))


Anyone = Annotated[None, Depends(PublicCheck())]
