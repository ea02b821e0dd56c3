"""Disclosure alone in a house of its own: real PostgreSQL, its own HTTP, an issuer whose tokens a test may bend, and in
place of the
anonymizer a small server whose streams a test may cut."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
from fastapi import FastAPI, Request
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey
from starlette.responses import JSONResponse, StreamingResponse

from chassis.settings import Settings
from ops import migrate
from ops.catalogue import BY_NAME
from ops.home import ROOT
from ops.postgres import Postgres
from services.registry.books import read_book
from services.registry.contract import PolicyBook
from services.registry.contract.signed import ALGORITHM, POLICY, canonical_book
from tests.patience import PATIENCE
from tests.serving import Issuer

DATABASE = "disclosure_tests"
SCOPES = "order.intake order.approve order.collect order.release order.read ledger.read events.read"
NUMBER = "46701740611"
FROM, TO = "2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z"


def first_book() -> PolicyBook:
    return read_book(ROOT / "policy" / "book.yaml")


@dataclass
class House:
    postgres: Postgres

    @classmethod
    async def made(cls, server: Postgres) -> "House":
        from dataclasses import replace

        process = replace(BY_NAME["disclosure"], database=DATABASE)
        cluster = migrate.Cluster(str(server.socket_dir), server.home.path / "secrets")
        await migrate.migrate(cluster, [process], lambda _: None)
        house = cls(server)
        await house.hold_book()
        return house

    def settings(self, issuer: Issuer, issuer_url: str, peer: str, clock: Path) -> Settings:
        return Settings(
            environment="development",
            home=self.postgres.home.path,
            secrets_dir=self.postgres.home.secrets("disclosure"),
            issuer=issuer.name,
            jwks_url=f"{issuer_url}/jwks",
            peers={"registry": "http://127.0.0.1:9", "identity": peer, "anonymizer": peer},
            database_host=str(self.postgres.socket_dir),
            database_name=DATABASE,
            clock_file=clock,
        )

    async def recorded(self, tenant: UUID) -> int:
        """How many events of a tenant there are, whether or not they have their places yet."""
        admin = await self.postgres.connect(DATABASE)
        found = await admin.fetchval("SELECT count(*) FROM disclosure.event WHERE tenant = $1", tenant)
        await admin.close()
        return found

    async def hold_book(self) -> None:
        """The operator's first book, as if the registry had sent it."""
        book, key = first_book(), OKPKey.generate_key("Ed25519", private=True)
        signed = jws.serialize_compact(
            {"alg": ALGORITHM, "typ": POLICY}, canonical_book(book), key, algorithms=[ALGORITHM]
        )
        admin = await self.postgres.connect(DATABASE)
        await admin.execute(
            "INSERT INTO disclosure.policy_version (version, valid_from, known_from, jws) VALUES ($1, $2, $2, $3) "
            "ON CONFLICT DO NOTHING",
            book.version, datetime(2020, 1, 1, tzinfo=UTC), signed,
        )  # fmt: skip
        await admin.close()


