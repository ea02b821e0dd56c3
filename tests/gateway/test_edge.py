"""What passes an edge, and how it arrives."""

import asyncio
import time
from dataclasses import replace
from uuid import UUID, uuid4

import httpx2
import pytest

import gateway.edge
from gateway import limits
from gateway.limits import Rate
from ops.stack import Stack
from tests.gateway.behind import Behind
from tests.identity.parties import Issuer, claims
from tests.patience import PATIENCE, busy


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} | {name.replace("_", "-"): value for name, value in more.items()}


@pytest.fixture
async def anna(issuer: Issuer, tenant: UUID) -> str:
    """A customer's access token for the public edge."""
    username, _ = await issuer.account(tenant)
    return (await issuer.log_in(username))["access_token"]


async def test_the_service_gets_a_token_of_its_own_that_names_person_and_edge(
    edge: httpx2.AsyncClient, behind: Behind, anna: str
):
    answer = await edge.get("/v1/consents?after=x&limit=3", headers=bearer(anna))
    assert answer.status_code == 200
    (seen,) = behind.seen
    said = claims(seen["headers"]["authorization"].removeprefix("Bearer "))
    assert (said["aud"], said["sub"], said["act"]) == ("consent", claims(anna)["sub"], {"sub": "public"})
    assert (seen["path"], seen["query"]) == ("/v1/consents", "after=x&limit=3")


async def test_identity_is_asked_once_for_many_requests_at_once(edge: httpx2.AsyncClient, behind: Behind, anna: str):
    answers = await asyncio.gather(*(edge.get("/v1/consents", headers=bearer(anna)) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({seen["headers"]["authorization"] for seen in behind.seen}) == 1


async def test_what_a_caller_says_of_itself_in_headers_does_not_arrive(
    edge: httpx2.AsyncClient, behind: Behind, anna: str
):
    spoofed = {
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-host": "evil.example",
        "forwarded": "for=10.0.0.1",
        "x-user": "operations",
        "x-wardline-tenant": str(uuid4()),
        "cookie": "session=1",
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "connection": "x-user",
        "te": "trailers",
        "range": "bytes=0-1",
    }
    assert (await edge.get("/v1/consents", headers=bearer(anna) | spoofed)).status_code == 200
    arrived = behind.seen[0]["headers"]
    assert set(arrived) <= {"host", "accept", "authorization", "x-request-id", "traceparent"}
    assert arrived["traceparent"].split("-")[1] == "a" * 32, "the trace goes on"


async def test_the_request_id_is_one_through_edge_and_service(edge: httpx2.AsyncClient, behind: Behind, anna: str):
    answer = await edge.get("/v1/consents", headers=bearer(anna, x_request_id="my-own-id"))
    assert answer.headers.get_list("x-request-id") == ["my-own-id"] == [behind.seen[0]["headers"]["x-request-id"]]


async def test_a_write_arrives_whole_with_its_key_however_it_is_sent(
    edge: httpx2.AsyncClient, behind: Behind, anna: str
):
    async def parts():
        for _ in range(40):
            yield b"x" * 10_000

    headers = bearer(anna, idempotency_key="k-1", content_type="application/json")
    assert (await edge.post("/v1/consents", content=b"y" * 500_000, headers=headers)).status_code == 200
    assert (await edge.post("/v1/consents", content=parts(), headers=headers)).status_code == 200
    assert [seen["body"] for seen in behind.seen] == [500_000, 400_000]
    assert all(seen["headers"]["idempotency-key"] == "k-1" for seen in behind.seen)


async def test_a_write_without_a_key_is_refused_at_the_edge(edge: httpx2.AsyncClient, behind: Behind, anna: str):
    answer = await edge.post("/v1/consents", json={}, headers=bearer(anna))
    assert answer.status_code == 400 and answer.json()["code"] == "request.key_missing" and not behind.seen


async def test_a_body_too_large_is_refused_also_when_its_size_is_not_declared(
    edge: httpx2.AsyncClient, behind: Behind, anna: str
):
    async def endless():
        for _ in range(300):
            yield b"x" * 10_000

    headers = bearer(anna, idempotency_key="k-2", content_type="application/json")
    for content in (b"x" * 2_000_000, endless()):
        answer = await edge.post("/v1/consents", content=content, headers=headers)
        assert answer.status_code == 413 and answer.json()["code"] == "request.too_large"
    assert not behind.seen


async def test_an_answer_is_passed_on_while_it_is_still_being_made(edge: httpx2.AsyncClient, behind: Behind, anna: str):
    behind.slow_parts = 1
    async with edge.stream("GET", "/v1/consents", headers=bearer(anna)) as answer:
        parts = answer.aiter_raw()
        assert await asyncio.wait_for(anext(parts), PATIENCE) == b"first\n"
        behind.released.set()
        assert b"".join([part async for part in parts])


async def test_a_service_that_breaks_off_is_not_taken_for_one_that_has_finished(
    edge: httpx2.AsyncClient, behind: Behind, anna: str
):
    behind.cut = True
    with pytest.raises(httpx2.RemoteProtocolError):
        await edge.get("/v1/consents", headers=bearer(anna))


async def test_a_service_that_is_down_is_a_problem_and_nothing_of_it_is_told(edge: httpx2.AsyncClient, anna: str):
    answer = await edge.get("/v1/requests", headers=bearer(anna))
    assert answer.status_code == 503 and answer.json()["code"] == "request.unavailable"
    assert "127.0.0.1" not in answer.text and answer.headers["retry-after"]


async def test_what_the_edge_refuses_at_another_standards_address_is_said_as_that_has_it(
    edge: httpx2.AsyncClient, anna: str
):
    for headers, status, code in ({}, 401, "UNAUTHENTICATED"), (bearer(anna), 403, "PERMISSION_DENIED"):
        answer = await edge.post("/consent-info/v0.2/retrieve", json={}, headers=headers | {"x-correlator": "c-1"})
        assert (answer.status_code, answer.json()["code"], answer.headers["x-correlator"]) == (status, code, "c-1")


@pytest.mark.parametrize("status", [201, 204, 304, 404, 409, 500])
async def test_the_services_answer_is_the_callers(edge: httpx2.AsyncClient, behind: Behind, anna: str, status: int):
    behind.status = status
    if status in (204, 304):
        behind.headers = []
    answer = await edge.get("/v1/consents", headers=bearer(anna))
    assert answer.status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "/v1/receipts/..",
        "/v1/receipts/%2e%2e",
        "/v1/receipts/a%2Fb",
        "/v1/receipts/a/../../consents",
        "//v1/consents",
        "/v1/consents/",
        "/V1/consents",
        "/v1/receipts/",
        "/v1/receipts/é",
        "/v1/accounts",
        "/v1/clock",
        "/ledger/disclosure/checkpoint",
        "/staff/v1/consents",
        "/events",
        "//",
    ],
)
async def test_what_is_in_no_row_is_not_there(edge: httpx2.AsyncClient, behind: Behind, anna: str, path: str):
    # Written to the wire by hand: a client would tidy the path up first.
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.base_url.port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nAuthorization: Bearer {anna}\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")) and not behind.seen


