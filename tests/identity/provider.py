"""An OpenID provider of electronic identities whose every answer a test may bend, and the steps of a browser that goes there."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import uuid4

import httpx2
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.identity.parties import Issuer, note_of
from tests.patience import PATIENCE
from tests.serving import serve

CLIENT = "nordtel-at-the-broker"
HIGH, SUBSTANTIAL = "http://id.elegnamnden.se/loa/1.0/loa3", "http://id.elegnamnden.se/loa/1.0/loa2"
CLAIM = "https://id.oidc.se/claim/personalIdentityNumber"


class Provider:
    """bent: claims of the next ID tokens that differ (None leaves one out) · told: what stands in the address back besides ·
    sign: makes an ID token of claims · down: whether it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.published = ECKey.generate_key("P-256", {"kid": "broker-1"}, private=True)
        self.ours = ECKey.generate_key("P-256", {"kid": "at-the-broker"}, private=True)
        self.forget()
        self.app = FastAPI()
        self.app.add_api_route("/.well-known/openid-configuration", self._described)
        self.app.add_api_route("/jwks", self._jwks)
        self.app.add_api_route("/token", self._token, methods=["POST"])

    def forget(self) -> None:
        self.bent: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: signed(claims, self.published)
        self.down = False
        self.codes: dict[str, dict[str, str]] = {}

    def settings(self) -> str:
        """As WARDLINE_EID."""
        return json.dumps({"issuer": self.url, "client_id": CLIENT, "acr": [HIGH, SUBSTANTIAL], "claim": CLAIM})

    def agree(self, address: str, person: str, **told: str) -> dict[str, str]:
        """Somebody proves here who she is; what the address back says."""
        asked = {name: one for name, [one] in parse_qs(urlsplit(address).query).items()}
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (CLIENT, "code", "S256")
        code = uuid4().hex
        self.codes[code] = asked | {"person": person}
        return {"code": code, "state": asked["state"], "iss": self.url} | told

    async def _described(self) -> JSONResponse:
        if self.down:
            return JSONResponse({}, 503)
        said = {name: f"{self.url}/{path}" for name, path in ENDPOINTS.items()}
        return JSONResponse(said | {"issuer": self.url, "authorization_response_iss_parameter_supported": True})

    async def _jwks(self) -> JSONResponse:
        strange = {"kty": "UNKNOWN", "kid": "of-tomorrow"}
        return JSONResponse({"keys": [strange, self.published.as_dict(private=False)]})

    async def _token(self, request: Request) -> JSONResponse:
        form = dict(parse_qsl((await request.body()).decode()))
        proof = jwt.decode(form["client_assertion"], self.ours, algorithms=["ES256"]).claims
        assert (proof["iss"], proof["sub"], proof["aud"]) == (CLIENT, CLIENT, self.url)
        asked = self.codes.pop(form["code"], None)
        digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if asked is None or digest != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        said = {"iss": self.url, "aud": CLIENT, "sub": "pairwise", "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        said |= {"acr": asked["acr_values"].split()[0], CLAIM: asked["person"]} | self.bent
        token = self.sign({name: one for name, one in said.items() if one is not None})
        return JSONResponse({"access_token": "unused", "token_type": "Bearer", "id_token": token})


def signed(claims: dict[str, Any], key: ECKey) -> str:
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)


def signed_by_hand(claims: dict[str, Any], alg: str, secret: bytes | None) -> str:
    """What a library would not sign: with HMAC under anything, or not at all."""
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": alg}, claims))
    proof = hmac.digest(secret, head + b"." + body, "sha256") if secret else b""
    return b".".join((head, body, base64.urlsafe_b64encode(proof).rstrip(b"="))).decode()


ENDPOINTS = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}


@contextmanager
def provider() -> Iterator[Provider]:
    """In a thread of its own, since houses are started from fixtures that do not await."""
    made, ready, over = Provider(), threading.Event(), threading.Event()

    async def run() -> None:
        async with serve(made.app) as made.url:
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(PATIENCE), "the provider did not start"
    yield made
    over.set()
    thread.join()


async def leave(issuer: Issuer, page: httpx2.Response) -> httpx2.Response:
    """She presses the button for her electronic identity."""
    return await issuer.http.post("/login/eid", data={"note": note_of(page), "language": "en"})


async def come_back(issuer: Issuer, told: dict[str, str]) -> httpx2.Response:
    return await issuer.http.get("/login/eid/callback", params=told)
