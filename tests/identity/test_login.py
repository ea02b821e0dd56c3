"""People at the login page: what is refused before it is shown, and what comes back to the client."""

import re
from uuid import UUID, uuid4

import pytest

from tests.identity.parties import CALLBACK, PASSWORD, Issuer, Pkce, claims, header, landed, note_of


async def test_a_customer_logs_in_and_her_token_speaks_for_her_at_the_public_edge(issuer: Issuer, tenant: UUID):
    username, account = await issuer.account(tenant)
    answer = await issuer.log_in(username, scope="openid consent.read consent.write", nonce="n-1")
    said = claims(answer["access_token"])
    assert (said["aud"], said["sub"], said["kind"]) == ("public", account["subject"], "customer")
    assert said["tenant"] == str(tenant) and said["scope"] == "consent.read consent.write"
    assert said["acr"] == "password" and said["auth_time"] and said["sid"] and "roles" not in said
    identity = claims(answer["id_token"])
    assert (identity["aud"], identity["nonce"], identity["sid"]) == ("selfservice", "n-1", said["sid"])
    assert header(answer["id_token"])["typ"] == "JWT"


async def test_staff_get_the_scopes_of_their_roles_and_no_others(issuer: Issuer, tenant: UUID):
    username, account = await issuer.account(tenant, "staff", ("approver", "collector"))
    said = claims((await issuer.log_in(username, "staff"))["access_token"])
    assert (said["aud"], said["sub"], said["roles"]) == ("internal", account["id"], ["approver", "collector"])
    assert set(said["scope"].split()) == {"order.approve", "order.collect", "order.read"}


async def test_the_page_needs_no_script_and_lets_none_run(issuer: Issuer):
    page = await issuer.page(Pkce.new())
    policy = page.headers["content-security-policy"]
    assert "<script" not in page.text and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"
    assert (
        'lang="sv"' in page.text
        and '<label for="password">' in page.text
        and 'autocomplete="current-password"' in page.text
    )
    cookie = page.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie


async def test_the_page_speaks_english_to_those_who_ask(issuer: Issuer):
    asked = await issuer.page(Pkce.new(), ui_locales="en")
    accepted = await issuer.http.get(
        "/authorize", params=issuer.authorization(Pkce.new()), headers={"accept-language": "de, en;q=0.8"}
    )
    assert 'lang="en"' in asked.text and 'lang="en"' in accepted.text


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        CALLBACK + "/",
        CALLBACK + "?x=1",
        CALLBACK.upper(),
        CALLBACK.replace("127.0.0.1", "localhost"),
        CALLBACK.replace("127.0.0.1", "127.0.0.1:80"),
        CALLBACK.replace("http:", "https:"),
        CALLBACK + "/../callback",
        "http://127.0.0.1@evil.example/callback",
        "https://evil.example/",
    ],
)
async def test_nobody_is_sent_to_an_address_that_is_nearly_the_clients(issuer: Issuer, address: str | None):
    answer = await issuer.page(Pkce.new(), redirect_uri=address)
    assert answer.status_code == 400 and "location" not in answer.headers


@pytest.mark.parametrize("client", ["nobody", "helpdesk", ""])
async def test_nobody_is_sent_anywhere_for_a_client_people_do_not_log_in_by(issuer: Issuer, client: str):
    answer = await issuer.page(Pkce.new(), client)
    assert answer.status_code == 400 and "location" not in answer.headers


@pytest.mark.parametrize(
    ("bent", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "ä" * 43}, "invalid_request"),
        ({"response_type": "token"}, "invalid_request"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "e30.e30."}, "invalid_request"),
        ({"scope": "consent.read order.approve"}, "invalid_scope"),
        ({"resource": "internal"}, "invalid_target"),
        ({"prompt": "none"}, "login_required"),
    ],
    ids=str,
)
async def test_a_faulty_wish_goes_back_to_the_client_with_the_issuers_name(issuer: Issuer, bent: dict, error: str):
    answer = await issuer.page(Pkce.new(), **bent)
    assert answer.status_code == 303 and answer.headers["location"].startswith(CALLBACK + "?")
    told = landed(answer)
    assert (told["error"], told["state"], told["iss"]) == (error, "where-i-was", issuer.name)


async def test_what_no_database_holds_starts_no_login(issuer: Issuer):
    assert (await issuer.page(Pkce.new(), nonce="a\0b")).status_code == 400


