"""Logging in with an electronic identity: the embedded issuer as the relying party of any OpenID provider (OpenID Connect Core 1.0 §3.1).

The provider proves who somebody is and how surely; whose account that is, and what it may do, stays ours to say. What has to come
back unchanged (state, nonce, the PKCE verifier and the request that began it all) waits in a signed cookie of the browser that left.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, KeySet

from chassis import telemetry
from chassis.client import trust
from services.identity.settings import EidProvider, Settings

CALLBACK = "/login/eid/callback"
# `none` and the symmetric ones are not among them: only the provider's private key proves anything.
_ALGORITHMS = ["ES256", "PS256", "RS256", "Ed25519", "EdDSA", "ES384", "PS384", "RS384", "ES512", "PS512", "RS512"]
_SKEW_SECONDS = 10
_KNOWN_SECONDS = 3600
_RETRY_SECONDS = 30
_TIMEOUT = 5.0


class NotProven(Exception):
    """The provider did not prove who somebody is; `why` is a word for the log and says nothing of the person."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Away(Exception):
    """The provider does not answer, or not as a provider does."""


@dataclass(frozen=True)
class Attempt:
    """What a browser takes along and has to bring back."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> "Attempt":
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))


@dataclass(frozen=True)
class Proven:
    """person: the claim of the ID token that says who somebody is, compared and never kept · acr: how surely that was proven."""

    person: str
    acr: str


class RelyingParty:
    """One provider. Its metadata and keys are fetched when they are first wanted, and again when a key is new."""

    def __init__(self, settings: Settings, provider: EidProvider, http: httpx2.AsyncClient) -> None:
        self.provider, self.http = provider, http
        self.back_to = settings.issuer + CALLBACK
        has_key = (settings.secrets_dir / "eid.jwk").exists()
        self._secret = ECKey.import_key(settings.jwk("eid")) if has_key else settings.password("eid")
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._known_until = self._away_until = float("-inf")

    async def door(self) -> str | None:
        """Where people are sent to; None while the provider is away."""
        try:
            return (await self._described())["authorization_endpoint"]
        except Away:
            return None

    async def way(self, attempt: Attempt, acr: frozenset[str], language: str) -> str:
        """The address at which somebody proves who she is. `acr`: which of the provider's levels are enough. Raises Away."""
        endpoint = (await self._described())["authorization_endpoint"]
        async with self._client() as client:
            address, _ = client.create_authorization_url(
                endpoint,
                state=attempt.state,
                code_verifier=attempt.verifier,
                nonce=attempt.nonce,
                acr_values=" ".join(level for level in self.provider.acr if level in acr),
                prompt="login",
                ui_locales=language,
            )
        return str(address)

    async def proven(self, attempt: Attempt, acr: frozenset[str], told: Mapping[str, str]) -> Proven:
        """Who came back, of what the provider told in the address and tells for its code. Raises NotProven and Away."""
        described = await self._described()
        if not hmac.compare_digest(told.get("state", "").encode(), attempt.state.encode()):
            raise NotProven("state")
        # RFC 9207: an answer that another provider began is none of this one's.
        named = described.get("authorization_response_iss_parameter_supported") is True or "iss" in told
        if named and told.get("iss") != self.provider.issuer:
            raise NotProven("issuer")
        if "error" in told or not told.get("code"):
            raise NotProven("refused")
        claims = await self._claims(await self._id_token(told["code"], attempt))
        rules = jwt.JWTClaimsRegistry(
            leeway=_SKEW_SECONDS,
            iss={"essential": True, "value": self.provider.issuer},
            aud={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": attempt.nonce},
            acr={"essential": True, "values": sorted(acr)},
            sub={"essential": True},
        )
        try:
            rules.validate(claims)
        except JoseError as fault:
            raise NotProven(getattr(fault, "claim", None) or "claims") from None
        if claims["aud"] not in (self.provider.client_id, [self.provider.client_id]):
            raise NotProven("aud")
        person = claims.get(self.provider.claim)
        if not isinstance(person, str) or not person.strip():
            raise NotProven("claim")
        return Proven(person, claims["acr"])

    async def _id_token(self, code: str, attempt: Attempt) -> str:
        endpoint = (await self._described())["token_endpoint"]
        try:
            async with self._client() as client:
                said = await client.fetch_token(
                    endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=attempt.verifier,
                    state=attempt.state,
                )
        except httpx2.HTTPError:
            raise Away from None
        except (OAuthError, ValueError):
            raise NotProven("code") from None
        if not isinstance(said.get("id_token"), str):
            raise NotProven("code")
        return str(said["id_token"])

    def _client(self) -> AsyncOAuth2Client:
        """RFC 7523 where we have a key at the provider, RFC 6749 §2.3.1 where it gave us a password."""
        method = "private_key_jwt" if isinstance(self._secret, ECKey) else "client_secret_basic"
        client = AsyncOAuth2Client(
            self.provider.client_id,
            self._secret,
            token_endpoint_auth_method=method,
            scope=self.provider.scope,
            redirect_uri=self.back_to,
            code_challenge_method="S256",
            timeout=_TIMEOUT,
            trust_env=False,
            verify=trust(),
        )
        if isinstance(self._secret, ECKey):
            named = {"kid": self._secret.kid or self._secret.thumbprint()}
            client.register_client_auth_method(
                PrivateKeyJWT(
                    headers=named, claims={"aud": self.provider.issuer, "exp": int(time.time()) + 60}, alg="ES256"
                )
            )
        return client

    async def _claims(self, token: str) -> dict[str, Any]:
        """Of an ID token that the provider signed; its keys are fetched again when it names one that is not known."""
        for again in (False, True):
            keys = await self._fetched_keys(again)
            try:
                return jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
            except (JoseError, ValueError, TypeError, AttributeError):
                continue
        raise NotProven("signature")

    async def _fetched_keys(self, again: bool) -> KeySet:
        if self._keys is None or again:
            address = (await self._described())["jwks_uri"]
            found = _object(await self._answered(self.http.get(address, timeout=_TIMEOUT)))
            self._keys = KeySet([key for one in found.get("keys", []) if (key := _usable(one))])
        return self._keys

    async def _described(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0. One that does not answer is not asked at every login page."""
        now = time.monotonic()
        if now < self._known_until:
            return self._metadata
        if now < self._away_until:
            raise Away
        try:
            address = self.provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
            said = _object(await self._answered(self.http.get(address, timeout=_TIMEOUT)))
            wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if said.get("issuer") != self.provider.issuer or not all(isinstance(said.get(one), str) for one in wanted):
                raise Away
        except Away:
            self._away_until = now + _RETRY_SECONDS
            telemetry.log().warning("the eID provider is away or not the one it should be")
            raise
        self._metadata, self._known_until = said, now + _KNOWN_SECONDS
        return said

    async def _answered(self, call: Any) -> httpx2.Response:
        try:
            return await call
        except httpx2.HTTPError:
            raise Away from None


def person_hash(key: bytes, issuer: str, person: str) -> bytes:
    """By what an account is found: of no use without the key."""
    return hmac.digest(key, f"identity/eid\x00{issuer}\x00{person.strip()}".encode(), hashlib.sha256)


def _object(answer: httpx2.Response) -> dict[str, Any]:
    try:
        said = orjson.loads(answer.content) if answer.status_code == 200 else None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Away
    return said


def _usable(jwk: Any) -> Any:
    """A key of a kind we know; others a provider may have besides do not spoil the set."""
    try:
        return JWKRegistry.import_key(jwk) if jwk.get("use", "sig") == "sig" and jwk.get("kty") != "oct" else None
    except (JoseError, ValueError, TypeError, AttributeError, KeyError):
        return None
