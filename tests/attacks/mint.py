"""Tokens as the issuer itself would sign them, with any claim bent: what no honest issuer gives out, the edges must refuse all the same."""

import json
import time
from typing import Any, Self
from uuid import UUID, uuid4

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.table import Row
from sample.actors import Refused
from sample.cases import PRIVATE
from sample.seeding import give_roles
from tests.nordtel import Nordtel

# Calls of one person: what she may send at once (`gateway/limits.py`), however fast the machine is.
_TURN = 50


class Mint:
    def __init__(self, nordtel: Nordtel) -> None:
        self.key = ECKey.import_key(json.loads((nordtel.home / "secrets" / "identity" / "token.jwk").read_bytes()))
        self.issuer = nordtel.cast.public
        self.asks, self.approves = nordtel.person("access1"), nordtel.person("access2")
        self._staff: dict[tuple[str, frozenset[str]], tuple[str, int]] = {}
        self.edges = {"public": nordtel.cast.public, "internal": nordtel.cast.internal}
        self.service = nordtel.stack.url
        self.http = httpx2.Client(trust_env=False, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def claims(self, audience: str, scopes: set[str] | frozenset[str], calls: int = 2, **said: Any) -> dict[str, Any]:
        """Of a token that is in order: for a client of the private subscribers' tenant, unless it says otherwise. `calls`: how often
        it will be used at most."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": audience,
            "sub": str(uuid4()),
            "client_id": "attacker",
            "kind": "client",
            "tenant": str(PRIVATE.id),
            "scope": " ".join(sorted(scopes)),
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + 300,
        }
        claims = {name: value for name, value in (usual | said).items() if value is not None}
        if claims["kind"] == "staff" and "sub" not in said and "tenant" in claims:
            claims["roles"] = claims.get("roles") or ["helpdesk"]
            claims["sub"] = self.granted(claims["tenant"], frozenset(claims["roles"]), calls)
        return claims

    def granted(self, organisation: str, roles: frozenset[str], calls: int) -> str:
        """Somebody who holds these roles for an organisation's data: the edges ask the access register about staff. Soon
        somebody else, since each person may call only so often."""
        person, left = self._staff.get((organisation, roles), ("", 0))
        if left < calls:
            person, left = self._somebody({"tenant": organisation, "roles": sorted(roles)}), _TURN
        self._staff[organisation, roles] = (person, left - calls)
        return person

    def _somebody(self, grant: dict[str, Any]) -> str:
        """Who asks for roles and who approves them may call only so often, too: on a fast machine they wait."""
        while True:
            person = str(uuid4())
            try:
                give_roles(self.asks, self.approves, grant, person)
            except Refused as refused:
                if refused.status != 429:
                    raise
                time.sleep(1)
            else:
                return person

    def token(self, audience: str, scopes: set[str] | frozenset[str], **said: Any) -> str:
        return self.sign(self.claims(audience, scopes, **said))

    def sign(self, claims: dict[str, Any], typ: str = "at+jwt", key: ECKey | None = None) -> str:
        return jwt.encode({"alg": "ES256", "typ": typ, "kid": self.key.kid}, claims, key or self.key)

    def said(self, token: str) -> dict[str, Any]:
        """What a token of the issuer's says."""
        return jwt.decode(token, self.key, algorithms=["ES256"]).claims

    def rightful(self, row: Row, **said: Any) -> str:
        """A token that the row is for; `said` bends it."""
        kind = next(kind for kind in ("client", "staff", "customer") if kind in row.kinds)
        return self.token(row.edge, row.scopes, **({"kind": kind, "roles": sorted(row.roles)} | said))

    def try_row(self, row: Row, token: str | None, path: str | None = None, **how: Any) -> httpx2.Response:
        """One call of this operation, whatever comes back. A write bears a fresh Idempotency-Key unless `headers` has one."""
        headers = {"idempotency-key": str(uuid4())} if row.key else {}
        headers |= {"authorization": f"Bearer {token}"} if token else {}
        return self.http.request(
            row.method,
            self.edges[row.edge] + (path or sample_path(row)),
            headers=headers | how.pop("headers", {}),
            **how,
        )


def sample_path(row: Row) -> str:
    """The row's path with some value in each place: good enough for who is refused before anything is looked up."""
    return "/".join(str(UUID(int=7)) if part.startswith("{") else part for part in row.path.split("/"))


def operation(row: Row) -> str:
    return f"{row.edge} {row.method} {row.path}"
