"""A code is good once, for a minute, for its client, with its verifier; used twice it ends the session it began."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from chassis.db import Database
from services.identity import commands
from tests.identity.parties import CALLBACK, Issuer, Pkce, claims


async def test_a_code_used_twice_ends_the_session_of_the_first_use(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    pkce = Pkce.new()
    code = await issuer.code(username, pkce)
    first = await issuer.redeem(code, pkce)
    token = first.json()["access_token"]
    assert (await issuer.exchange("public", token, "consent")).status_code == 200
    assert (await issuer.redeem(code, pkce)).json()["error"] == "invalid_grant"
    assert (await issuer.exchange("public", token, "consent")).json()["error"] == "invalid_grant"
    assert claims(token)["sid"] in await _revoked(issuer)


async def test_of_many_who_bring_a_code_at_once_at_most_one_gets_a_token(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    pkce = Pkce.new()
    code = await issuer.code(username, pkce)
    answers = await asyncio.gather(*(issuer.redeem(code, pkce) for _ in range(8)))
    given = [answer for answer in answers if answer.status_code == 200]
    assert len(given) <= 1
    for answer in given:
        assert (await issuer.exchange("public", answer.json()["access_token"], "consent")).status_code == 400


@pytest.mark.parametrize(
    "bent",
    [
        {"code_verifier": "another-verifier-of-the-right-length-0123456789"},
        {"code_verifier": "short"},
        {"code_verifier": ""},
        {"code_verifier": "ä" * 43},
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": ""},
        {"client_id": "staff"},
    ],
    ids=str,
)
async def test_a_code_brought_wrongly_is_refused_and_used_up(issuer: Issuer, tenant: UUID, bent: dict):
    username, _ = await issuer.account(tenant)
    pkce = Pkce.new()
    code = await issuer.code(username, pkce)
    assert (await issuer.redeem(code, pkce, **bent)).json()["error"] == "invalid_grant"
    assert (await issuer.redeem(code, pkce)).json()["error"] == "invalid_grant"


async def test_the_challenge_itself_is_no_verifier(issuer: Issuer, tenant: UUID):
    """What `plain` would accept."""
    username, _ = await issuer.account(tenant)
    pkce = Pkce.new()
    code = await issuer.code(username, pkce)
    assert (await issuer.redeem(code, pkce, code_verifier=pkce.challenge)).json()["error"] == "invalid_grant"


async def test_a_code_is_refused_after_a_minute(issuer: Issuer, tenant: UUID, superuser: asyncpg.Connection):
    username, _ = await issuer.account(tenant)
    pkce = Pkce.new()
    code = await issuer.code(username, pkce)
    lives = "SELECT max(expires_at - now()) <= '60 s'::interval FROM identity.code WHERE tenant = $1"
    assert await superuser.fetchval(lives, tenant)
    # Waiting is the test's only other way.
    await superuser.execute("UPDATE identity.code SET expires_at = now() - interval '1 s' WHERE tenant = $1", tenant)
    assert (await issuer.redeem(code, pkce)).json()["error"] == "invalid_grant"


async def test_no_code_is_kept_in_the_clear(issuer: Issuer, tenant: UUID, superuser: asyncpg.Connection):
    username, _ = await issuer.account(tenant)
    code = await issuer.code(username, Pkce.new())
    rows = await superuser.fetch("SELECT c::text AS told FROM identity.code c WHERE tenant = $1", tenant)
    accounts = await superuser.fetch("SELECT a::text AS told FROM identity.account a WHERE tenant = $1", tenant)
    assert rows and not any(code in row["told"] for row in rows)
    assert accounts and not any(username in row["told"] for row in accounts)


async def test_old_logins_are_forgotten_and_fresh_ones_are_not(
    issuer: Issuer, tenant: UUID, superuser: asyncpg.Connection, tidying: Database
):
    username, _ = await issuer.account(tenant)
    await issuer.log_in(username)
    await issuer.log_in(username)
    count = "SELECT count(*) FROM identity.session WHERE tenant = $1"
    await commands.tidy(tidying)
    assert await superuser.fetchval(count, tenant) == 2
    for table, column in (("session", "auth_time"), ("code", "expires_at")):
        await superuser.execute(
            f"UPDATE identity.{table} SET {column} = {column} - interval '2 h' "
            "WHERE sid = (SELECT sid FROM identity.session WHERE tenant = $1 ORDER BY auth_time LIMIT 1)",
            tenant,
        )
    await superuser.execute("UPDATE identity.used_jti SET expires_at = expires_at - interval '2 h'")
    await commands.tidy(tidying)
    assert await superuser.fetchval(count, tenant) == 1
    assert await superuser.fetchval("SELECT count(*) FROM identity.used_jti") == 0


async def _revoked(issuer: Issuer) -> set[str]:
    """The sessions that identity's feed says have ended."""
    token = await issuer.token("public", "identity")
    query = {"types": "session.revoked", "wait": 5, "limit": 500}
    for _ in range(50):
        page = await issuer.http.get("/events", params=query, headers={"authorization": f"Bearer {token}"})
        if page.json()["items"]:
            return {event["data"]["sid"] for event in page.json()["items"]}
        await asyncio.sleep(0.1)
    return set()
