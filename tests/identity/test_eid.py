"""Logging in with an electronic identity: what a provider proves counts as sure as it says, and nothing that is bent counts at all."""

import time
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from joserfc.jwk import ECKey

from tests.identity.parties import Issuer, Pkce, claims, landed
from tests.identity.provider import CLAIM, HIGH, SUBSTANTIAL, Provider, come_back, leave, signed, signed_by_hand
from tests.identity.test_accounts import post, wish


@pytest.fixture
def provider(eid: Provider):
    yield eid
    eid.forget()


async def with_eid(issuer: Issuer, tenant: UUID, **bent: Any) -> tuple[str, dict[str, Any]]:
    """An account without a password; who she is at the provider, and what the issuer says of it."""
    person = f"19{uuid4().int % 10**10:010}"
    answer = await post(
        issuer, await issuer.token("seeder", "identity", tenant), wish(password=None, eid=person, **bent)
    )
    assert answer.status_code == 201, answer.text
    return person, answer.json()


async def logged_in(issuer: Issuer, provider: Provider, person: str, **asked: str) -> dict[str, Any]:
    pkce = Pkce.new()
    gone = await leave(issuer, await issuer.page(pkce, **asked))
    answer = await come_back(issuer, provider.agree(gone.headers["location"], person))
    assert answer.status_code == 303, answer.text
    return claims((await issuer.redeem(landed(answer)["code"], pkce)).json()["access_token"])


async def test_whoever_proves_who_she_is_gets_a_token_that_says_how_surely(issuer, provider, tenant):
    person, account = await with_eid(issuer, tenant)
    said = await logged_in(issuer, provider, person)
    assert (said["sub"], said["tenant"], said["acr"]) == (account["subject"], str(tenant), HIGH)


async def test_how_sure_it_was_stays_in_the_token_for_the_service_behind_the_edge(issuer, provider, tenant):
    person, _ = await with_eid(issuer, tenant)
    pkce = Pkce.new()
    gone = await leave(issuer, await issuer.page(pkce))
    back = await come_back(issuer, provider.agree(gone.headers["location"], person))
    token = (await issuer.redeem(landed(back)["code"], pkce)).json()["access_token"]
    inside = (await issuer.exchange("public", token, "rights")).json()["access_token"]
    assert claims(inside)["acr"] == HIGH


async def test_a_client_that_names_levels_is_offered_no_other_way(issuer, provider, tenant):
    page = await issuer.page(Pkce.new(), acr_values=SUBSTANTIAL)
    assert 'id="eid"' in page.text and 'type="password"' not in page.text
    username, _ = await issuer.account(tenant)
    assert (await issuer.submit(page, username)).status_code == 400, "a password is not enough for this"
    person, _ = await with_eid(issuer, tenant)
    assert (await logged_in(issuer, provider, person, acr_values=SUBSTANTIAL))["acr"] == SUBSTANTIAL


async def test_a_client_that_asks_for_what_nobody_can_give_is_told_so(issuer):
    answer = await issuer.page(Pkce.new(), acr_values="urn:impossible")
    assert landed(answer)["error"] == "unmet_authentication_requirements"


async def test_a_lower_level_than_the_client_asked_for_is_none(issuer, provider, tenant):
    person, _ = await with_eid(issuer, tenant)
    provider.bent = {"acr": SUBSTANTIAL}
    gone = await leave(issuer, await issuer.page(Pkce.new(), acr_values=HIGH))
    assert (await come_back(issuer, provider.agree(gone.headers["location"], person))).status_code == 403


@pytest.mark.parametrize(
    "bent",
    [
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"aud": ["nordtel-at-the-broker", "another-client"]},
        {"aud": None},
        {"exp": -60},
        {"exp": None},
        {"iat": 600},
        {"nonce": "of another login"},
        {"nonce": None},
        {"acr": "password"},
        {"acr": None},
        {CLAIM: None},
        {CLAIM: " "},
        {CLAIM: ["196001011234"]},
    ],
    ids=lambda bent: " ".join(f"{name} {str(one)[:12]}" for name, one in bent.items()),
)
async def test_a_bent_id_token_lets_nobody_in(issuer, provider, tenant, bent):
    person, _ = await with_eid(issuer, tenant)
    # Instants are meant from now on.
    provider.bent = {name: int(time.time()) + one if isinstance(one, int) else one for name, one in bent.items()}
    await refused(issuer, provider, person)


async def test_a_strangers_signature_lets_nobody_in(issuer, provider, tenant):
    person, _ = await with_eid(issuer, tenant)
    stranger = ECKey.generate_key("P-256", {"kid": provider.published.kid}, private=True)
    provider.sign = lambda claims: signed(claims, stranger)
    await refused(issuer, provider, person)


@pytest.mark.parametrize("alg", ["HS256", "none"])
async def test_a_signature_that_anybody_could_make_lets_nobody_in(issuer, provider, tenant, alg):
    person, _ = await with_eid(issuer, tenant)
    secret = provider.published.as_pem(private=False) if alg == "HS256" else None
    provider.sign = lambda claims: signed_by_hand(claims, alg, secret)
    await refused(issuer, provider, person)


