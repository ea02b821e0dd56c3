"""The three ways to a token. Each decides by `rules`, and signs what `tokens` shapes.

The audience of a person's token is the edge her client belongs to; every other audience is reached by exchange only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from chassis.db import Database
from services.identity import commands, queries, rules
from services.identity.contract import InvalidGrant, InvalidRequest, InvalidScope, InvalidTarget, UnsupportedGrantType
from services.identity.rules import Client, Table
from services.identity.tables import Account
from services.identity.tokens import ACCESS, Grant, Signer
from services.registry.client import RegistryClient

ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass(frozen=True)
class Issuer:
    """What every grant needs: where sessions are, who may have what, the key, and who says which roles staff hold."""

    database: Database
    table: Table
    signer: Signer
    register: RegistryClient


async def token(issuer: Issuer, form: Mapping[str, str]) -> dict[str, Any]:
    """The answer of the token endpoint. Raises OAuthRefusal."""
    grants = {"client_credentials": _client_credentials, "authorization_code": _code, EXCHANGE: _exchange}
    client = await commands.authenticate_client(issuer.database, issuer.table, issuer.signer.issuer, form)
    grant = grants.get(form.get("grant_type", ""))
    if grant is None:
        raise UnsupportedGrantType
    return await grant(issuer, client, form)


async def _client_credentials(issuer: Issuer, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    client.may("client")
    audience = form.get("resource") or _only(client)
    scopes = rules.granted(client, audience, form.get("scope"))
    tenant = rules.tenant_for(client, form.get("tenant"))
    return _answer(issuer, Grant(audience, client.id, client.id, "client", scopes, tenant))


async def _code(issuer: Issuer, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    client.may("code")
    if not form.get("code"):
        raise InvalidRequest("code is missing")
    code, session, account = await commands.redeem_code(
        issuer.database, client, form["code"], form.get("redirect_uri"), form.get("code_verifier")
    )
    audience = _only(client)
    wished = frozenset((code.scope or "").split())
    allowed = rules.granted(client, audience, " ".join(wished - {"openid"}) or None)
    roles = await _roles(issuer, account)
    grant = Grant(
        audience=audience,
        client=client.id,
        subject=str(account.subject),
        kind=account.kind,
        scopes=rules.of_person(issuer.table, allowed, account.kind, roles),
        tenant=account.tenant,
        roles=tuple(roles),
        session=session.sid,
        auth_time=int(session.auth_time.timestamp()),
        acr=session.acr,
    )
    answer = _answer(issuer, grant)
    return answer | ({"id_token": issuer.signer.id_token(grant, code.nonce)} if "openid" in wished else {})


async def _roles(issuer: Issuer, account: Account) -> list[str]:
    """What the access register grants staff this instant. Raises InvalidGrant for nothing, Unavailable when it cannot be asked."""
    if account.kind == "customer":
        return []
    roles = await issuer.register.roles_held(account.subject, account.tenant)
    if not roles:
        raise InvalidGrant("the access register grants this person nothing here now")
    return roles


async def _exchange(issuer: Issuer, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    """RFC 8693: an edge's token for one of the service behind it. The caller stays the subject, the edge becomes the actor."""
    client.may("exchange")
    if form.get("subject_token_type") != ACCESS_TOKEN_TYPE or "actor_token" in form:
        raise InvalidRequest("subject_token_type is an access token's, and there is no actor_token")
    said = issuer.signer.read(form.get("subject_token", ""), ACCESS)
    if said is None or said["aud"] != client.id or "act" in said:
        raise InvalidGrant
    audience = form.get("audience", "")
    if audience not in client.exchanges:
        raise InvalidTarget
    scopes = rules.narrowed(frozenset(said["scope"].split()) & issuer.table.audiences[audience], form.get("scope"))
    if not scopes:
        raise InvalidScope
    grant = _as_said(said)
    if grant.session:
        await queries.open_session(issuer.database, grant.session)
    ends = said["exp"] + rules.EXCHANGE_GRACE_SECONDS
    exchanged = replace(grant, audience=audience, scopes=scopes, actor=client.id, ends=ends)
    return _answer(issuer, exchanged) | {"issued_token_type": ACCESS_TOKEN_TYPE}


def _as_said(claims: dict[str, Any]) -> Grant:
    """The grant behind a token of ours; its signature has been checked."""
    return Grant(
        audience=claims["aud"],
        client=claims["client_id"],
        subject=claims["sub"],
        kind=claims["kind"],
        scopes=frozenset(claims["scope"].split()),
        tenant=UUID(claims["tenant"]) if "tenant" in claims else None,
        roles=tuple(claims.get("roles", ())),
        session=UUID(claims["sid"]) if "sid" in claims else None,
        auth_time=claims.get("auth_time"),
        acr=claims.get("acr"),
    )


def _only(client: Client) -> str:
    """The audience that goes without saying."""
    if len(client.audiences) != 1:
        raise InvalidRequest("resource is missing: say which audience the token is for")
    return next(iter(client.audiences))


def _answer(issuer: Issuer, grant: Grant) -> dict[str, Any]:
    signed, seconds = issuer.signer.access_token(grant)
    scope = " ".join(sorted(grant.scopes))
    return {"access_token": signed, "token_type": "Bearer", "expires_in": seconds, "scope": scope}
