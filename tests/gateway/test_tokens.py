"""Which tokens an edge lets in: its own, unexpired, with the scope, of a session that has not ended."""

import asyncio
import base64
import json
import signal
import time
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from ops.stack import Stack
from tests.backups import lose_what_came_after
from tests.gateway.behind import Behind
from tests.gateway.conftest import own_edge
from tests.gateway.test_edge import anna, bearer
from tests.identity.parties import Issuer, claims, header
from tests.patience import busy

__all__ = ["anna"]


@pytest.fixture
def forge(house: Stack) -> Any:
    """Signs any claims with the issuer's real key: what a token would be if identity were careless."""
    key = ECKey.import_key(json.loads((house.home.secrets("identity") / "token.jwk").read_bytes()))

    def sign(good: str, *, head: dict[str, Any] | None = None, **bent: Any) -> str:
        said = {name: value for name, value in (claims(good) | bent).items() if value is not None}
        return jwt.encode(header(good) | (head or {}), said, key)

    return sign


@pytest.mark.parametrize(
    "bent",
    [
        {"aud": "internal"},
        {"aud": "consent"},
        {"aud": ["public"]},
        {"aud": None},
        {"iss": "http://evil.example"},
        {"exp": -1},
        {"exp": None},
        {"iat": 300},
        {"nbf": 300},
        {"sub": None},
        {"sub": "anna"},
        {"kind": None},
        {"tenant": "Kustbanken"},
        {"client_id": None},
        {"head": {"typ": "JWT"}},
        {"head": {"typ": "login+jwt"}},
    ],
    ids=str,
)
async def test_a_token_that_is_not_exactly_for_here_is_refused(
    edge: httpx2.AsyncClient, behind: Behind, anna: str, forge: Any, bent: dict
):
    # Instants are seconds from the moment of asking: collected minutes earlier, they would have come true by now.
    bent = {name: int(time.time()) + value if isinstance(value, int) else value for name, value in bent.items()}
    answer = await edge.get("/v1/consents", headers=bearer(forge(anna, **bent)))
    assert answer.status_code == 401 and answer.json()["code"] == "request.unauthenticated" and not behind.seen


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256", "ES256"])
async def test_a_token_nobody_here_signed_is_refused(edge: httpx2.AsyncClient, behind: Behind, anna: str, alg: str):
    head, body, signature = anna.split(".")
    evil = ECKey.generate_key("P-256", private=True)
    if alg == "ES256":
        brought = {"jwk": evil.as_dict(private=False), "jku": "http://evil.example/jwks", "x5u": "http://evil.example/"}
        token = jwt.encode(header(anna) | brought, claims(anna), evil)
    else:
        bent = base64.urlsafe_b64encode(json.dumps(header(anna) | {"alg": alg}).encode()).rstrip(b"=").decode()
        token = f"{bent}.{body}.{'' if alg == 'none' else signature}"
    answer = await edge.get("/v1/consents", headers=bearer(token))
    assert answer.status_code == 401 and not behind.seen and head


async def test_an_id_token_and_a_clients_proof_are_no_access_tokens(
    edge: httpx2.AsyncClient, issuer: Issuer, tenant: UUID
):
    username, _ = await issuer.account(tenant)
    given = await issuer.log_in(username, scope="openid consent.read")
    for token in (given["id_token"], issuer.clients["helpdesk"].assertion(issuer.name)):
        assert (await edge.get("/v1/consents", headers=bearer(token))).status_code == 401


async def test_a_services_own_token_is_not_a_users(edge: httpx2.AsyncClient, issuer: Issuer, tenant: UUID):
    for audience in ("consent", "anonymizer"):
        token = await issuer.token("rights", audience, tenant)
        assert (await edge.get("/v1/consents", headers=bearer(token))).status_code == 401


