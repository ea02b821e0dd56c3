"""A small operator behind the anonymizer's contract, over HTTP: its stores are lists, and it writes down what was done
to them."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from chassis import identifiers
from chassis.errors import Unavailable
from chassis.ledger.contract import PositionUnknown
from chassis.streams import joined
from services.anonymizer.contract import (
    Action,
    CollectionsRequest,
    FindPrincipal,
    IdentifiersConflict,
    OfStore,
    Outcome,
    PrincipalUnknown,
    StepRequest,
    StepResult,
    StoreDrifted,
    StoreUnavailable,
    VerbUnsupported,
    Waiting,
)
from services.consent.contract import NoRightToObject, NotAGuardian, ObjectionIsAbsolute
from services.registry.contract import Text
from tests.serving import until_some

KINDS = {"billing": "postgresql", "helpdesk": "postgresql", "recordings": "folder"}
ELEMENTS = {"billing": ["name", "usage_statistics"], "helpdesk": ["helpdesk_ticket"], "recordings": ["recorded_call"]}
REASON = Text(sv="Skälet i reglerna", en="The reason in the rules")


@dataclass
class Row:
    """One record. `keep`: the rule that keeps it, if one does, and until when · `action`: what an erasure does with it."""

    table: str
    id: str
    text: str = ""
    keep: str | None = None
    until: date | None = None
    category: str = "customer_invoice"
    action: str = "erase"


@dataclass
class Operator:
    """`together`: how many people were collected by each scan · `down`: stores that do not answer · `stubborn`: stores whose erasure says done and leaves everything · `slow`:
    seconds a step takes · `cut`: stores whose stream ends without its last line · `unknown`: whom the anonymizer does not know any more ·
    `formerly`: whose something was once · `given`: consents that stand · `objections`: what consent knows of purposes by another book than rights · `broken`: of whom a store has a record that cannot be read · `gate`: before it is open nobody is given what is collected ·
    `unsolvable`: tickets that lack what the helpdesk wants of a solved one · `asked_for_stores`: how often · `away`: nobody says which stores there are."""

    rows: dict[tuple[UUID, str], list[Row]] = field(default_factory=dict)
    people: dict[tuple[str, str], UUID] = field(default_factory=dict)
    formerly: dict[tuple[str, str], UUID] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    stubborn: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    unknown: set[UUID] = field(default_factory=set)
    broken: set[tuple[UUID, str]] = field(default_factory=set)
    gate: asyncio.Event | None = None
    journal: list[tuple[UUID, str, str]] = field(default_factory=list)
    results: dict[UUID, StepResult] = field(default_factory=dict)
    asked: list[UUID] = field(default_factory=list)
    running_first: int = 0
    frozen: set[tuple[UUID, str]] = field(default_factory=set)
    portable: set[UUID] = field(default_factory=set)
    together: list[int] = field(default_factory=list)
    stood: list[tuple[str, UUID, dict[str, Any]]] = field(default_factory=list)
    restored: bool = False
    guardians: dict[UUID, dict[str, dict[str, Any]]] = field(default_factory=dict)
    given: dict[UUID, list[dict[str, Any]]] = field(default_factory=dict)
    consent_down: bool = False
    objections: dict[str, str] = field(default_factory=dict)
    texts: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    has_mailbox: bool = False
    asked_for_stores: int = 0
    away: bool = False
    zendesk_down: bool = False
    slow_ticket: str | None = None
    unsolvable: set[str] = field(default_factory=set)
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
        app.add_api_route("/v1/standing/{principal}", self._standing)
        app.add_api_route("/v1/standing/{principal}/objections/{purpose}", self._stand, methods=["PUT"])
        app.add_api_route("/v1/standing/{principal}/restriction", self._stand, methods=["PUT"])
        app.add_api_route("/v1/guardians/{principal}", self._guardian, methods=["PUT"])
        app.add_api_route("/v1/guardians/{principal}/end", self._guardian, methods=["POST"])
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
        right = self.objections.get(said.get("purpose", ""))
        if (right, said.get("state")) == ("none", "raised"):
            return NoRightToObject().response()
        if (right, said.get("state")) == ("absolute", "overruled"):
            return ObjectionIsAbsolute().response()
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

    async def _standing(self, principal: UUID) -> Response:
        if self.consent_down:
            return Unavailable().response()
        withdrawn = {
            "regulation": "gdpr",
            "state": "withdrawn",
            "since": "2027-01-01T00:00:00Z",
            "record": str(uuid4()),
            "notice": None,
            "notice_version": None,
            "valid_until": None,
        }
        purposes = [said["purpose"] for said in self.said_of(principal) if "purpose" in said and "state" not in said]
        consents = [withdrawn | {"purpose": purpose} for purpose in purposes]
        consents += [withdrawn | given for given in self.given.get(principal, [])]
        told = {"principal": str(principal), "consents": consents, "objections": [], "restriction": None}
        return JSONResponse(told)

    async def _guardian(self, request: Request) -> Response:
        """A guardian is set with a day of birth, or ends; who is nobody's is refused."""
        if self.consent_down:
            return Unavailable().response()
        said, child = orjson.loads(await request.body()), UUID(request.path_params["principal"])
        guardian, known = said["guardian"], self.guardians.setdefault(child, {})
        if request.method == "PUT":
            known[guardian] = said
        elif known.pop(guardian, None) is None:
            return NotAGuardian().response()
        answer = {"principal": str(child), "guardian": guardian, "event": str(uuid4()), "of_age_on": "2040-01-01"}
        return JSONResponse(answer)

    async def _principal(self, request: Request) -> Response:
        wish = FindPrincipal.model_validate_json(await request.body())
        if any(each.type == "msisdn" and not each.value.isdigit() for each in wish.identifiers):
            return identifiers.BadIdentifier().response()
        found = {self.people.get((each.type, each.value)) for each in wish.identifiers}
        if len(found - {None}) > 1:
            return IdentifiersConflict().response()
        principal = next(iter(found - {None}), None) or uuid4()
        for each in wish.identifiers:
            self.people[(each.type, each.value)] = principal
        return JSONResponse({"principal": str(principal)})

    async def _lookup(self, request: Request) -> Response:
        wish = FindPrincipal.model_validate_json(await request.body())
        try:
            spelled = [(each.type, identifiers.normalise(each.type, each.value)) for each in wish.identifiers]
        except identifiers.BadIdentifier as refusal:
            return refusal.response()
        once = [each.from_ is not None or each.to is not None for each in wish.identifiers]
        whose = [self.formerly if was else self.people for was in once]
        found = {known.get(each) for known, each in zip(whose, spelled, strict=True)} - {None}
        if len(found) > 1:
            return IdentifiersConflict().response()
        principal = next(iter(found), None)
        return JSONResponse({"principal": str(principal) if principal else None})

    async def _feed(
        self, request: Request, types: str, after: int = 0, wait: float = 0, leaf: str | None = None
    ) -> Any:
        """What the consent service tells. One that came back from a backup refuses once, whoever follows what it tells."""
        asked = types.split(",")

        def refuses() -> bool:
            return self.restored and leaf is not None and "consent.withdrawn" in asked

        def told() -> list[dict[str, Any]]:
            return [event for event in self.events[after:] if event["type"] in asked]

        await until_some(request, lambda: refuses() or bool(told()), wait)
        if refuses():
            self.restored = False
            return PositionUnknown().response()
        leaf = self.events[-1]["leaf"] if self.events else None
        return {"items": told(), "next": str(len(self.events)), "leaf": leaf}

    def consent_withdrawn(self, principal: UUID, tenant: UUID, elements: list[str], **more: Any) -> dict[str, Any]:
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
        } | ({"erase_rule": "recordings_go", "erase_elements": elements} | more if elements else {})
        return self.consent_told("consent.withdrawn", principal, tenant, said)

    def consent_told(
        self, type: str, principal: UUID, tenant: UUID, said: dict[str, Any], time: datetime | None = None
    ) -> dict[str, Any]:
        event = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "type": type,
            "source": "/wardline/consent",
            "time": (time or datetime(2026, 11, 20, 12, tzinfo=UTC)).isoformat(),
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
        if ticket in self.unsolvable and said.get("status") == "solved":
            return JSONResponse({"error": "RecordInvalid", "details": {"base": "Topic is required"}}, 422)
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

    async def _stores(self) -> Any:
        self.asked_for_stores += 1
        if self.away:
            return Unavailable().response()
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
        if self.unknown & {one.principal for wanted in wish.stores for one in wanted.of}:
            return PrincipalUnknown().response()
        if gate := self.gate:
            self.gate = None
            await gate.wait()
        if wish.portable:
            self.portable |= {one.principal for wanted in wish.stores for one in wanted.of}
        return StreamingResponse(joined([self._lines(wanted) for wanted in wish.stores]))

    async def _lines(self, wanted: OfStore) -> AsyncGenerator[bytes]:
        if wanted.store in self.down:
            raise StoreUnavailable
        if any((one.principal, wanted.store) in self.broken for one in wanted.of):
            raise StoreDrifted
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
        if wish.principal in self.unknown:
            return PrincipalUnknown().response()
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
    found = Counter((row.table, row.category, row.action, row.keep, row.until) for row in rows)
    return [
        Outcome(
            table=table,
            element="name",
            category=category,
            action="keep" if rule else action,
            rule=rule or "agreement_data",
            reason=REASON,
            legal_ref="GDPR Art. 17",
            until=until,
            count=count,
        )
        for (table, category, action, rule, until), count in found.items()
    ]


def _column(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "element": "name", "category": "customer_invoice", "label": {"sv": label, "en": label}}


def _json(reply: StepResult) -> Response:
    return Response(reply.model_dump_json(), media_type="application/json")