class Anonymizer:
    """Answers as the anonymizer does for one store of calls. `rows`: what it holds; `cut`: its streams end before their
    last line.
    """

    def __init__(self, issuer: Issuer) -> None:
        self.issuer, self.rows, self.cut = issuer, [], False
        self.asked: list[dict[str, Any]] = []
        self.released: list[str] = []
        self.app = FastAPI()
        self.app.add_api_route("/token", self.token, methods=["POST"])
        self.app.add_api_route("/v1/stores", self.stores)
        self.app.add_api_route("/v1/disclosures/collections", self.disclose, methods=["POST"])
        self.app.add_api_route("/v1/holds/{hold}/release", self.release, methods=["PUT"])

    async def token(self, request: Request) -> JSONResponse:
        async with request.form() as form:
            token = self.issuer.token(form["resource"], "data.disclose", None)
        return JSONResponse({"access_token": token, "expires_in": 300})

    async def stores(self) -> JSONResponse:
        store = {
            "store": "calls",
            "label": {"sv": "Samtal", "en": "Calls"},
            "kind": "postgresql",
            "controller": "operator",
        }
        return JSONResponse({"items": [store | {"categories": ["traffic"], "verbs": ["collect"]}]})

    async def disclose(self, request: Request) -> StreamingResponse:
        self.asked.append(json.loads(await request.body()))
        return StreamingResponse(self.stream(), media_type="application/x-ndjson")

    async def stream(self) -> AsyncIterator[bytes]:
        elements = {"id": "technical", "started_at": "time_and_length", "caller": "participants", "callee": "participants",
                    "note": "helpdesk_chat"}  # fmt: skip
        said = {"sv": "x", "en": "x"}
        columns = [{"name": name, "element": of, "category": "traffic", "label": said} for name, of in elements.items()]
        yield orjson.dumps({"table": "call_record", "columns": columns}) + b"\n"
        for row in self.rows:
            yield orjson.dumps(row)[:7]
            yield orjson.dumps(row)[7:] + b"\n"
        if not self.cut:
            yield orjson.dumps({"end": True, "counts": {"call_record": len(self.rows)}}) + b"\n"

    async def release(self, hold: str) -> JSONResponse:
        self.released.append(hold)
        return JSONResponse({"hold": hold, "erased": {"calls": len(self.rows)}})