async def test_another_method_is_not_served(edge: httpx2.AsyncClient, anna: str):
    assert (await edge.delete("/v1/consents", headers=bearer(anna))).status_code == 405


async def test_one_callers_cookies_never_reach_another(edge: httpx2.AsyncClient, behind: Behind, anna: str):
    behind.headers = [*behind.headers, (b"set-cookie", b"session=anna; Path=/")]
    await edge.get("/v1/consents", headers=bearer(anna))
    async with httpx2.AsyncClient(base_url=edge.base_url, trust_env=False) as other:
        await other.get("/v1/consents", headers=bearer(anna))
    assert "cookie" not in behind.seen[-1]["headers"]


async def test_too_many_calls_of_one_person_are_told_to_wait_and_others_are_not(
    edge: httpx2.AsyncClient, behind: Behind, issuer: Issuer, tenant: UUID, anna: str
):
    answers = await asyncio.gather(*(edge.get("/v1/consents", headers=bearer(anna)) for _ in range(250)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and refused[0].json()["code"] == "request.too_many" and int(refused[0].headers["retry-after"]) >= 1
    username, _ = await issuer.account(tenant)
    other = (await issuer.log_in(username))["access_token"]
    assert (await edge.get("/v1/consents", headers=bearer(other))).status_code == 200


async def test_one_person_s_flood_does_not_use_up_what_all_people_of_a_client_share(
    edge: httpx2.AsyncClient, issuer: Issuer, tenant: UUID, anna: str
):
    """Packages: few at once for all who use the portal. `rights` is away here, so 503 is a call that was let through."""
    username, _ = await issuer.account(tenant)
    other = (await issuer.log_in(username))["access_token"]
    path, flooding = f"/v1/requests/{uuid4()}/package", True

    async def flood() -> list[int]:
        said = []
        while flooding:
            said.append((await edge.get(path, headers=bearer(anna))).status_code)
        return said

    floods = [asyncio.create_task(flood()) for _ in range(8)]
    await asyncio.sleep(1)
    heard = [(await edge.get(path, headers=bearer(other))).status_code for _ in range(4)]
    flooding = False
    refused = sum(await asyncio.gather(*floods), [])
    assert heard == [503] * 4 and refused.count(429) > len(refused) / 2


async def test_who_sends_half_of_many_bodies_holds_no_more_than_a_share_of_the_way_in(
    edge: httpx2.AsyncClient, behind: Behind, anna: str, monkeypatch: pytest.MonkeyPatch
):
    """Nobody's: no token is needed to begin. What does not come in time is let go, and the same caller is heard again."""
    monkeypatch.setattr(gateway.edge, "LONGEST_BODY", 2.0)
    most = limits.UNDER_WAY["address"]
    half = b"POST /v1/captures/x/answer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nansw"
    monkeypatch.setitem(limits.RATES, "login", replace(limits.RATES["login"], address=Rate(1000, 1000)))
    opened = [await asyncio.open_connection(edge.base_url.host, edge.base_url.port) for _ in range(most + 20)]
    for _, writer in opened:
        writer.write(half)
    await asyncio.sleep(0.5)
    assert (await edge.get("/v1/consents", headers=bearer(anna))).status_code == 200
    assert behind.begun == 1, "of what is behind nothing is held for it"
    said = [await asyncio.wait_for(reader.readline(), PATIENCE) for reader, _ in opened]
    assert sorted(line.split()[1] for line in said) == [b"400"] * most + [b"429"] * 20
    assert (await edge.post("/v1/captures/x/answer", content=b"answer=no")).status_code == 200
    for _, writer in opened:
        writer.close()


@pytest.mark.parametrize(
    ("pause", "piece", "status"), [(0.1, 15_000, b"200"), (2.0, 3_000, b"400"), (0.1, 100, b"400")]
)
async def test_a_large_body_may_come_slowly_and_not_as_slowly_as_it_likes(
    edge: httpx2.AsyncClient, behind: Behind, monkeypatch: pytest.MonkeyPatch, pause: float, piece: int, status: bytes
):
    monkeypatch.setattr(gateway.edge, "_GRACE", 0.5)
    reader, writer = await asyncio.open_connection(edge.base_url.host, edge.base_url.port)
    writer.write(b"POST /v1/captures/x/answer HTTP/1.1\r\nhost: x\r\ncontent-length: 220000\r\n\r\n" + b"a" * 70_000)
    said = asyncio.create_task(reader.readline())
    for _ in range(10):
        await asyncio.sleep(pause)
        if said.done():
            break
        writer.write(b"a" * piece)
    assert (await asyncio.wait_for(said, PATIENCE)).split()[1] == status
    writer.close()


@pytest.mark.parametrize("path", ["/privacy", "/privacy/history", "/v1/captures/x"])
async def test_one_who_reads_in_a_loop_what_is_made_for_each_reader_leaves_the_house_to_others(
    edge: httpx2.AsyncClient, behind: Behind, monkeypatch: pytest.MonkeyPatch, path: str
):
    monkeypatch.setitem(limits.RATES, "made", replace(limits.RATES["made"], address=Rate(0.01, 2)))
    assert [(await edge.get(path)).status_code for _ in range(4)][-1] == 429


async def test_who_waits_for_many_answers_at_once_is_told_to_wait_with_the_rest(
    edge: httpx2.AsyncClient, behind: Behind, anna: str
):
    behind.slow_parts = 1
    most = limits.UNDER_WAY["subject"]
    asked = [asyncio.create_task(edge.get("/v1/consents", headers=bearer(anna))) for _ in range(most + 5)]
    async with asyncio.timeout(PATIENCE):
        while len(waiting := [each for each in asked if not each.done()]) > most:
            await asyncio.sleep(0.05)
    told = [each.result().status_code for each in asked if each not in waiting]
    assert told == [429] * 5 and len(waiting) == most
    behind.released.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    assert (await edge.get("/v1/consents", headers=bearer(anna))).status_code == 200, "and then she is heard again"


async def test_the_edge_adds_little(edge: httpx2.AsyncClient, behind: Behind, anna: str, house: Stack):
    """A bound against accidents, not a benchmark."""
    async with httpx2.AsyncClient(trust_env=False) as direct:
        began = time.perf_counter()
        for _ in range(50):
            await direct.get(f"{behind.url}/v1/consents")
        alone = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(50):
        await edge.get("/v1/consents", headers=bearer(anna))
    assert (time.perf_counter() - began - alone) / 50 < 0.05 * busy()
