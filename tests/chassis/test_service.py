"""What every service gets from the chassis, seen from outside: bodies, callers, tenants, one transaction, idempotency, health."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import APIRouter
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey

import chassis.ledger.schema
from chassis import durable, idempotency, schema
from chassis.app import create_app
from chassis.auth import Anyone, Caller, Requires
from chassis.bodies import Body
from chassis.client import trust
from chassis.contract import Contract
from chassis.db import Database, Transaction, Tx
from chassis.errors import Conflict
from chassis.idempotency import Once
from chassis.settings import Settings
from tests.serving import Issuer, serve

ALPHA, BETA = uuid4(), uuid4()
Writer = Annotated[Caller, Requires("note.write")]


class Note(Contract):
    id: UUID
    words: str
    times: int = 1


class Fought(Conflict):
    code, title = "toy.fought", "Somebody was faster"


async def write(tx: Transaction, note: Note) -> Note:
    await tx.connection.execute(
        "INSERT INTO note (tenant, id, words) VALUES ($1, $2, $3)", tx.tenant, note.id, note.words
    )
    await tx.emit("note.written", {"note": str(note.id)})
    if note.words == "refuse me":
        raise Fought("It was refused after the row was written.")
    if note.words == "break me":
        raise ZeroDivisionError("secret: anna@example.com")
    return note


router = APIRouter()


@router.post("/v1/notes", status_code=201, response_model=Note)
async def post_note(caller: Writer, note: Body[Note], tx: Tx, once: Once):
    return await once(write, tx, note)


@router.get("/v1/notes")
async def list_notes(caller: Writer, tx: Tx) -> list[str]:
    return [row["words"] for row in await tx.connection.fetch("SELECT words FROM note ORDER BY words")]


@router.get("/v1/open")
async def everybody(_: Anyone) -> str:
    return "welcome"


def create_notes(op, _service) -> None:
    op.execute("CREATE TABLE note (tenant uuid NOT NULL, id uuid PRIMARY KEY, words text NOT NULL)")
    schema.tenant_table(op, "note")
    idempotency.create(op)
    durable.create(op)


@dataclass
class Toy:
    http: httpx2.AsyncClient
    issuer: Issuer
    house: object
    service: str
    database: Database

    def headers(self, tenant: UUID = ALPHA, key: str | None = None, **bent) -> dict[str, str]:
        token = self.issuer.token(self.service, bent.pop("scope", "note.write"), tenant, **bent)
        return {"authorization": f"Bearer {token}", "idempotency-key": key or str(uuid4())}

    async def post(
        self, words: str = "hello", headers: dict | None = None, note: UUID | None = None
    ) -> httpx2.Response:
        body = {"id": str(note or uuid4()), "words": words}
        return await self.http.post("/v1/notes", json=body, headers=headers or self.headers())

    async def notes(self, tenant: UUID = ALPHA) -> list[str]:
        return (await self.http.get("/v1/notes", headers=self.headers(tenant))).json()


@pytest_asyncio.fixture(loop_scope="session")
async def toy(cluster, house, tmp_path: Path, monkeypatch) -> AsyncIterator[Toy]:
    made = await asyncio.to_thread(house, chassis.ledger.schema.create, create_notes)
    for name in ("db", "db_system"):
        (tmp_path / f"{name}.password").write_text("trusted here")
    (tmp_path / "index.key").write_bytes(bytes(32))
    ec = ECKey.generate_key("P-256", {"kid": "toy"}, private=True)
    ed = OKPKey.generate_key("Ed25519", {"kid": "toy-ledger"}, private=True)
    (tmp_path / "client.jwk").write_text(json.dumps(ec.as_dict(private=True)))
    (tmp_path / "ledger.jwk").write_text(json.dumps(ed.as_dict(private=True)))
    monkeypatch.setattr("chassis.schema.at_head", _yes)
    issuer = Issuer()
    async with serve(issuer.app) as issuer_url:
        settings = Settings(
            environment="development",
            secrets_dir=tmp_path,
            issuer=issuer.name,
            jwks_url=f"{issuer_url}/jwks",
            database_host=str(cluster.socket),
            database_name="postgres",
            clock_file=tmp_path / "clock",
        )
        app = create_app(
            made.service, settings, package="services.toy", routers=[router], clients={"tester"}, max_body=10_000
        )
        async with serve(app) as url, httpx2.AsyncClient(base_url=url, verify=trust()) as http:
            yield Toy(http, issuer, made, made.service, app.state.database)


async def _yes(*_args) -> bool:
    return True


async def test_a_write_is_committed_before_its_answer_and_stands_in_the_ledger(toy):
    assert (await toy.post("hello")).status_code == 201
    assert await toy.notes() == ["hello"]
    reader = await toy.house.connect("_system")
    for _ in range(50):
        if await reader.fetchval("SELECT count(*) FROM ledger_entry") == 1:
            break
        await asyncio.sleep(0.05)
    assert await reader.fetchval("SELECT max(size) FROM ledger_checkpoint") == 1
    await reader.close()


async def test_no_tenant_sees_anothers_rows_and_no_tenant_at_all_opens_nothing(toy):
    await toy.post("alpha's")
    assert await toy.notes(BETA) == []
    token = toy.issuer.token(toy.service, "note.write")
    answer = await toy.http.get("/v1/notes", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403


async def test_a_refusal_and_a_fault_leave_nothing_behind_and_reveal_nothing(toy):
    refused = await toy.post("refuse me")
    assert (refused.status_code, refused.json()["code"]) == (409, "toy.fought")
    broken = await toy.post("break me")
    assert (broken.status_code, broken.json()["code"]) == (500, "request.broken")
    assert "anna" not in broken.text
    assert await toy.notes() == []


async def test_a_repeated_key_answers_the_same_and_a_changed_body_is_refused(toy):
    headers, note = toy.headers(key="once"), uuid4()
    first, again = await toy.post("a", headers, note), await toy.post("a", headers, note)
    assert (first.status_code, again.status_code) == (201, 201) and first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    changed = await toy.post("b", headers, note)
    assert (changed.status_code, changed.json()["code"]) == (409, "request.key_reused")
    assert await toy.notes() == ["a"]


async def test_fifty_simultaneous_sends_of_one_key_are_done_once(toy):
    headers, note = toy.headers(key="storm"), uuid4()
    answers = await asyncio.gather(*(toy.post("once", headers, note) for _ in range(50)))
    assert {answer.status_code for answer in answers} <= {201, 503}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert await toy.notes() == ["once"]


async def test_a_write_without_a_key_is_refused(toy):
    headers = toy.headers()
    del headers["idempotency-key"]
    assert (await toy.post("x", headers)).json()["code"] == "request.key_missing"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request.malformed"),
        (b"\xff\xfe", 400, "request.malformed"),
        (b"", 400, "request.malformed"),
        (b'{"id": "0192f3a0-0000-7000-8000-000000000001", "words": "a", "words": "b"}', 400, "request.malformed"),
        (b"[" * 9000, 400, "request.malformed"),
        (b'{"words": NaN}', 400, "request.malformed"),
        (b'{"id": "0192f3a0-0000-7000-8000-000000000001", "words": 3}', 422, "request.invalid"),
        (b'{"id": "0192f3a0-0000-7000-8000-000000000001", "words": "a", "times": true}', 422, "request.invalid"),
        (b'{"id": "not-an-id", "words": "a"}', 422, "request.invalid"),
        (b'{"id": "0192f3a0-0000-7000-8000-000000000001", "words": "a", "tenant": "other"}', 422, "request.invalid"),
        (b'"' + b"a" * 20_000 + b'"', 413, "request.too_large"),
    ],
)
async def test_a_bad_body_is_a_clear_problem_and_nothing_is_recorded(toy, body, status, code):
    headers = toy.headers() | {"content-type": "application/json"}
    answer = await toy.http.post("/v1/notes", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert await toy.notes() == []


async def test_a_chunked_body_over_the_limit_is_cut_off(toy):
    async def endless():
        for _ in range(100):
            yield b"a" * 1000

    headers = toy.headers() | {"content-type": "application/json"}
    answer = await toy.http.post("/v1/notes", content=endless(), headers=headers)
    assert answer.status_code == 413


async def test_a_parameter_that_holds_nul_is_a_clear_problem(toy):
    for query in ("types=%00", "types=note.written,%00"):
        answer = await toy.http.get(f"/events?{query}", headers=toy.headers(scope="events.read"))
        assert (answer.status_code, answer.json()["code"]) == (400, "request.malformed")


async def test_faults_are_named_without_repeating_what_was_sent(toy):
    headers = toy.headers() | {"content-type": "application/json"}
    answer = await toy.http.post("/v1/notes", content=b'{"id": "anna@example.com", "words": 7}', headers=headers)
    assert {fault["path"] for fault in answer.json()["errors"]} == {"id", "words"}
    assert "anna" not in answer.text


def _bent_tokens(toy: Toy) -> dict[str, str]:
    issuer, now = toy.issuer, int(time.time())
    good = issuer.claims(toy.service, "note.write", ALPHA)
    stranger = ECKey.generate_key("P-256", {"kid": "test-issuer"}, private=True)
    secret = OctKey.generate_key(256)
    return {
        "garbage": "a.b.c",
        "expired": issuer.sign(good | {"exp": now - 1}),
        "issued in the future": issuer.sign(good | {"iat": now + 60}),
        "not yet valid": issuer.sign(good | {"nbf": now + 60}),
        "another audience": issuer.sign(good | {"aud": "registry"}),
        "several audiences": issuer.sign(good | {"aud": [toy.service, "registry"]}),
        "another issuer": issuer.sign(good | {"iss": "http://evil.test"}),
        "an ID token": issuer.sign(good, typ="JWT"),
        "another key": jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "test-issuer"}, good, stranger),
        "unknown kid": jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "who"}, good, stranger),
        "HS256": jwt.encode({"alg": "HS256", "typ": "at+jwt", "kid": "test-issuer"}, good, secret),
        "none": "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + issuer.sign(good).split(".")[1] + ".",
        "no scope claim types": issuer.sign(good | {"kind": None, "sub": None, "tenant": "not-a-uuid"}),
    }


async def test_no_token_at_all_is_refused(toy):
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": "Basic YTpi"}):
        assert (await toy.http.get("/v1/notes", headers=headers)).status_code == 401


async def test_every_bent_token_is_refused(toy):
    for name, token in _bent_tokens(toy).items():
        answer = await toy.http.get("/v1/notes", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401, name
        assert answer.json()["code"] == "request.unauthenticated", name
        assert answer.headers["www-authenticate"] == "Bearer", name


async def test_a_missing_scope_and_an_unlisted_client_are_forbidden(toy):
    assert (await toy.post("x", toy.headers(scope="note.read"))).status_code == 403
    assert (await toy.post("x", toy.headers(client_id="stranger"))).status_code == 403
    assert (await toy.post("x", toy.headers(act={"sub": "stranger"}))).status_code == 403


async def test_routes_for_everybody_need_no_token_and_unknown_ones_are_problems(toy):
    assert (await toy.http.get("/v1/open")).status_code == 200
    assert (await toy.http.get("/nowhere")).json()["code"] == "request.not_found"
    assert (await toy.http.delete("/v1/notes")).json()["code"] == "request.method_not_allowed"


@pytest.mark.parametrize(
    "language, words", [("en", "such page"), ("sv-SE", "Sidan finns inte"), ("fr", "Sidan finns inte")]
)
async def test_a_person_with_a_browser_reads_a_page_where_a_program_is_told_a_problem(toy, language, words):
    browser = {"accept": "text/html,*/*;q=0.8", "accept-language": language}
    missing = await toy.http.get("/nowhere", headers=browser)
    assert missing.status_code == 404 and words in missing.text and "<script" not in missing.text
    assert missing.headers["content-security-policy"].startswith("default-src 'none'")
    unknown = await toy.http.get("/v1/notes", headers=browser)
    assert unknown.status_code == 401 and unknown.headers["www-authenticate"] == "Bearer"
    large = await toy.http.post("/v1/notes", content=b"x" * 20_000, headers=browser)
    assert large.status_code == 413
    for page in (missing, unknown, large):
        assert f'lang="{"en" if language == "en" else "sv"}"' in page.text
        assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert (await toy.http.get("/nowhere", headers={"accept": "*/*"})).json()["code"] == "request.not_found"


async def test_health_metrics_and_request_ids(toy):
    assert (await toy.http.get("/health/live")).json() == {"live": True, "dead": []}
    assert (await toy.http.get("/health/ready")).json() == {"ready": True, "waiting_for": []}
    answer = await toy.http.get("/v1/open", headers={"x-request-id": "ticket-7"})
    assert answer.headers["x-request-id"] == "ticket-7"
    for name in ("urn:uuid:6f1c/2", "q83vEjRWeJA+/w==", "a@b,c;d~e"):
        assert (await toy.http.get("/v1/open", headers={"x-request-id": name})).headers["x-request-id"] == name
    forged = await toy.http.get("/v1/open", headers={"x-request-id": "a b<script>"})
    assert UUID(forged.headers["x-request-id"])
    assert "wardline_requests_total" in (await toy.http.get("/metrics")).text


async def test_the_document_declares_bodies_and_refusals(toy):
    document = (await toy.http.get("/openapi.json")).json()
    post = document["paths"]["/v1/notes"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Note"}
    assert "application/problem+json" in post["responses"]["default"]["content"]


async def test_old_replies_are_forgotten_and_fresh_ones_kept(toy: Toy):
    old, fresh = toy.headers(key="of last week"), toy.headers(key="of today")
    for headers in (old, fresh):
        assert (await toy.post(headers=headers)).status_code == 201
    connection = await toy.house.cluster.connect("postgres", toy.service)
    await connection.execute("UPDATE idempotency SET made_at = made_at - interval '3 days' WHERE key = 'of last week'")
    await idempotency.sweep(toy.database)
    left = [row["key"] for row in await connection.fetch("SELECT key FROM idempotency")]
    await connection.close()
    assert left == ["of today"]
