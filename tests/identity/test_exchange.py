"""An edge's token for a service's: the caller stays, the edge is named, and nothing ever widens."""

from uuid import UUID

import pytest

from tests.identity.parties import Issuer, claims


async def test_the_caller_stays_the_subject_and_the_edge_becomes_the_actor(issuer: Issuer, tenant: UUID):
    username, account = await issuer.account(tenant)
    before = claims(token := (await issuer.log_in(username))["access_token"])
    after = claims((await issuer.exchange("public", token, "consent")).json()["access_token"])
    assert (after["aud"], after["sub"], after["act"]) == ("consent", account["subject"], {"sub": "public"})
    same = ("client_id", "tenant", "kind", "sid", "auth_time", "acr")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert set(after["scope"].split()) == {"consent.read", "consent.write"}, "what consent does not know is left out"
    assert after["exp"] - after["iat"] <= 300 and after["exp"] <= before["exp"] + 30


async def test_scope_only_narrows(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    token = (await issuer.log_in(username, scope="consent.read"))["access_token"]
    for wider in ("consent.write", "consent.read consent.write", "order.approve"):
        assert (await issuer.exchange("public", token, "consent", scope=wider)).json()["error"] == "invalid_scope"
    assert (await issuer.exchange("public", token, "rights")).json()["error"] == "invalid_scope"
    assert claims((await issuer.exchange("public", token, "consent")).json()["access_token"])["scope"] == "consent.read"


async def test_only_the_edges_exchange_and_only_tokens_made_for_them(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    token = (await issuer.log_in(username))["access_token"]
    assert (await issuer.exchange("rights", token, "consent")).json()["error"] == "unauthorized_client"
    assert (await issuer.exchange("seeder", token, "consent")).json()["error"] == "unauthorized_client"
    assert (await issuer.exchange("internal", token, "consent")).json()["error"] == "invalid_grant"
    assert (await issuer.exchange("public", token, "disclosure")).json()["error"] == "invalid_target"
    assert (await issuer.exchange("public", token, "public")).json()["error"] == "invalid_target"


async def test_an_exchanged_token_is_not_exchanged_again(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    token = (await issuer.log_in(username))["access_token"]
    exchanged = (await issuer.exchange("public", token, "consent")).json()["access_token"]
    assert (await issuer.exchange("public", exchanged, "rights")).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("what", ["an ID token", "an assertion", "rubbish", "nothing"])
async def test_what_is_no_access_token_is_not_exchanged(issuer: Issuer, tenant: UUID, what: str):
    username, _ = await issuer.account(tenant)
    token = {
        "an ID token": (await issuer.log_in(username, scope="openid"))["id_token"],
        "an assertion": issuer.clients["public"].assertion(issuer.name),
        "rubbish": "e30.e30.e30",
        "nothing": "",
    }[what]
    assert (await issuer.exchange("public", token, "consent")).json()["error"] == "invalid_grant"


async def test_after_logout_the_session_gets_no_more_tokens(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    given = await issuer.log_in(username, scope="openid consent.read")
    ended = await issuer.http.post("/logout", data={"id_token_hint": given["id_token"]})
    assert ended.status_code == 200 and 'lang="sv"' in ended.text
    assert (await issuer.exchange("public", given["access_token"], "consent")).json()["error"] == "invalid_grant"
    again = await issuer.http.post("/logout", data={"id_token_hint": given["id_token"]})
    assert again.status_code == 200, "logging out twice changes nothing"


async def test_nobody_is_logged_out_by_what_is_no_id_token_nor_sent_astray(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    given = await issuer.log_in(username, scope="openid consent.read")
    assert (await issuer.http.post("/logout", data={"id_token_hint": given["access_token"]})).status_code == 400
    assert (await issuer.exchange("public", given["access_token"], "consent")).status_code == 200
    astray = {"id_token_hint": given["id_token"], "post_logout_redirect_uri": "https://evil.example/"}
    answer = await issuer.http.post("/logout", data=astray)
    assert answer.status_code == 400 and "location" not in answer.headers
