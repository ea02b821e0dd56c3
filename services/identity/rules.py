"""Who may get which token: pure decisions over the reviewed table. A scope only ever narrows on its way.

Everything an attacker varies is compared here, and nothing is repaired: no prefix, no case folding, no list where a string stands.
"""

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.identity.contract import (
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    UnauthorizedClient,
)

PASSWORD = "password"  # what a login by password is called in `acr`
TOKEN_SECONDS = 300
CODE_SECONDS = 60
LOGIN_SECONDS = 600
# An exchanged token may end this much later than the one it came from, so that an edge need not exchange anew for each
# call in the last half minute; the edge itself refuses the first token as soon as it has expired.
EXCHANGE_GRACE_SECONDS = 30
# Clocks differ a little; a proof from further ahead was made to be kept.
AHEAD_SECONDS = 10
LONGEST_PROOF_SECONDS = 300


@dataclass(frozen=True)
class Client:
    """An OAuth client as the table and the installation describe it."""

    id: str
    grants: frozenset[str]
    proof: str
    tenants: str
    audiences: Mapping[str, frozenset[str]]
    exchanges: frozenset[str]
    jwk: Mapping[str, Any] | None = None
    redirect_uris: frozenset[str] = frozenset()
    tenant: UUID | None = None

    def may(self, grant: str) -> None:
        if grant not in self.grants:
            raise UnauthorizedClient


@dataclass(frozen=True)
class Table:
    """The whole reviewed table, with the keys and addresses of this installation."""

    clients: Mapping[str, Client]
    audiences: Mapping[str, frozenset[str]]
    roles: Mapping[str, frozenset[str]]

    def client(self, id: str) -> Client:
        found = self.clients.get(id)
        if found is None:
            raise InvalidClient
        return found


def granted(client: Client, audience: str, wished: str | None) -> frozenset[str]:
    """The scopes of a client's own token: all it may have for `audience`, or the ones it named of them."""
    if audience not in client.audiences:
        raise InvalidTarget
    return narrowed(client.audiences[audience], wished)


def narrowed(most: frozenset[str], wished: str | None) -> frozenset[str]:
    """`wished` if all of it lies within `most`; raises InvalidScope for anything wider."""
    if wished is None:
        return most
    asked = frozenset(wished.split())
    if not asked <= most:
        raise InvalidScope
    return asked


def of_person(table: Table, scopes: frozenset[str], kind: str, roles: list[str]) -> frozenset[str]:
    """What a person gets of what the client may have: all of it for a customer, what her roles give for staff."""
    if kind == "customer":
        return scopes
    return scopes & frozenset().union(*(table.roles[role] for role in roles))


def tenant_for(client: Client, named: str | None) -> UUID | None:
    """The tenant a client's own token speaks for."""
    if client.tenants == "any":
        try:
            return UUID(named) if named else None
        except ValueError:
            raise InvalidRequest("tenant is no UUID") from None
    if named is not None and named != str(client.tenant):
        raise InvalidTarget
    return client.tenant if client.tenants == "own" else None


def enough(asked: str | None, offered: Collection[str]) -> frozenset[str]:
    """The ways to log in that are enough of those offered; the client may name some in `acr_values`."""
    return frozenset(offered) & frozenset(asked.split()) if asked else frozenset(offered)


def redirect_of(client: Client, named: str | None) -> str:
    """The address to send the browser back to: exactly a registered one, whatever looks similar."""
    if named is None or named not in client.redirect_uris:
        raise InvalidRequest("redirect_uri is not one of this client's")
    return named


def check_challenge(challenge: str | None, method: str | None) -> str:
    """PKCE is for every client and S256 only: `plain` hands the secret to whoever sees the request."""
    if method != "S256" or not challenge or len(challenge) != 43 or not _urlsafe(challenge):
        raise InvalidRequest("code_challenge with code_challenge_method=S256 is required")
    return challenge


def check_verifier(challenge: str, verifier: str | None) -> None:
    if not verifier or not 43 <= len(verifier) <= 128 or not verifier.isascii():
        raise InvalidGrant
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(digest, challenge):
        raise InvalidGrant


def check_assertion(claims: Mapping[str, Any], client: str, issuer: str, now: float) -> tuple[str, float]:
    """RFC 7523 as FAPI 2.0 narrows it. Returns (jti, until when it must be remembered)."""
    if claims.get("iss") != client or claims.get("sub") != client:
        raise InvalidClient("iss and sub are the client id")
    if claims.get("aud") != issuer:
        raise InvalidClient("aud is the issuer, as a string")
    expires, issued = _instant(claims, "exp"), _instant(claims, "iat")
    if expires is None or expires <= now or expires > now + LONGEST_PROOF_SECONDS + AHEAD_SECONDS:
        raise InvalidClient("the assertion has expired or lives too long")
    if issued is None or max(issued, _instant(claims, "nbf") or 0.0) > now + AHEAD_SECONDS:
        raise InvalidClient("the assertion is from the future")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 8 <= len(jti) <= 200 or not jti.isprintable():
        raise InvalidClient("jti is missing, or no printable text of 8 to 200 characters")
    return jti, expires


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidClient(f"{name} is no instant")
    return float(value)


def _urlsafe(text: str) -> bool:
    return text.isascii() and all(letter.isalnum() or letter in "-_" for letter in text)
