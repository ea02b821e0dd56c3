"""A small operator behind the anonymizer's contract, over HTTP: its stores are lists, and it writes down what was done
to them."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from chassis.errors import Unavailable
from chassis.streams import joined
from services.anonymizer.contract import (
    Action,
    CollectionsRequest,
    FindPrincipal,
    IdentifiersConflict,
    OfStore,
    Outcome,
    StepRequest,
    StepResult,
    StoreUnavailable,
    VerbUnsupported,
    Waiting,
)
from services.registry.contract import Text

KINDS = {"billing": "postgresql", "helpdesk": "postgresql", "recordings": "folder"}
ELEMENTS = {"billing": ["name", "usage_statistics"], "helpdesk": ["helpdesk_ticket"], "recordings": ["recorded_call"]}
REASON = Text(sv="Skälet i reglerna", en="The reason in the rules")


@dataclass
class Row:
    """One record. `keep`: the rule that keeps it, if one does, and until when."""

    table: str
    id: str
    text: str = ""
    keep: str | None = None
    until: date | None = None


@dataclass
class Operator:
    """`together`: how many people were collected by each scan · `down`: stores that do not answer · `stubborn`: stores whose erasure says done and leaves everything · `slow`:
    seconds a step takes · `cut`: stores whose stream ends without its last line."""

    rows: dict[tuple[UUID, str], list[Row]] = field(default_factory=dict)
    people: dict[tuple[str, str], UUID] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    stubborn: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    journal: list[tuple[UUID, str, str]] = field(default_factory=list)
    results: dict[UUID, StepResult] = field(default_factory=dict)
    asked: list[UUID] = field(default_factory=list)
    running_first: int = 0
    frozen: set[tuple[UUID, str]] = field(default_factory=set)
    portable: set[UUID] = field(default_factory=set)
    together: list[int] = field(default_factory=list)
    stood: list[tuple[str, UUID, dict[str, Any]]] = field(default_factory=list)
    consent_down: bool = False
    texts: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    has_mailbox: bool = False
    zendesk_down: bool = False
    slow_ticket: str | None = None
    tickets: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    forgotten: list[UUID] = field(default_factory=list)
    by_hand: set[tuple[UUID, str]] = field(default_factory=set)
    promised: dict[tuple[UUID, str], date] = field(default_factory=dict)

    def person(self, *rows: tuple[str, Row], **identifiers: str) -> UUID:
        principal = uuid4()
        for type, value in identifiers.items():
            self.people[(type, value)] = principal
        for store, row in rows:
            self.rows.setdefault((principal, store), []).append(row)
        return principal

    def held(self, principal: UUID, store: str) -> list[Row]:
        return self.rows.get((principal, store), [])

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/v1/principals", self._principal, methods=["POST"])
        app.add_api_route("/v1/principals/lookup", self._lookup, methods=["POST"])
        app.add_api_route("/sms", self._sms, methods=["POST"])
        app.add_api_route("/events", self._feed)
        app.add_api_route("/api/v2/tickets/{ticket}.json", self._ticket, methods=["PUT"])
        app.add_api_route("/v1/principals/{principal}/forgotten", self._forget, methods=["PUT"])
        app.add_api_route("/v1/stores", self._stores)
        app.add_api_route("/v1/collections/together", self._collect, methods=["POST"])
        app.add_api_route("/v1/steps/{step}", self._step, methods=["PUT"])
        app.add_api_route("/v1/withdrawals", self._stand, methods=["POST"])
        app.add_api_route("/v1/standing/{principal}/objections/{purpose}", self._stand, methods=["PUT"])
        app.add_api_route("/v1/standing/{principal}/restriction", self._stand, methods=["PUT"])
        return app

    def said_of(self, principal: UUID) -> list[dict[str, Any]]:
        """What the consent service was told of a person, each once."""
        return [said for _, who, said in self.stood if who == principal]

    async def _stand(self, request: Request) -> Response:
        if self.consent_down:
            return Unavailable().response()
        said = orjson.loads(await request.body())
        said = {name: value for name, value in said.items() if value is not None} | request.path_params
        who, key = UUID(said.pop("principal")), request.headers["idempotency-key"]
        if key not in {known for known, _, _ in self.stood}:
            self.stood.append((key, who, said))
        recorded = {
            "record": str(uuid4()),
            "principal": str(who),
            "kind": "objection",
            "regulation": "gdpr",
            "purpose": said.get("purpose", "every_purpose"),
            "state": said.get("state", "withdrawn"),
            "sequence": 1,
            "current": True,
            "occurred_at": "2027-01-01T00:00:00Z",
            "recorded_at": "2027-01-01T00:00:00Z",
            "receipt": "",
            "event": str(uuid4()),
        }
        return JSONResponse(recorded)

    async def _principal(self, request: Request) -> Response:
        wish = FindPrincipal.model_validate_json(await request.body())
        found = {self.people.get((each.type, each.value)) for each in wish.identifiers}
        if len(found - {None}) > 1:
            return IdentifiersConflict().response()
        principal = next(iter(found - {None}), None) or uuid4()
        for each in wish.identifiers:
            self.people[(each.type, each.value)] = principal
        return JSONResponse({"principal": str(principal)})

    async def _lookup(self, request: Request) -> Response:
        wish = FindPrincipal.model_validate_json(await request.body())
        found = {self.people.get((each.type, each.value)) for each in wish.identifiers} - {None}
        if len(found) > 1:
            return IdentifiersConflict().response()
        principal = next(iter(found), None)
        return JSONResponse({"principal": str(principal) if principal else None})

    async def _feed(self, after: int = 0, wait: float = 0) -> dict[str, Any]:
        """What the consent service tells; it waits a little, as a feed does."""
        if len(self.events) <= after:
            await asyncio.sleep(min(wait, 0.2))
        leaf = self.events[-1]["leaf"] if self.events else None
        return {"items": self.events[after:], "next": str(len(self.events)), "leaf": leaf}

    def consent_withdrawn(self, principal: UUID, tenant: UUID, elements: list[str]) -> dict[str, Any]:
        said = {
            "record": str(uuid4()),
            "sha256": "",
            "kind": "consent",
            "regulation": "gdpr",
            "purpose": "communication",
            "state": "withdrawn",
            "sequence": 2,
            "occurred_at": "2026-11-20T12:00:00Z",
            "notice": None,
            "notice_version": None,
            "valid_until": None,
        } | ({"erase_rule": "recordings_go", "erase_elements": elements} if elements else {})
        return self.consent_told("consent.withdrawn", principal, tenant, said)

    def consent_told(self, type: str, principal: UUID, tenant: UUID, said: dict[str, Any]) -> dict[str, Any]:
        event = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "type": type,
            "source": "/wardline/consent",
            "time": "2026-11-20T12:00:00.000000Z",
            "tenant": str(tenant),
            "subject": str(principal),
            "dataschema": f"urn:wardline:event:{type}/v1",
            "data": said,
        }
        self.tell(event)
        return event

    def tell(self, event: dict[str, Any]) -> None:
        position = len(self.events) + 1
        self.events.append(event | {"position": position, "leaf": f"{position:064x}"})

    async def _ticket(self, ticket: str, request: Request) -> Response:
        assert request.headers["authorization"].startswith("Basic ")
        if self.zendesk_down:
            return Response(status_code=503)
        said = orjson.loads(await request.body())["ticket"]
        if self.slow_ticket == ticket:
            self.slow_ticket = None
            await asyncio.sleep(1)
        self.tickets.append((ticket, said))
        return JSONResponse({"ticket": {"id": int(ticket)}})

    async def _forget(self, principal: UUID) -> Response:
        self.forgotten.append(principal)
        return JSONResponse({"principal": str(principal), "forgotten_at": "2027-01-01T00:00:00Z"})

    async def _sms(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer provider's token"
        self.texts.append(orjson.loads(await request.body()))
        return Response(status_code=202)

    async def _stores(self) -> dict[str, Any]:
        verbs = ["collect", "preview", "erase", "verify", "correct", "freeze", "unfreeze"]
        mailbox = {
            "store": "mailbox",
            "label": {"sv": "Brevlåda", "en": "Mailbox"},
            "kind": "manual",
            "controller": "operator",
            "categories": ["service_specific"],
            "elements": ["helpdesk_email", "usage_statistics"],
            "verbs": ["erase", "verify", "correct", "freeze", "unfreeze"],
        }
        return {
            "items": [mailbox] * self.has_mailbox
            + [
                {
                    "store": store,
                    "label": {"sv": store.title(), "en": store.title()},
                    "kind": kind,
                    "controller": "tenant" if store == "recordings" else "operator",
                    "categories": ["customer_invoice"],
                    "elements": ELEMENTS[store],
                    "verbs": verbs,
                }
                for store, kind in KINDS.items()
            ]
        }

    async def _collect(self, request: Request) -> Response:
        wish = CollectionsRequest.model_validate_json(await request.body())
        self.together += [len(wanted.of) for wanted in wish.stores]
        if wish.portable:
            self.portable |= {one.principal for wanted in wish.stores for one in wanted.of}
        return StreamingResponse(joined([self._lines(wanted) for wanted in wish.stores]))

    async def _lines(self, wanted: OfStore) -> AsyncGenerator[bytes]:
        if wanted.store in self.down:
            raise StoreUnavailable
        counts: dict[str, int] = {}
        theirs = [(place, row) for place, one in enumerate(wanted.of) for row in self.held(one.principal, wanted.store)]
        for table in sorted({row.table for _, row in theirs}):
            columns = [_column("id", "Nummer"), _column("text", "Text")]
            subjects = sorted({place for place, row in theirs if row.table == table}) if len(wanted.of) > 1 else []
            yield orjson.dumps({"table": table, "columns": columns, "subjects": subjects}) + b"\n"
            for place, row in theirs:
                if row.table == table:
                    counts[table] = counts.get(table, 0) + 1
                    yield orjson.dumps([*([place] if subjects else []), row.id, row.text]) + b"\n"
        if wanted.store not in self.cut:
            yield orjson.dumps({"end": True, "counts": counts}) + b"\n"

    async def _step(self, step: UUID, request: Request) -> Response:
        wish = StepRequest.model_validate_json(await request.body())
        self.asked.append(step)
        if wish.store in self.down:
            return StoreUnavailable().response()
        if wish.verb == "erase" and wish.store not in (*KINDS, "mailbox"):
            return VerbUnsupported().response()
        if self.asked.count(step) <= self.running_first:
            await asyncio.sleep(0)
            return _json(StepResult(step=step, verb=wish.verb, store=wish.store, state="running"))
        if (wish.principal, wish.store) in self.by_hand and wish.verb == "erase":
            until = self.promised.get((wish.principal, wish.store))
            said = Waiting(
                owner="kundtjanst@nordtel.example", due=date(2027, 3, 1), instructions=REASON, pending_until=until
            )
            return _json(StepResult(step=step, verb=wish.verb, store=wish.store, state="waiting", waiting=said))
        if step not in self.results:
            self.results[step] = self._do(step, wish)
            if wish.store == "mailbox" and wish.verb == "erase":
                attested = {"by": "hilda", "at": "2027-01-01T00:00:00Z", "evidence_sha256": "0" * 64}
                self.results[step] = StepResult.model_validate(
                    self.results[step].model_dump(mode="json") | {"attested": attested}
                )
        return _json(self.results[step])

    def _do(self, step: UUID, wish: StepRequest) -> StepResult:
        self.journal.append((step, wish.store, wish.verb))
        rows = self.held(wish.principal, wish.store)
        touched = [row for row in rows if _is_meant(wish, row)]
        going = [row for row in touched if row.keep is None]
        done = {"step": step, "verb": wish.verb, "store": wish.store, "state": "done"}
        if wish.verb in ("freeze", "unfreeze"):
            (self.frozen.add if wish.verb == "freeze" else self.frozen.discard)((wish.principal, wish.store))
            return StepResult(**done)
        if wish.verb == "correct":
            wrong = [(row, change) for row in rows for change in wish.changes if row.text == change.old]
            for row, change in wrong:
                row.text = change.new
            said = _outcomes([row for row, _ in wrong])
            return StepResult(**done, outcomes=[each.model_copy(update={"action": Action.correct}) for each in said])
        if wish.verb == "verify":
            left = len(going)
            return StepResult(**done | {"state": "incomplete" if left else "done", "remaining": left})
        if wish.verb == "erase" and wish.store not in self.stubborn:
            self.rows[(wish.principal, wish.store)] = [row for row in rows if row not in going]
        return StepResult(**done, outcomes=_outcomes(touched))


def _is_meant(wish: StepRequest, row: Row) -> bool:
    if wish.scope is None:
        return True
    return row.id == wish.scope.recording if wish.scope.recording else row.table in wish.scope.elements


def _outcomes(rows: list[Row]) -> list[Outcome]:
    found: dict[tuple[str, str | None, date | None], int] = {}
    for row in rows:
        key = (row.table, row.keep, row.until)
        found[key] = found.get(key, 0) + 1
    return [
        Outcome(
            table=table,
            element="name",
            category="customer_invoice",
            action="keep" if rule else "erase",
            rule=rule or "agreement_data",
            reason=REASON,
            legal_ref="GDPR Art. 17",
            until=until,
            count=count,
        )
        for (table, rule, until), count in found.items()
    ]


def _column(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "element": "name", "category": "customer_invoice", "label": {"sv": label, "en": label}}


def _json(reply: StepResult) -> Response:
    return Response(reply.model_dump_json(), media_type="application/json")
