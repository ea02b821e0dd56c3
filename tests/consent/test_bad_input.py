"""Whatever is sent: a clear Problem, nothing recorded, never a 500."""

import json

import pytest

from tests.consent.conftest import Company, key, notice

GIVE, WITHDRAW = "/v1/consents", "/v1/withdrawals"
ANNA = "01890a5d-ac96-774b-bcce-b302099a8057"


GUARDIAN = {"guardian": "01890a5d-ac96-774b-bcce-b302099a8058", "born": "2020-01-01", "evidence_ref": "crm/1"}


def wish(**other) -> dict:
    return {"purpose": "communication", "notice": "recordings", "notice_version": 1, "principal": ANNA} | other


@pytest.mark.parametrize(
    "body, status, code",
    [
        (b"", 400, "request.malformed"),
        (b"{", 400, "request.malformed"),
        (b"\xff", 400, "request.malformed"),
        (b"[" * 5000, 400, "request.malformed"),
        (json.dumps(wish()).replace("}", ', "purpose": "development"}'), 400, "request.malformed"),
        (b"[]", 422, "request.invalid"),
        (b"null", 422, "request.invalid"),
        (b"{}", 422, "request.invalid"),
        (json.dumps(wish(notice_version="1")), 422, "request.invalid"),
        (json.dumps(wish(notice_version=True)), 422, "request.invalid"),
        (json.dumps(wish(notice_version=2**40)), 422, "request.invalid"),
        (json.dumps(wish(purpose="x'; DROP TABLE statement")), 422, "request.invalid"),
        (json.dumps(wish(purpose="a\u0000")), 400, "request.malformed"),
        (json.dumps(wish(principal="anna")), 422, "request.invalid"),
        (json.dumps(wish(tenant=ANNA)), 422, "request.invalid"),
        (json.dumps(wish(state="given")), 422, "request.invalid"),
        (json.dumps(wish(occurred_at="yesterday")), 422, "request.invalid"),
        (json.dumps(wish(occurred_at="2026-01-01T00:00:00")), 422, "request.invalid"),
        (json.dumps(wish(occurred_at="20260101")), 422, "request.invalid"),
        (json.dumps(wish(occurred_at="1969-12-31T23:59:59Z")), 422, "request.invalid"),
        (json.dumps(wish(regulation="ccpa")), 422, "request.invalid"),
        (json.dumps(wish(method="telepathy")), 422, "request.invalid"),
        (json.dumps(wish()) + " " * 2_000_000, 413, "request.too_large"),
    ],
)
async def test_a_body_with_a_fault_is_told_and_nothing_is_recorded(company: Company, body, status, code):
    await company.notice()
    answer = await company.post(GIVE, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await company.service.records(company.tenant, ANNA)).items == []


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "data:text/html,hej", "operator.example", "https:// operator", " https://operator.example"],
)
async def test_where_to_withdraw_is_an_address_that_may_become_a_link(company, address):
    told = notice().model_dump(mode="json", exclude_none=True) | {"withdrawal_url": address}
    answer = await company.post("/v1/notices", json.dumps(told))
    assert (answer.status_code, [each["path"] for each in answer.json()["errors"]]) == (422, ["withdrawal_url"])


async def test_a_fault_never_repeats_what_was_sent(company):
    answer = await company.post(GIVE, json.dumps(wish(principal="anna@example.com", purpose="+46701234567")))
    assert "anna" not in answer.text and "4670" not in answer.text


async def test_a_write_needs_its_key_its_type_and_a_token_for_this_place(company):
    async def refused(**headers):
        answer = await company.post(WITHDRAW, json.dumps({"purpose": "communication", "principal": ANNA}), **headers)
        return answer.status_code, answer.json()["code"]

    assert await refused(**{"idempotency-key": ""}) == (400, "request.key_missing")
    assert await refused(**{"idempotency-key": "x" * 201}) == (400, "request.malformed")
    assert await refused(**{"content-type": "text/plain"}) == (415, "request.media_type")
    assert await refused(authorization="") == (401, "request.unauthenticated")
    assert await refused(**await company.headers(aud="rights")) == (401, "request.unauthenticated")
    assert await refused(**await company.headers(exp=1)) == (401, "request.unauthenticated")
    assert await refused(**await company.headers(client_id="anonymizer")) == (403, "request.forbidden")
    assert await refused(**await company.headers(tenant=None)) == (403, "request.forbidden")
    assert (await company.service.records(company.tenant, ANNA)).items == []


@pytest.mark.parametrize(
    "path, status",
    [
        ("/v1/consents", 403),
        ("/v1/consents?principal=anna", 422),
        (f"/v1/consents?principal={ANNA}&after=x", 400),
        (f"/v1/consents?principal={ANNA}&limit=0", 422),
        (f"/v1/consents?principal={ANNA}&limit=501", 422),
        ("/v1/receipts/anna", 422),
        (f"/v1/receipts/{ANNA}", 404),
        ("/v1/standing/anna", 422),
        ("/v1/notices/recordings/versions/0", 422),
        ("/v1/notices/recordings/versions/99", 404),
        ("/v1/notices/Recordings/versions/1", 422),
        ("/v1/nothing", 404),
        ("/access/v1/evaluation", 405),
    ],
)
async def test_a_path_or_parameter_with_a_fault_is_told(company, path, status):
    answer = await company.served.http.get(company.served.url + path, headers=await company.headers())
    assert answer.status_code == status and answer.json()["code"]


async def test_a_put_with_a_fault_is_told(company):
    for path, body, status in [
        (f"/v1/standing/{ANNA}/objections/development", {"state": "perhaps"}, 422),
        (f"/v1/standing/{ANNA}/objections/Development", {"state": "raised"}, 422),
        (f"/v1/standing/{ANNA}/restriction", {"state": "set"}, 422),
        (f"/v1/standing/{ANNA}/restriction", {"state": "set", "ground": "whim"}, 422),
        ("/v1/duties/communication", {"state": "recorded", "legal_ref": ""}, 422),
        (f"/v1/guardians/{ANNA}", GUARDIAN | {"born": "9999-12-31"}, 422),
        (f"/v1/guardians/{ANNA}", GUARDIAN | {"born": "2899-01-01"}, 422),
        (f"/v1/guardians/{ANNA}", GUARDIAN | {"until": "9999-12-31"}, 422),
        (f"/v1/guardians/{ANNA}", {"guardian": ANNA, "evidence_ref": "crm/1"}, 422),
        ("/v1/duties/astrology", {"state": "recorded", "legal_ref": "x"}, 422),
    ]:
        headers = await company.headers() | {"idempotency-key": key()}
        answer = await company.served.http.put(company.served.url + path, json=body, headers=headers)
        assert answer.status_code == status and answer.json()["code"]