async def test_a_key_that_the_provider_took_into_use_since_is_fetched(issuer, provider, tenant):
    person, _ = await with_eid(issuer, tenant)
    await logged_in(issuer, provider, person)
    provider.published = ECKey.generate_key("P-256", {"kid": "broker-2"}, private=True)
    assert (await logged_in(issuer, provider, person))["acr"] == HIGH


@pytest.mark.parametrize(
    "told",
    [
        {"state": "another"},
        {"state": ""},
        {"code": "made-up"},
        {"code": ""},
        {"iss": "https://evil.example"},
        {"iss": ""},
        {"error": "access_denied"},
    ],
    ids=str,
)
async def test_a_bent_way_back_lets_nobody_in(issuer, provider, tenant, told):
    person, _ = await with_eid(issuer, tenant)
    await refused(issuer, provider, person, **told)


async def test_only_the_browser_that_left_comes_back_and_once(issuer, provider, tenant):
    person, _ = await with_eid(issuer, tenant)
    gone = await leave(issuer, await issuer.page(Pkce.new()))
    told = provider.agree(gone.headers["location"], person)
    kept = dict(issuer.http.cookies)
    issuer.http.cookies.clear()
    assert (await come_back(issuer, told)).status_code == 400, "another browser"
    issuer.http.cookies.update(kept)
    back = await come_back(issuer, told)
    assert back.status_code == 303 and 'wardline-eid=""; ' in str(back.headers.get_list("set-cookie"))
    assert (await come_back(issuer, told)).status_code == 403, "the provider's code is used"


async def test_an_identity_that_no_account_has_opens_none(issuer, provider):
    gone = await leave(issuer, await issuer.page(Pkce.new()))
    answer = await come_back(issuer, provider.agree(gone.headers["location"], "191212121212"))
    assert answer.status_code == 403 and "no account" in answer.text and "191212121212" not in answer.text


async def test_a_provider_that_is_away_says_so_and_comes_back(issuer, provider, tenant, house):
    provider.down = True
    house.restart("identity")  # what it knew of the provider is forgotten
    page = await issuer.page(Pkce.new())
    assert page.status_code == 200 and 'type="password"' in page.text and 'id="fault"' in page.text
    assert (await leave(issuer, page)).status_code == 503
    provider.down = False
    house.restart("identity")
    person, _ = await with_eid(issuer, tenant)
    assert (await logged_in(issuer, provider, person))["acr"] == HIGH


async def test_an_account_gets_an_identity_later_and_no_other_one_instead(issuer, provider, tenant):
    token, (_, account) = await issuer.token("seeder", "identity", tenant), await issuer.account(tenant)
    person, taken = f"19{uuid4().int % 10**10:010}", (await with_eid(issuer, tenant))[0]
    path = f"/v1/accounts/{account['id']}/eid"

    async def give(eid: str, as_token: str = token, at: str = path):
        headers = {"authorization": f"Bearer {as_token}", "idempotency-key": str(uuid4())}
        return await issuer.http.post(at, json={"eid": eid}, headers=headers)

    assert (await give(person)).status_code == 200 and (await give(person)).status_code == 200
    assert (await logged_in(issuer, provider, person))["sub"] == account["subject"]
    other = await give("another")
    assert (other.status_code, other.json()["code"]) == (409, "identity.other_eid")
    strangers = await issuer.token("seeder", "identity", uuid4())
    assert (await give("x", strangers)).status_code == 404, "another tenant's account does not exist"
    _, second = await issuer.account(tenant)
    refused = await give(taken, at=f"/v1/accounts/{second['id']}/eid")
    assert refused.status_code == 409 and taken not in refused.text


async def test_an_account_nobody_could_log_in_to_is_not_made(issuer, tenant):
    answer = await post(issuer, await issuer.token("seeder", "identity", tenant), wish(password=None))
    assert answer.status_code == 422


async def test_who_somebody_is_there_is_kept_nowhere_in_plain(issuer, provider, tenant, superuser):
    person, account = await with_eid(issuer, tenant)
    await logged_in(issuer, provider, person)
    kept = await superuser.fetchval("SELECT account::text FROM account WHERE id = $1", UUID(account["id"]))
    assert kept and person not in kept and person.encode().hex() not in kept


async def test_the_page_may_send_its_form_to_the_provider_and_nowhere_else(issuer, provider):
    page = await issuer.page(Pkce.new())
    [allowed] = [part for part in page.headers["content-security-policy"].split("; ") if part.startswith("form-action")]
    assert allowed.split()[1:] == ["'self'", "http://127.0.0.1", f"http://{urlsplit(provider.url).netloc}"]
    gone = await leave(issuer, page)
    cookie = gone.headers["set-cookie"].lower()
    assert "samesite=lax" in cookie and "httponly" in cookie


async def refused(issuer: Issuer, provider: Provider, person: str, **told: str) -> None:
    gone = await leave(issuer, await issuer.page(Pkce.new()))
    answer = await come_back(issuer, provider.agree(gone.headers["location"], person, **told))
    assert answer.status_code == 403 and "location" not in answer.headers and person not in answer.text