@pytest.mark.parametrize(
    "given",
    [{}, {"authorization": "Bearer"}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer x y"}],
    ids=str,
)
async def test_without_a_token_there_is_nothing_but_public_pages(edge: httpx2.AsyncClient, given: dict):
    answer = await edge.get("/v1/consents", headers=given)
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert (await edge.get("/.well-known/openid-configuration", headers=given)).status_code == 200


async def test_a_token_without_the_scope_is_refused(
    edge: httpx2.AsyncClient, behind: Behind, issuer: Issuer, tenant: UUID
):
    username, _ = await issuer.account(tenant)
    token = (await issuer.log_in(username, scope="consent.read"))["access_token"]
    assert (await edge.get("/v1/consents", headers=bearer(token))).status_code == 200
    answer = await edge.post("/v1/consents", json={}, headers=bearer(token, idempotency_key="k"))
    assert answer.status_code == 403 and answer.json()["code"] == "request.forbidden" and len(behind.seen) == 1


async def test_after_logout_a_token_is_refused_although_it_has_not_expired(
    edge: httpx2.AsyncClient, issuer: Issuer, tenant: UUID
):
    username, _ = await issuer.account(tenant)
    given = await issuer.log_in(username, scope="openid consent.read")
    headers = bearer(given["access_token"])
    assert (await edge.get("/v1/consents", headers=headers)).status_code == 200
    assert (await issuer.http.post("/logout", data={"id_token_hint": given["id_token"]})).status_code == 200
    assert await _until(edge, headers, 401) < 3 * busy()


async def test_an_edge_started_after_a_logout_does_not_take_the_token_either(
    house: Stack, behind: Behind, issuer: Issuer, tenant: UUID
):
    username, _ = await issuer.account(tenant)
    given = await issuer.log_in(username, scope="openid consent.read")
    await issuer.http.post("/logout", data={"id_token_hint": given["id_token"]})
    async with own_edge(house, behind) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as edge:
        assert (await edge.get("/v1/consents", headers=bearer(given["access_token"]))).status_code == 401
    assert not behind.seen


async def test_an_edge_that_no_longer_hears_who_logged_out_refuses_everybody_and_recovers(
    edge: httpx2.AsyncClient, behind: Behind, anna: str, house: Stack
):
    assert (await edge.get("/v1/consents", headers=bearer(anna))).status_code == 200
    house.kill("identity", signal.SIGSTOP)
    try:
        assert (await edge.get("/v1/consents", headers=bearer(anna))).status_code == 200, (
            "a moment's silence is no loss"
        )
        assert 5 < await _until(edge, bearer(anna), 503) < 14 * busy()
        assert (await edge.get("/health/ready")).status_code == 503
        fresh = await edge.get("/v1/consents", headers=bearer(anna))
        assert fresh.json()["code"] == "request.unavailable"
    finally:
        house.kill("identity", signal.SIGCONT)
    assert await _until(edge, bearer(anna), 200) < 10 * busy()


async def test_a_logout_is_heard_also_of_an_identity_that_came_back_from_a_backup(
    edge: httpx2.AsyncClient, issuer: Issuer, tenant: UUID, house: Stack
):
    """Its ledger grows past where the edge had read, and the logout stands before that."""

    username, _ = await issuer.account(tenant)

    async def logged_in() -> tuple[dict[str, str], dict[str, str]]:
        given = await issuer.log_in(username, scope="openid consent.read")
        headers = bearer(given["access_token"])
        assert (await edge.get("/v1/consents", headers=headers)).status_code == 200
        return headers, {"id_token_hint": given["id_token"]}

    anna, hers = await logged_in()
    bo, his = await logged_in()
    assert (await issuer.http.post("/logout", data=his)).status_code == 200
    await _until(edge, bo, 401)
    admin = await house.postgres.connect("wardline")
    read = await admin.fetchval("SELECT max(position) FROM identity.ledger_entry")
    await lose_what_came_after(admin, "identity", read - 1)
    assert (await issuer.http.post("/logout", data=hers)).status_code == 200
    while await admin.fetchval("SELECT max(position) FROM identity.ledger_entry") <= read:
        given = await issuer.log_in(username, scope="openid")
        await issuer.http.post("/logout", data={"id_token_hint": given["id_token"]})
    await admin.close()
    await _until(edge, anna, 401)


async def test_an_issuer_that_is_away_is_a_generic_refusal(
    edge: httpx2.AsyncClient, behind: Behind, issuer: Issuer, tenant: UUID, house: Stack
):
    username, _ = await issuer.account(tenant)
    token = (await issuer.log_in(username))["access_token"]
    house.kill("identity")
    try:
        for path in ("/v1/consents", "/.well-known/openid-configuration"):
            answer = await edge.get(path, headers=bearer(token))
            assert answer.status_code == 503 and answer.json()["code"] == "request.unavailable"
            assert "127.0.0.1" not in answer.text and "Error" not in answer.text
        assert not behind.seen
    finally:
        await asyncio.to_thread(house.restart, "identity")
    assert await _until(edge, bearer(token), 200) < 15 * busy()


async def test_the_clock_is_moved_by_operations_only(
    internal: httpx2.AsyncClient, issuer: Issuer, tenant: UUID, house: Stack
):
    async def staff(role: str) -> dict[str, str]:
        username, _ = await issuer.account(tenant, "staff", (role,))
        return bearer((await issuer.log_in(username, "staff"))["access_token"])

    operations = await staff("operations")
    moved = await internal.put("/v1/clock", json={"offset_seconds": 86_400}, headers=operations)
    assert moved.status_code == 200 and float(house.home.clock.read_text()) == 86_400
    try:
        assert (
            await internal.put("/v1/clock", json={"offset_seconds": 0}, headers=await staff("auditor"))
        ).status_code == 403
        for body in ({"offset_seconds": "1"}, {"offset_seconds": 1e12}, {}, {"offset_seconds": 1, "x": 1}):
            assert (await internal.put("/v1/clock", json=body, headers=operations)).status_code == 422
    finally:
        await internal.put("/v1/clock", json={"offset_seconds": 0}, headers=operations)


async def test_accounts_are_made_through_the_internal_edge(internal: httpx2.AsyncClient, issuer: Issuer, tenant: UUID):
    token = await issuer.token("seeder", "internal", tenant)
    body = {
        "username": f"p-{uuid4().hex}",
        "password": "korrekt-batteri-47",
        "kind": "customer",
        "principal": str(uuid4()),
    }
    first, again = [
        await internal.post("/v1/accounts", json=body, headers=bearer(token, idempotency_key="one")) for _ in range(2)
    ]
    assert first.status_code == 201 and again.json() == first.json() and again.headers["idempotent-replayed"] == "true"
    username, _ = await issuer.account(tenant, "staff", ("helpdesk",))
    helpdesk = (await issuer.log_in(username, "staff"))["access_token"]
    refused = await internal.post("/v1/accounts", json=body, headers=bearer(helpdesk, idempotency_key="two"))
    assert refused.status_code == 403


async def test_a_public_token_opens_nothing_inside_and_the_other_way_round(
    internal: httpx2.AsyncClient, issuer: Issuer, tenant: UUID, anna: str
):
    assert (await internal.get("/staff/v1/consents", headers=bearer(anna))).status_code == 401
    username, _ = await issuer.account(tenant, "staff", ("auditor",))
    auditor = (await issuer.log_in(username, "staff"))["access_token"]
    assert (await issuer.http.get("/ledger/identity/checkpoint", headers=bearer(auditor))).status_code == 401
    assert (await internal.get("/staff/ledger/identity/checkpoint", headers=bearer(auditor))).status_code == 200


async def test_the_regulator_reads_a_ledger_and_its_keys(issuer: Issuer):
    headers = bearer(await issuer.token("regulator", "public"))
    note = await issuer.http.get("/ledger/identity/checkpoint", headers=headers)
    assert note.status_code == 200 and note.text.count("\n") >= 4
    assert (await issuer.http.get("/keys/identity")).json()["keys"]


async def _until(edge: httpx2.AsyncClient, headers: dict[str, str], status: int) -> float:
    """Seconds until the edge answers so."""
    began = time.monotonic()
    while time.monotonic() - began < 30:
        if (await edge.get("/v1/consents", headers=headers)).status_code == status:
            return time.monotonic() - began
        await asyncio.sleep(0.2)
    raise AssertionError(f"never answered {status}")
