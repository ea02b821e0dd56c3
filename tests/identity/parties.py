"""The people and programs that deal with the issuer: clients with their keys, and a browser that follows the login page."""

import base64
import hashlib
import json
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from chassis.client import trust
from tests.patience import PATIENCE

CALLBACK = "http://127.0.0.1/callback"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
PASSWORD = "korrekt-batteri-47"


@dataclass(frozen=True)
class Client:
    id: str
    key: ECKey

    @classmethod
    def new(cls, id: str) -> "Client":
        return cls(id, ECKey.generate_key("P-256", {"kid": f"{id}-test"}, private=True))

    @classmethod
    def of(cls, id: str, path: Path) -> "Client":
        return cls(id, ECKey.import_key(json.loads(path.read_bytes())))

    @property
    def public(self) -> dict[str, Any]:
        return self.key.as_dict(private=False)

    def assertion(self, issuer: str, *, header: dict[str, Any] | None = None, **bent: Any) -> str:
        now = int(time.time())
        usual = {"iss": self.id, "sub": self.id, "aud": issuer, "jti": str(uuid4()), "iat": now, "exp": now + 60}
        claims = {name: value for name, value in (usual | bent).items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": self.key.kid} | (header or {}), claims, self.key)


@dataclass(frozen=True)
class Pkce:
    verifier: str
    challenge: str

    @classmethod
    def new(cls) -> "Pkce":
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        return cls(verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode())


class Register:
    """The access register behind an issuer: two managers, named once, give everybody else her roles."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._names: list[str] = []
        self._tokens: list[str] = []
        self._until = 0.0

    async def give(
        self, issuer: "Issuer", person: str, organisation: UUID, roles: tuple[str, ...], days: int = 300
    ) -> list[str]:
        """The grants' ids."""
        asks, approves = await self._managers(issuer)
        given = []
        for role in roles:
            asked = await self.post(asks, "/v1/access/grants", wish(person, organisation, role, valid_to=in_days(days)))
            assert asked.status_code == 201, asked.text
            given.append(asked.json()["id"])
            approved = await self.post(approves, f"/v1/access/grants/{given[-1]}/decision", APPROVED)
            assert approved.status_code == 200, approved.text
        return given

    async def take(self, issuer: "Issuer", grant: str) -> None:
        _, decides = await self._managers(issuer)
        ended = await self.post(decides, f"/v1/access/grants/{grant}/end", {"reason": "No longer needed here."})
        assert ended.status_code == 200, ended.text

    async def post(self, token: str, path: str, body: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=PATIENCE, verify=trust()) as http:
            return await http.post(path, json=body, headers=headers)

    async def _managers(self, issuer: "Issuer") -> list[str]:
        """Their tokens for the registry, as the internal edge would bring them."""
        if not self._names:
            await self._found(issuer)
        if self._until < time.time():
            logged_in = [(await issuer.log_in(name, "staff"))["access_token"] for name in self._names]
            self._tokens = [await self._inside(issuer, token) for token in logged_in]
            self._until = time.time() + 240
        return self._tokens

    async def _found(self, issuer: "Issuer") -> None:
        house = uuid4()
        made = [await issuer.account(house, "staff") for _ in range(2)]
        founding = {
            "managers": [{"person": account["subject"], "organisation": str(house)} for _, account in made],
            "purpose": "maintaining_service",
            "justification": "Somebody has to be the first.",
            "valid_to": in_days(300),
        }
        seeder = await self._inside(issuer, await issuer.token("seeder", "internal", house))
        answer = await self.post(seeder, "/v1/access/founding", founding)
        assert answer.status_code == 201, answer.text
        self._names = [name for name, _ in made]

    async def _inside(self, issuer: "Issuer", token: str) -> str:
        answer = await issuer.exchange("internal", token, "registry")
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]


APPROVED = {"approve": True, "reason": "Needed for this test."}


def in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def wish(person: str, organisation: UUID, role: str, **more: Any) -> dict[str, Any]:
    usual = {
        "person": person,
        "role": role,
        "system": "wardline",
        "organisation": str(organisation),
        "purpose": "maintaining_service",
        "justification": "A test needs somebody with this role.",
        "valid_to": in_days(300),
    }
    return usual | more


