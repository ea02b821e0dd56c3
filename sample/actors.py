"""The people and systems around Nordtel, speaking nothing but HTTP to the two edges: who the tour, the journeys and the examples act as.

A `Person` logs in by the login page with code and PKCE, a `Machine` proves itself with its key. Both renew their token by themselves.
"""

import base64
import hashlib
import html
import json
import re
import secrets
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from chassis.client import trust
from sample import accounts
from sample.clients import CALLBACK

_RENEW_BEFORE = 15
_PATIENCE = 120  # as long as an edge waits for what is behind it
_TRIES = 10


class Refused(Exception):
    """An answer that is an error where none was expected; `problem` is its body."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.status = answer.status_code
        self.problem: dict[str, Any] = _json(answer)
        said = self.problem.get("detail") or self.problem.get("title") or self.problem.get("error_description") or ""
        super().__init__(f"{answer.request.method} {answer.request.url.path}: {self.status} {self.code} {said}".strip())

    @property
    def code(self) -> str:
        return str(self.problem.get("code") or self.problem.get("error") or "")


class Actor(ABC):
    """Somebody with a token for one edge. `get`, `post`, `put` answer what the edge answered, and raise Refused for an error.

    Who reads what is not there yet (503 with Retry-After) asks again when told to."""

    audience = "public"

    def __init__(self, edge: str, issuer: str) -> None:
        """edge: the URL spoken to · issuer: the public edge, where tokens come from."""
        self.edge, self.issuer = edge.rstrip("/"), issuer.rstrip("/")
        self.http = httpx2.Client(trust_env=False, verify=trust(), timeout=_PATIENCE)
        self._token, self._expires = "", 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def get(self, path: str, **query: Any) -> httpx2.Response:
        asked = {name: value for name, value in query.items() if value is not None}
        for _ in range(_TRIES):
            # None and not {}: httpx would take an empty query for the whole of it, and drop what the path says.
            answer = self.try_to("GET", path, params=asked or None)
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                break
            time.sleep(float(answer.headers["retry-after"]))
        return _accepted(answer)

    def post(self, path: str, body: Any = None, key: str | None = None) -> httpx2.Response:
        return self.send(
            "POST", path, json=body if body is not None else {}, headers={"idempotency-key": key or str(uuid4())}
        )

    def put(self, path: str, body: Any = None, key: str | None = None) -> httpx2.Response:
        return self.send(
            "PUT", path, json=body if body is not None else {}, headers={"idempotency-key": key or str(uuid4())}
        )

    def send(self, method: str, path: str, **how: Any) -> httpx2.Response:
        return _accepted(self.try_to(method, path, **how))

    def try_to(self, method: str, path: str, headers: dict[str, str] | None = None, **how: Any) -> httpx2.Response:
        """One call, whatever comes back; for those who want to be refused."""
        carried = {"authorization": f"Bearer {self.token()}"} | (headers or {})
        return self.http.request(method, self.edge + path, headers=carried, **how)

    def token(self) -> str:
        if self._expires - _RENEW_BEFORE < time.time():
            answer = self._grant()
            if answer.status_code != 200:
                raise Refused(answer)
            granted = answer.json()
            self._token, self._expires = granted["access_token"], time.time() + granted["expires_in"]
        return self._token

    @abstractmethod
    def _grant(self) -> httpx2.Response:
        """The token endpoint's answer to however this actor proves who it is."""


class Machine(Actor):
    """A system with a key of its own (private_key_jwt). `tenant`: for clients that may name one."""

    def __init__(
        self, edge: str, issuer: str, client: str, key: ECKey, audience: str = "public", tenant: UUID | None = None
    ) -> None:
        super().__init__(edge, issuer)
        self.client, self.key, self.audience, self.tenant = client, key, audience, tenant

    def _grant(self) -> httpx2.Response:
        now = int(time.time())
        claims = {
            "iss": self.client,
            "sub": self.client,
            "aud": self.issuer,
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + 50,
        }
        form = {
            "grant_type": "client_credentials",
            "resource": self.audience,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims, self.key),
        }
        return self.http.post(f"{self.issuer}/token", data=form | ({"tenant": str(self.tenant)} if self.tenant else {}))


class Person(Actor):
    """Somebody who logs in by the page: a customer at the public edge, staff for the internal one."""

    def __init__(self, edge: str, issuer: str, login: dict[str, Any]) -> None:
        super().__init__(edge, issuer)
        self.username, self._password, self.name = login["username"], login["password"], login["name"]
        self.client = "selfservice" if login["kind"] == "customer" else "staff"
        self.audience = "public" if login["kind"] == "customer" else "internal"

    def _grant(self) -> httpx2.Response:
        verifier = secrets.token_urlsafe(48)
        page = self.http.get(
            f"{self.issuer}/authorize",
            params={
                "response_type": "code",
                "client_id": self.client,
                "redirect_uri": CALLBACK,
                "resource": self.audience,
                "state": secrets.token_urlsafe(8),
                "code_challenge": _b64(hashlib.sha256(verifier.encode()).digest()),
                "code_challenge_method": "S256",
            },
        )
        back = self.http.post(f"{self.issuer}/login", data=self._filled_in(page.text))
        if back.status_code != 303:
            raise PermissionError(f"{self.username} cannot log in: the login page answered {back.status_code}.")
        code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
        return self.http.post(
            f"{self.issuer}/token",
            data={
                "grant_type": "authorization_code",
                "client_id": self.client,
                "redirect_uri": CALLBACK,
                "code": code,
                "code_verifier": verifier,
            },
        )

    def _filled_in(self, page: str) -> dict[str, str]:
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
        return {name: html.unescape(value) for name, value in hidden} | {
            "username": self.username,
            "password": self._password,
        }


@dataclass(frozen=True)
class Cast:
    """Everybody at one house, by the names of `sample.cases` and `sample.accounts`.

    home: the house's directory, where logins and the systems' keys lie · public, internal: the two edges' URLs.
    """

    home: Path
    public: str
    internal: str

    def person(self, name: str) -> Person:
        """A customer by the key of `sample.cases.PEOPLE`, or staff by user name."""
        for login in accounts.read(self.home / "sample" / "logins.json"):
            if name in (login["person"], login["username"]):
                edge = self.public if login["kind"] == "customer" else self.internal
                return Person(edge, self.public, login)
        raise KeyError(name)

    def machine(self, client: str, audience: str = "public", tenant: UUID | None = None) -> Machine:
        edge = self.public if audience == "public" else self.internal
        return Machine(edge, self.public, client, self.key(client), audience, tenant)

    def key(self, name: str) -> ECKey:
        return ECKey.import_key(json.loads((self.home / "sample" / "clients" / f"{name}.jwk").read_bytes()))


def _accepted(answer: httpx2.Response) -> httpx2.Response:
    if answer.status_code >= 400:
        raise Refused(answer)
    return answer


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
