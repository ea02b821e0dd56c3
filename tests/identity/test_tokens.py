"""Programs at the token endpoint: private_key_jwt, and who gets which token."""

import asyncio
import base64
import hmac
import json
import time
from uuid import UUID, uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.identity.parties import ASSERTION_TYPE, Issuer, claims, header

WISH = {"grant_type": "client_credentials", "resource": "anonymizer"}


async def test_a_client_proves_its_key_and_gets_an_rfc_9068_token_for_one_audience(issuer: Issuer, tenant: UUID):
    token = await issuer.token("rights", "anonymizer", tenant)
    said = claims(token)
    assert header(token)["typ"] == "at+jwt" and header(token)["alg"] == "ES256"
    assert (said["iss"], said["aud"], said["sub"], said["client_id"]) == (issuer.name, "anonymizer", "rights", "rights")
    assert said["tenant"] == str(tenant) and said["kind"] == "client"
    assert said["exp"] - said["iat"] <= 300 and said["jti"]
    assert set(said["scope"].split()) == {"data.resolve", "data.work", "data.read", "events.read"}


@pytest.mark.parametrize(
    "bent",
    [
        {"aud": "http://127.0.0.1:1"},
        {"aud": ["the issuer, in a list"]},
        {"aud": None},
        {"iss": "consent"},
        {"iss": None},
        {"jti": None},
        {"jti": 12345678},
        {"jti": "12345678\0"},
        {"exp": None},
        {"exp": 1},
        {"exp": 9_999_999_999},
        {"exp": True},
        {"iat": None},
        {"iat": "now"},
    ],
    ids=str,
)
async def test_an_assertion_with_a_wrong_claim_is_no_proof(issuer: Issuer, bent: dict):
    if isinstance(bent.get("aud"), list):
        bent = {"aud": [issuer.name]}
    answer = await issuer.ask("rights", WISH, **bent)
    assert answer.status_code == 401 and answer.json()["error"] == "invalid_client"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_a_clock_ten_seconds_ahead_is_accepted_and_one_a_minute_ahead_is_not(issuer: Issuer, claim: str):
    now = int(time.time())
    assert (await issuer.ask("rights", WISH, **{claim: now + 10})).status_code == 200
    assert (await issuer.ask("rights", WISH, **{claim: now + 60})).status_code == 401


async def test_a_proof_is_taken_once_also_by_two_at_the_same_moment(issuer: Issuer):
    jti = str(uuid4())
    answers = await asyncio.gather(*(issuer.ask("rights", WISH, jti=jti) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401, 401]


async def test_a_proof_stays_used_when_the_rest_of_the_request_was_refused(issuer: Issuer):
    jti = str(uuid4())
    assert (await issuer.ask("rights", WISH | {"resource": "disclosure"}, jti=jti)).json()["error"] == "invalid_target"
    assert (await issuer.ask("rights", WISH, jti=jti)).json()["error"] == "invalid_client"


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256"])
async def test_an_assertion_under_another_algorithm_is_no_proof(issuer: Issuer, alg: str):
    client = issuer.clients["rights"]
    good = client.assertion(issuer.name).split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": alg}).encode()).rstrip(b"=").decode()
    # HS256 is the classic confusion: the public key, which everybody has, taken for a shared secret.
    confused = hmac.digest(client.key.as_pem(private=False), f"{head}.{good[1]}".encode(), "sha256")
    signature = {"none": b"", "HS256": confused, "RS256": base64.urlsafe_b64decode(good[2] + "==")}[alg]
    bad = f"{head}.{good[1]}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    answer = await issuer.ask(None, WISH | {"client_assertion": bad, "client_assertion_type": ASSERTION_TYPE})
    assert answer.status_code == 401 and answer.json()["error"] == "invalid_client"


async def test_a_key_that_the_assertion_brings_itself_is_not_believed(issuer: Issuer):
    mine = ECKey.generate_key("P-256", private=True)
    claims_ = claims(issuer.clients["rights"].assertion(issuer.name))
    forged = jwt.encode({"alg": "ES256", "jwk": mine.as_dict(private=False)}, claims_, mine)
    answer = await issuer.ask(None, WISH | {"client_assertion": forged, "client_assertion_type": ASSERTION_TYPE})
    assert answer.status_code == 401


async def test_shared_secrets_and_bare_names_prove_nothing(issuer: Issuer):
    by_secret = await issuer.http.post("/token", data=WISH | {"client_id": "rights", "client_secret": "hunter2"})
    by_header = await issuer.http.post("/token", data=WISH, auth=("rights", "hunter2"))
    by_name = await issuer.http.post("/token", data=WISH | {"client_id": "rights"})
    assert {answer.json()["error"] for answer in (by_secret, by_header, by_name)} == {"invalid_client"}


@pytest.mark.parametrize(
    ("client", "form", "error"),
    [
        ("helpdesk", {"resource": "public", "scope": "ticket.post registry.export"}, "invalid_scope"),
        ("helpdesk", {"resource": "internal"}, "invalid_target"),
        ("rights", {"resource": "disclosure"}, "invalid_target"),
        ("helpdesk", {"resource": "public", "tenant": "6f1d0c0e-8a53-4b7e-9c7f-3f2a0f5f6c11"}, "invalid_target"),
        ("rights", {"resource": "anonymizer", "tenant": "Kustbanken"}, "invalid_request"),
        ("rights", {}, "invalid_request"),
        ("rights", {"grant_type": "password"}, "unsupported_grant_type"),
        ("rights", {"grant_type": "authorization_code"}, "unauthorized_client"),
    ],
    ids=str,
)
async def test_nobody_gets_more_than_the_table_gives(issuer: Issuer, client: str, form: dict, error: str):
    answer = await issuer.ask(client, {"grant_type": "client_credentials"} | form)
    assert answer.status_code == 400 and answer.json()["error"] == error


async def test_a_client_may_ask_for_less(issuer: Issuer):
    token = await issuer.token("regulator", "public", scope="ledger.read")
    assert claims(token)["scope"] == "ledger.read"


async def test_a_client_of_one_tenant_speaks_for_that_one(issuer: Issuer):
    first, second = [claims(await issuer.token(name, "public")) for name in ("helpdesk", "regulator")]
    assert first["tenant"] == second["tenant"]


@pytest.mark.parametrize(
    ("content", "type"),
    [
        (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b'{"grant_type": "client_credentials"}', "application/json"),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=" % n for n in range(60)), "application/x-www-form-urlencoded"),
    ],
    ids=["twice", "no text", "json", "too long", "too many"],
)
async def test_a_malformed_form_is_a_clear_refusal(issuer: Issuer, content: bytes, type: str):
    answer = await issuer.http.post("/token", content=content, headers={"content-type": type})
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_request"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "a.b.c.d.e", "é", "e30.W10.", "e30.eyJzdWIiOiBbXX0."])
async def test_rubbish_as_an_assertion_is_no_proof(issuer: Issuer, assertion: str):
    answer = await issuer.ask(None, WISH | {"client_assertion": assertion, "client_assertion_type": ASSERTION_TYPE})
    assert answer.status_code == 401 and answer.json()["error"] == "invalid_client"