async def test_a_parameter_said_twice_starts_no_login(issuer: Issuer):
    twice = [*issuer.authorization(Pkce.new()).items(), ("redirect_uri", "https://evil.example/")]
    answer = await issuer.http.get("/authorize", params=twice)
    assert answer.status_code == 400 and "location" not in answer.headers


async def test_the_browser_comes_back_by_303_with_state_and_issuer(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    answer = await issuer.submit(await issuer.page(Pkce.new()), username)
    told = landed(answer)
    assert answer.status_code == 303 and answer.headers["location"].startswith(CALLBACK + "?")
    assert told["state"] == "where-i-was" and told["iss"] == issuer.name and told["code"]


async def test_a_wrong_password_and_an_unknown_name_look_the_same(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    page = await issuer.page(Pkce.new())
    wrong = await issuer.submit(page, username, "wrong")
    unknown = await issuer.submit(page, f"nobody-{uuid4()}", "wrong")
    assert wrong.status_code == unknown.status_code == 401
    assert re.sub(r'value="[^"]*"', "", wrong.text) == re.sub(r'value="[^"]*"', "", unknown.text)
    assert 'role="alert"' in wrong.text and username not in wrong.text


async def test_five_wrong_passwords_close_the_door_for_a_while_also_for_the_right_one(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    page = await issuer.page(Pkce.new())
    assert [(await issuer.submit(page, username, "wrong")).status_code for _ in range(5)] == [401] * 5
    assert (await issuer.submit(page, username, PASSWORD)).status_code == 429
    other, _ = await issuer.account(tenant)
    assert (await issuer.submit(page, other, PASSWORD)).status_code == 303


async def test_whoever_tries_another_s_name_closes_no_door_but_her_own(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    page = await issuer.page(Pkce.new())
    attacker, owner = {"x-client-address": "203.0.113.9"}, {"x-client-address": "198.51.100.7"}
    for _ in range(5):
        assert (await issuer.submit(page, username, "wrong", **attacker)).status_code == 401
    assert (await issuer.submit(page, username, PASSWORD, **attacker)).status_code == 429
    assert (await issuer.submit(page, username, PASSWORD, **owner)).status_code == 303


async def test_a_browser_that_logged_in_before_is_not_closed_out_by_its_neighbours(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    shared = {"x-client-address": "203.0.113.10"}
    assert (await issuer.submit(await issuer.page(Pkce.new()), username, **shared)).status_code == 303
    mark = issuer.http.cookies["wardline-browser"]
    issuer.http.cookies.delete("wardline-browser")
    page = await issuer.page(Pkce.new())
    for _ in range(5):
        assert (await issuer.submit(page, username, "wrong", **shared)).status_code == 401
    assert (await issuer.submit(page, username, **shared)).status_code == 429
    issuer.http.cookies.set("wardline-browser", f"{mark[:-1]}{'0' if mark[-1] != '0' else '1'}")
    assert (await issuer.submit(page, username, **shared)).status_code == 429, "a mark that nobody gave"
    issuer.http.cookies.delete("wardline-browser")
    issuer.http.cookies.set("wardline-browser", mark)
    assert (await issuer.submit(page, username, **shared)).status_code == 303


async def test_the_right_password_forgives_the_wrong_ones_before_it(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    for _ in range(3):
        page = await issuer.page(Pkce.new())
        assert [(await issuer.submit(page, username, "wrong")).status_code for _ in range(3)] == [401] * 3
        assert (await issuer.submit(page, username)).status_code == 303


async def test_a_login_form_from_another_browser_or_site_is_not_taken(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    page = await issuer.page(Pkce.new())
    assert (await issuer.submit(page, username, origin="https://evil.example")).status_code == 400
    await issuer.page(Pkce.new())
    assert (await issuer.submit(page, username)).status_code == 400, "the cookie is another page's by now"
    issuer.http.cookies.clear()
    assert (await issuer.submit(page, username)).status_code == 400
    forged = {"note": "e30.e30.e30", "username": username, "password": PASSWORD}
    assert (await issuer.http.post("/login", data=forged)).status_code == 400


async def test_an_access_token_is_no_login_note(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant)
    page = await issuer.page(Pkce.new())
    token = (await issuer.log_in(username, scope="openid"))["id_token"]
    form = {"note": token, "username": username, "password": PASSWORD}
    assert note_of(page) != token and (await issuer.http.post("/login", data=form)).status_code == 400