class Issuer:
    """The token endpoint and the login page, as a program and a browser use them.

    accounts: where accounts are made, and the audience of a token for there; the issuer itself unless an edge stands before it ·
    register: gives staff their roles.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        name: str,
        clients: dict[str, Client],
        accounts: tuple[httpx2.AsyncClient, str] | None = None,
        register: Register | None = None,
    ) -> None:
        self.http, self.name, self.clients, self.register = http, name, clients, register
        self.accounts = accounts or (http, "identity")

    async def ask(self, client: str | None, form: dict[str, str], **bent: Any) -> httpx2.Response:
        """POST /token as `client`, whose assertion may be bent."""
        proof = {}
        if client is not None:
            proof = {
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": self.clients[client].assertion(self.name, **bent),
            }
        return await self.http.post("/token", data=form | proof)

    async def token(self, client: str, resource: str, tenant: UUID | None = None, **more: str) -> str:
        form = {"grant_type": "client_credentials", "resource": resource} | more
        answer = await self.ask(client, form | ({"tenant": str(tenant)} if tenant else {}))
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    async def exchange(self, edge: str, token: str, audience: str, **more: str) -> httpx2.Response:
        form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN_TYPE}
        return await self.ask(edge, form | {"audience": audience} | more)

    async def account(
        self, tenant: UUID, kind: str = "customer", roles: tuple[str, ...] = ()
    ) -> tuple[str, dict[str, Any]]:
        """A new account: its user name, and what the issuer says of it. Staff are granted `roles`."""
        http, audience = self.accounts
        token = await self.token("seeder", audience, tenant)
        name = f"person-{uuid4().hex[:12]}"
        wish = {"username": name, "password": PASSWORD, "kind": kind}
        wish |= {"principal": str(uuid4())} if kind == "customer" else {}
        headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}
        answer = await http.post("/v1/accounts", json=wish, headers=headers)
        assert answer.status_code == 201, answer.text
        if roles:
            await self.register.give(self, answer.json()["subject"], tenant, roles)
        return name, answer.json()

    def authorization(self, pkce: Pkce, client: str = "selfservice", **bent: str | None) -> dict[str, str]:
        usual = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": CALLBACK,
            "code_challenge": pkce.challenge,
            "code_challenge_method": "S256",
            "state": "where-i-was",
        }
        return {name: value for name, value in (usual | bent).items() if value is not None}

    async def page(self, pkce: Pkce, client: str = "selfservice", **bent: str | None) -> httpx2.Response:
        return await self.http.get("/authorize", params=self.authorization(pkce, client, **bent))

    async def submit(
        self, page: httpx2.Response, username: str, password: str = PASSWORD, **headers: str
    ) -> httpx2.Response:
        """Fills the form of a login page in and sends it; the cookie is in the jar of `http`."""
        form = {"note": note_of(page), "language": "sv", "username": username, "password": password}
        return await self.http.post("/login", data=form, headers=headers)

    async def code(self, username: str, pkce: Pkce, client: str = "selfservice", **bent: str | None) -> str:
        answer = await self.submit(await self.page(pkce, client, **bent), username)
        assert answer.status_code == 303, answer.text
        return landed(answer)["code"]

    async def redeem(self, code: str, pkce: Pkce, client: str = "selfservice", **bent: str) -> httpx2.Response:
        usual = {
            "grant_type": "authorization_code",
            "client_id": client,
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": pkce.verifier,
        }
        return await self.http.post("/token", data=usual | bent)

    async def log_in(self, username: str, client: str = "selfservice", **bent: str | None) -> dict[str, Any]:
        pkce = Pkce.new()
        answer = await self.redeem(await self.code(username, pkce, client, **bent), pkce, client)
        assert answer.status_code == 200, answer.text
        return answer.json()


def note_of(page: httpx2.Response) -> str:
    found = re.search(r'name="note" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def landed(answer: httpx2.Response) -> dict[str, str]:
    """What a redirect tells the client."""
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def claims(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def header(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
