"""What this issuer signs, and how it reads it back: access tokens (RFC 9068), ID tokens, and the login page's own note.

All are ES256 under one key and told apart by `typ`, so that none can be taken for another.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from chassis.client import TokenSource
from chassis.ids import new_id
from services.identity.clients import Shelf
from services.identity.rules import LOGIN_SECONDS, TOKEN_SECONDS, granted

ACCESS, ID, LOGIN, EID = "at+jwt", "JWT", "login+jwt", "eid+jwt"


@dataclass(frozen=True)
class Grant:
    """What an access token says, apart from when and by whom."""

    audience: str
    client: str
    subject: str
    kind: str
    scopes: frozenset[str]
    tenant: UUID | None = None
    roles: tuple[str, ...] = ()
    session: UUID | None = None
    auth_time: int | None = None
    acr: str | None = None
    actor: str | None = None
    ends: float | None = None


class Signer:
    def __init__(self, issuer: str, key: ECKey, retired: list[ECKey]) -> None:
        self.issuer, self.key = issuer, key
        self._known = KeySet([key, *retired])

    @classmethod
    def open(cls, issuer: str, secrets_dir: Path) -> "Signer":
        old = [orjson.loads(path.read_bytes()) for path in sorted(secrets_dir.glob("retired/*.jwk"))]
        key = ECKey.import_key(orjson.loads((secrets_dir / "token.jwk").read_bytes()))
        return cls(issuer, key, [ECKey.import_key(jwk) for jwk in old if jwk["kty"] == "EC"])

    def jwks(self) -> dict[str, Any]:
        """Public halves only; retired keys stay, or tokens signed just before a rotation would be refused."""
        return self._known.as_dict(private=False)

    def access_token(self, grant: Grant) -> tuple[str, int]:
        """(token, seconds it lives)."""
        now = int(time.time())
        expires = int(min(now + TOKEN_SECONDS, grant.ends if grant.ends is not None else now + TOKEN_SECONDS))
        said = {
            "iss": self.issuer,
            "aud": grant.audience,
            "sub": grant.subject,
            "client_id": grant.client,
            "scope": " ".join(sorted(grant.scopes)),
            "jti": str(new_id()),
            "iat": now,
            "exp": expires,
            "kind": grant.kind,
            "tenant": str(grant.tenant) if grant.tenant else None,
            "roles": list(grant.roles) or None,
            "act": {"sub": grant.actor} if grant.actor else None,
            "sid": str(grant.session) if grant.session else None,
            "auth_time": grant.auth_time,
            "acr": grant.acr,
        }
        return self._signed(ACCESS, said), expires - now

    def id_token(self, grant: Grant, nonce: str | None) -> str:
        now = int(time.time())
        said = {
            "iss": self.issuer,
            "aud": grant.client,
            "sub": grant.subject,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "auth_time": grant.auth_time,
            "acr": grant.acr,
            "sid": str(grant.session),
            "nonce": nonce,
        }
        return self._signed(ID, said)

    def note(self, typ: str, **told: Any) -> str:
        """The checked authorization request, carried through the login form (LOGIN) or to the eID provider and back (EID), so that
        the server keeps nothing of strangers."""
        return self._signed(typ, {"iss": self.issuer, "exp": int(time.time()) + LOGIN_SECONDS} | told)

    def read(self, token: str, typ: str, *, expired_too: bool = False) -> dict[str, Any] | None:
        """The claims of a token we signed as `typ`; None for anything else."""
        try:
            read = jwt.decode(token, self._known, algorithms=["ES256"])
        except (JoseError, ValueError, TypeError, AttributeError):
            return None
        claims = read.claims
        if read.header.get("typ") != typ or claims.get("iss") != self.issuer:
            return None
        return claims if expired_too or claims["exp"] > time.time() else None

    def _signed(self, typ: str, said: dict[str, Any]) -> str:
        header = {"alg": "ES256", "typ": typ, "kid": self.key.kid}
        return jwt.encode(header, {name: value for name, value in said.items() if value is not None}, self.key)


class OwnTokens(TokenSource):
    """The issuer as a client of another service: it signs its own token, with the scopes that the reviewed table gives it."""

    def __init__(self, signer: Signer, shelf: Shelf) -> None:
        self.signer, self.shelf = signer, shelf

    async def token(self, audience: str, tenant: UUID | None = None) -> str:
        scopes = granted(self.shelf.current().client("identity"), audience, None)
        signed, _ = self.signer.access_token(Grant(audience, "identity", "identity", "client", scopes, tenant))
        return signed
