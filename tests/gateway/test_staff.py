"""What staff may do at the edges is what the access register grants this instant: nothing before, nothing after."""

import json
import signal
from datetime import timedelta
from uuid import UUID, uuid4

import httpx2
import pytest

from chassis import clock
from ops.stack import Stack
from tests.identity.parties import Issuer, Pkce, Register, claims

AUDITED = "/staff/ledger/identity/checkpoint"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_right_that_is_taken_away_in_mid_session_does_not_work_once_more(
    internal: httpx2.AsyncClient, issuer: Issuer, register: Register, tenant: UUID
):
    username, account = await issuer.account(tenant, "staff")
    (grant,) = await register.give(issuer, account["subject"], tenant, ("auditor",))
    token = (await issuer.log_in(username, "staff"))["access_token"]
    for _ in range(3):
        assert (await internal.get(AUDITED, headers=bearer(token))).status_code == 200
    await register.take(issuer, grant)
    refused = await internal.get(AUDITED, headers=bearer(token))
    assert (refused.status_code, refused.json()["code"]) == (401, "request.unauthenticated")


async def test_whoever_lost_one_of_two_roles_logs_in_again_for_the_other(
    internal: httpx2.AsyncClient, issuer: Issuer, register: Register, tenant: UUID
):
    username, account = await issuer.account(tenant, "staff")
    grants = await register.give(issuer, account["subject"], tenant, ("auditor", "helpdesk"))
    token = (await issuer.log_in(username, "staff"))["access_token"]
    assert set(claims(token)["roles"]) == {"auditor", "helpdesk"}
    await register.take(issuer, grants[1])
    assert (await internal.get(AUDITED, headers=bearer(token))).status_code == 401
    rest = (await issuer.log_in(username, "staff"))["access_token"]
    assert claims(rest)["roles"] == ["auditor"] and "rights.handle" not in claims(rest)["scope"]
    assert (await internal.get(AUDITED, headers=bearer(rest))).status_code == 200


async def test_a_login_without_a_grant_yields_nothing(issuer: Issuer, tenant: UUID):
    username, _ = await issuer.account(tenant, "staff")
    pkce = Pkce.new()
    answer = await issuer.redeem(await issuer.code(username, pkce, "staff"), pkce, "staff")
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_grant"
    assert "access_token" not in answer.text


async def test_a_grant_for_one_organisation_is_none_for_another(issuer: Issuer, register: Register, tenant: UUID):
    username, account = await issuer.account(tenant, "staff")
    await register.give(issuer, account["subject"], uuid4(), ("auditor",))
    pkce = Pkce.new()
    answer = await issuer.redeem(await issuer.code(username, pkce, "staff"), pkce, "staff")
    assert answer.status_code == 400


async def test_a_grant_works_until_its_last_instant_and_no_longer(
    house: Stack, internal: httpx2.AsyncClient, issuer: Issuer, register: Register, tenant: UUID
):
    """By business time, and without waiting for the clock that writes the end into the ledger."""
    username, account = await issuer.account(tenant, "staff")
    await register.give(issuer, account["subject"], tenant, ("auditor",), days=1)
    token = (await issuer.log_in(username, "staff"))["access_token"]
    assert (await internal.get(AUDITED, headers=bearer(token))).status_code == 200
    clock.set_offset(house.home.clock, timedelta(days=1))
    try:
        assert (await internal.get(AUDITED, headers=bearer(token))).status_code == 401
    finally:
        clock.set_offset(house.home.clock, timedelta(0))


async def test_while_the_register_cannot_be_asked_staff_are_refused_and_customers_served(
    house: Stack, internal: httpx2.AsyncClient, issuer: Issuer, tenant: UUID
):
    username, _ = await issuer.account(tenant, "staff", ("auditor",))
    token = (await issuer.log_in(username, "staff"))["access_token"]
    assert (await internal.get(AUDITED, headers=bearer(token))).status_code == 200
    house.kill("registry", signal.SIGKILL)
    try:
        refused = await internal.get(AUDITED, headers=bearer(token))
        assert refused.status_code == 503 and json.loads(refused.text)["code"] == "request.unavailable"
        pkce = Pkce.new()
        nothing = await issuer.redeem(await issuer.code(username, pkce, "staff"), pkce, "staff")
        assert nothing.status_code == 503 and "access_token" not in nothing.text
        customer, _ = await issuer.account(tenant)
        assert (await issuer.log_in(customer))["access_token"]
    finally:
        house.restart("registry")
    assert (await internal.get(AUDITED, headers=bearer(token))).status_code == 200


@pytest.mark.parametrize("role", ["king", "root"])
async def test_a_role_that_this_platform_does_not_have_cannot_be_granted(
    issuer: Issuer, register: Register, tenant: UUID, role: str
):
    with pytest.raises(AssertionError, match=r"registry\.access_refused"):
        await register.give(issuer, str(uuid4()), tenant, (role,))