@dataclass
class Desk:
    """A tenant of its own with its staff and one registered authority; each person calls by her own token."""

    house: House
    http: httpx2.AsyncClient
    url: str
    issuer: Issuer
    anonymizer: Anonymizer
    clock: Path
    tenant: UUID = field(default_factory=uuid4)
    authority: str = "SE-aklagarmyndigheten"
    recipient: ECKey = field(
        default_factory=lambda: ECKey.generate_key("P-256", {"kid": "authority-enc"}, private=True)
    )

    def beside(self, authority: str) -> "Desk":
        """Another authority at the same tenant's."""
        own = self.house, self.http, self.url, self.issuer, self.anonymizer, self.clock
        return Desk(*own, tenant=self.tenant, authority=authority)

    @property
    def client(self) -> str:
        return f"authority-{self.authority}"

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **claims: Any
    ) -> httpx2.Response:
        """As the internal edge forwards it: its token for a person (`sub`) or an authority's client."""
        usual = {"client_id": "staff", "kind": "staff", "act": {"sub": "internal"}, "scope": SCOPES} | claims
        token = self.issuer.token("disclosure", usual.pop("scope"), usual.pop("tenant", self.tenant), **usual)
        headers = {"authorization": f"Bearer {token}"}
        if method != "GET":
            headers |= {"idempotency-key": key or str(uuid4()), "content-type": "application/json"}
        content = None if body is None else orjson.dumps(body)
        return await self.http.request(method, self.url + path, content=content, headers=headers)

    async def person(self, name: str, method: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        return await self.call(method, path, body, sub=name, **more)

    async def own(self, method: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        """The authority's own client."""
        claims = {"sub": self.client, "client_id": self.client, "kind": "client", "scope": "order.submit order.read"}
        return await self.call(method, path, body, **(claims | more))

    async def asks(
        self, identifiers: list[dict[str, str]] | None, *, step: UUID | None = None, **claims: Any
    ) -> httpx2.Response:
        """The anonymizer's question, in no tenant's name; with `step`, for a lease."""
        usual = {"sub": "anonymizer", "client_id": "anonymizer", "kind": "client", "act": None, "scope": "holds.ask"}
        told = {name: value for name, value in (usual | {"tenant": None} | claims).items()}
        if told["act"] is None:
            told["act"] = {"sub": told["client_id"]}
        return await self.call(
            "POST", "/v1/holds/query", {"identifiers": identifiers, "step": str(step) if step else None}, **told
        )

    async def settles(self, step: UUID, store: str, preserved: list[dict[str, Any]]) -> httpx2.Response:
        body = {"step": str(step), "store": store, "preserved": preserved}
        who = {"sub": "anonymizer", "client_id": "anonymizer", "kind": "client", "act": {"sub": "anonymizer"}}
        return await self.call("POST", "/v1/holds/settlements", body, scope="holds.ask", tenant=None, **who)

    async def register(self, **changed: Any) -> None:
        wish = self.registration(**changed)
        made = await self.person("ingrid", "POST", "/v1/authorities", wish)
        assert made.status_code == 201, made.text
        confirmed = await self.person("konrad", "POST", f"/v1/authorities/{wish['id']}/confirmation", {})
        assert confirmed.status_code == 200, confirmed.text

    def registration(self, **changed: Any) -> dict[str, Any]:
        usual = {
            "id": self.authority,
            "name": "Åklagarmyndigheten",
            "country": "SE",
            "kind": "prosecutor",
            "clients": [self.client],
            "instruments": [row.key for row in first_book().instruments if row.country == "SE"],
            "jwks": {"keys": [ECKey.generate_key("P-256", {"kid": "authority-sig"}).as_dict(private=False)]},
            "encryption_key": self.recipient.as_dict(private=False),
            "callback_number": "010-562 50 00",
            "expires_at": "2040-01-01T00:00:00Z",
        }
        return usual | changed

    async def placed(self, **changed: Any) -> dict[str, Any]:
        answer = await self.own("POST", "/v1/orders", an_order(**changed))
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def review(self, name: str, order: dict[str, Any], **changed: Any) -> httpx2.Response:
        said = {"order_hash": order["order_hash"], "verdict": "approve"} | changed
        return await self.person(name, "POST", f"/v1/orders/{order['order']}/reviews", said)

    async def approved(self, **changed: Any) -> dict[str, Any]:
        order = await self.placed(**changed)
        for name in ("gunilla", "gosta"):
            answer = await self.review(name, order)
            assert answer.status_code == 201, answer.text
        return answer.json()

    async def collected(self, order: dict[str, Any], stage: str | None = "sealed", **wish: Any) -> dict[str, Any]:
        answer = await self.person("ingvar", "POST", f"/v1/orders/{order['order']}/collection", wish)
        assert answer.status_code == 202, answer.text
        return await self.until(order, lambda now: now["stage"] == stage)

    async def until(self, order: dict[str, Any], reached: Any) -> dict[str, Any]:
        ended = time.monotonic() + PATIENCE
        while not reached(now := (await self.person("rut", "GET", f"/v1/orders/{order['order']}")).json()):
            assert time.monotonic() < ended, f"it never came so far: {now['stage']} {now['tasks']}"
            await asyncio.sleep(0.05)
        return now

    async def events(self) -> list[dict[str, Any]]:
        """This tenant's custody events, as an auditor reads them once all have their places in the ledger."""
        recorded = await self.house.recorded(self.tenant)
        async with asyncio.timeout(PATIENCE):
            while len(items := (await self.person("rut", "GET", "/events?limit=500")).json()["items"]) < recorded:
                await asyncio.sleep(0.05)
        return items


def an_order(**changed: Any) -> dict[str, Any]:
    usual = {
        "instrument": "se_secret_surveillance",
        "reference": f"K {uuid4().hex[:8]}",
        "issuer": {"kind": "court", "name": "Uppsala tingsrätt"},
        "legal_provision": "RB 27 kap. 19 §",
        "served_at": _ago(hours=2),
        "period": {"from": FROM, "to": TO},
        "identifiers": [{"type": "InternationalE164", "value": NUMBER}],
        "tasks": [{"kind": "LD", "category": "traffic"}],
    }
    return usual | changed


def a_preservation(**changed: Any) -> dict[str, Any]:
    usual = {
        "instrument": "se_preservation",
        "issuer": {"kind": "investigation_leader", "name": "Polisen"},
        "legal_provision": "RB 27 kap. 16 §",
        "tasks": [{"kind": "LP", "category": "traffic"}],
    }
    return usual | changed


def _ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()
