"""Accounts are made by whoever holds accounts.write, in the tenant of its token."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.identity.parties import PASSWORD, Issuer


def wish(**bent: Any) -> dict[str, Any]:
    usual = {"username": f"p-{uuid4().hex}", "password": PASSWORD, "kind": "customer", "principal": str(uuid4())}
    return {name: value for name, value in (usual | bent).items() if value is not None}


async def post(issuer: Issuer, token: str, body: Any, key: str | None = None):
    headers = {"authorization": f"Bearer {token}", "idempotency-key": key or str(uuid4())}
    return await issuer.http.post("/v1/accounts", json=body, headers=headers)


async def test_a_name_is_taken_once_however_it_is_spelled_and_whoever_is_quicker(issuer: Issuer, tenant: UUID):
    token = await issuer.token("seeder", "identity", tenant)
    name = f"Anna-{uuid4().hex}"
    spellings = (name, name.upper(), f" {name.lower()} ", name)
    answers = await asyncio.gather(*(post(issuer, token, wish(username=spelled)) for spelled in spellings))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_a_repeated_wish_is_answered_alike_and_another_under_its_key_is_refused(issuer: Issuer, tenant: UUID):
    token, key, body = await issuer.token("seeder", "identity", tenant), str(uuid4()), wish()
    first, second = await post(issuer, token, body, key), await post(issuer, token, body, key)
    assert first.status_code == second.status_code == 201 and first.json() == second.json()
    other = await post(issuer, token, wish(), key)
    assert other.status_code == 409 and other.json()["code"] == "request.key_reused"


@pytest.mark.parametrize(
    "bent",
    [
        {"tenant": "6f1d0c0e-8a53-4b7e-9c7f-3f2a0f5f6c11"},
        {"principal": None},
        {"roles": ["approver"]},
        {"kind": "staff"},
        {"kind": "staff", "principal": None, "roles": ["approver"]},
        {"password": "short"},
        {"username": ""},
        {"kind": 1},
    ],
    ids=str,
)
async def test_a_faulty_wish_is_named_and_never_repeats_the_password(issuer: Issuer, tenant: UUID, bent: dict):
    answer = await post(issuer, await issuer.token("seeder", "identity", tenant), wish(**bent))
    assert answer.status_code == 422 and answer.json()["errors"]
    assert PASSWORD not in answer.text and "short" not in answer.text


async def test_one_person_has_one_account(issuer: Issuer, tenant: UUID):
    token, principal = await issuer.token("seeder", "identity", tenant), str(uuid4())
    assert (await post(issuer, token, wish(principal=principal))).status_code == 201
    assert (await post(issuer, token, wish(principal=principal))).status_code == 409


async def test_without_the_scope_the_tenant_or_a_token_nothing_is_made(issuer: Issuer, tenant: UUID):
    assert (await post(issuer, "rubbish", wish())).status_code == 401
    assert (await post(issuer, await issuer.token("seeder", "identity"), wish())).status_code == 403
    assert (await post(issuer, await issuer.token("public", "identity"), wish())).status_code == 403
    assert (await post(issuer, await issuer.token("rights", "anonymizer", tenant), wish())).status_code == 401


async def test_the_table_shows_neither_name_nor_password(issuer: Issuer, tenant: UUID, superuser: asyncpg.Connection):
    username, _ = await issuer.account(tenant)
    (row,) = await superuser.fetch("SELECT password, a::text AS told FROM identity.account a WHERE tenant = $1", tenant)
    assert row["password"].startswith("$argon2id$") and username not in row["told"] and PASSWORD not in row["told"]


async def test_the_serving_role_sees_its_tenants_accounts_only(
    issuer: Issuer, tenant: UUID, serving: asyncpg.Connection
):
    await issuer.account(tenant)
    count = "SELECT count(*) FROM account"
    async with serving.transaction():
        await serving.execute("SELECT set_config('app.tenant', $1, true)", str(uuid4()))
        assert await serving.fetchval(count) == 0
    async with serving.transaction():
        await serving.execute("SELECT set_config('app.tenant', $1, true)", str(tenant))
        assert await serving.fetchval(count) == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await serving.fetchval("SELECT count(*) FROM used_jti")
