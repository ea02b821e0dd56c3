"""The service's own document, tried on every route: whatever is sent within it or beside it, the answer is one that it declares."""

import asyncio
import json
from datetime import date, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import pytest
import requests
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chassis import clock
from chassis.ids import new_id
from services.consent.contract import SetGuardian
from services.consent.routes import caches, calls, captures, consents, imports, replays
from tests.consent.conftest import Company, key, question
from tests.consent.test_captures import LOCATION, NUMBER, Around

ROUTERS = (consents.router, calls.router, caches.router, captures.router, imports.router, replays.router)
OPERATIONS = [f"{method} {route.path}" for each in ROUTERS for route in each.routes for method in sorted(route.methods)]
EXAMPLES = 12
READ = {"notice": "recordings", "notice_version": 1}
# Pages for browsers, and what answers nobody who is not a person: they are sent what the document says, and nothing is right.
NEVER_RIGHT = ("/captures/", "/signals")


class Right:
    """A company about whom everything is known, and for each operation a request that is right."""

    def __init__(self, company: Company, anna: Any) -> None:
        self.company, self.anna, self.guardian = company, str(anna), new_id()
        self.ids: dict[str, Any] = {"principal": self.anna, "purpose": "communication", "notice": "recordings"}
        self.ids |= {"version": 1, "number": 0, "client": "public"}

    async def prepare(self, operation: str) -> None:
        company = self.company
        told = await company.notice()
        self.ids["record"] = str((await company.give(UUID(self.anna), told)).record)
        call = {"call": str(new_id()), "participants": [{"role": "caller", "principal": self.anna}]}
        for path, body, name in [("/v1/calls", call, "call"), ("/v1/imports", {"source": "crm"}, "name")]:
            self.ids[name] = (await company.post(path, json.dumps(body))).json()[name]
        if "/guardians/" in operation:
            child = SetGuardian(guardian=self.guardian, born=date(2024, 1, 1), evidence_ref="case/1")
            await company.service.set_guardian(company.tenant, UUID(self.anna), child, key())

    def body(self, operation: str) -> dict[str, Any] | None:
        camara = {
            "phoneNumber": NUMBER,
            "scopes": [LOCATION],
            "purpose": "dpv:ServiceOptimisation",
            "requestCaptureUrl": True,
        }
        asked = question(self.anna, "communication", "recorded_call", participants=[self.anna]).model_dump()
        hers: dict[str, Any] = {"principal": self.anna, "purpose": "communication"}
        words = {"title": "Samtal", "body": "Vi spelar in.", "rights": "Återkalla.", "consequence": "Ingen."}
        explained = [{"purpose": "communication", "categories": ["recorded_call"]}]
        row = [str(new_id()), "communication", "given", clock.now().isoformat(), "recordings", "1"]
        return {
            "POST /v1/notices": {"notice": "another", "channel": "web", "texts": {"sv": words}, "controller": "AB", "purposes": explained,
                                 "withdrawal_url": "https://operator.example/"},
            "POST /v1/consents": hers | READ,
            "POST /v1/refusals": hers | READ,
            "POST /v1/asks": hers | READ | {"principal": str(new_id())},
            "POST /v1/withdrawals": hers,
            "POST /v1/invalidations": hers | {"state": "revoked", "legal_ref": "Art. 7"},
            "PUT /v1/guardians/{principal}": {"guardian": str(new_id()), "born": "2024-01-01", "evidence_ref": "case/1"},
            "POST /v1/guardians/{principal}/end": {"guardian": str(self.guardian)},
            "PUT /v1/standing/{principal}/objections/{purpose}": {"state": "raised"},
            "PUT /v1/standing/{principal}/restriction": {"state": "set", "ground": "accuracy"},
            "PUT /v1/duties/{purpose}": {"state": "recorded", "legal_ref": "LVM"},
            "POST /access/v1/evaluation": asked,
            "POST /access/v1/evaluations": asked | {"evaluations": [{}, {"action": {"name": "astrology"}}]},
            "POST /consent-info/v0.2/retrieve": camara,
            "POST /v1/calls": {"call": str(new_id()), "participants": [{"role": "caller", "principal": self.anna}]},
            "POST /v1/calls/{call}/indications": READ | {"party": 0, "answer": "yes", "method": "spoken", "offset_ms": 1},
            "POST /v1/calls/{call}/end": {},
            "POST /v1/imports": {"source": "crm"},
            "PUT /v1/imports/{name}/chunks/{number}": {
                "columns": ["principal", "purpose", "state", "occurred_at", "notice", "notice_version"], "rows": [row, row[:3], []]},
            "POST /v1/imports/{name}/end": {},
            "POST /v1/replays": {"as_of": (clock.now() - timedelta(seconds=1)).isoformat(), "evaluation": asked},
            "PUT /v1/callbacks/{client}": {"urls": ["https://consumer.example/"]},
        }.get(operation)  # fmt: skip


@cache
def document(app: FastAPI) -> Any:
    from tests.declared import read

    return read(app.openapi())


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_answer_is_one_that_the_document_declares(company: Company, anna, operation: str):
    from tests.declared import BESIDE, CHECKS, WITHIN

    right, (method, path) = Right(company, anna), operation.split()
    await right.prepare(operation)
    Around(company.served, company).known[NUMBER] = str(anna)
    declared = document(company.served.app)[path][method]
    there = {name: value for name, value in right.ids.items() if f"{{{name}}}" in path}
    # Made once, for making one takes longer than drawing from it: within the document and beside it, with ids that exist and others.
    ways = [
        declared.as_strategy(generation_mode=mode, path_parameters=bound)
        for mode in (WITHIN, BESIDE)
        for bound in ((there, there, None) if there else (None,))
    ]
    headers = {"authorization": (await company.headers())["authorization"]}
    seen: set[int] = set()

    @given(data=st.data())
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def try_one(data: st.DataObject) -> None:
        case = data.draw(data.draw(st.sampled_from(ways)))
        body = right.body(operation)
        if body is not None and data.draw(st.booleans()):
            # What is right but for at most one member goes further than what is drawn at random.
            drawn = case.body if isinstance(case.body, dict) else {}
            bent = data.draw(st.sampled_from([None, *drawn]))
            case.body = body if bent is None else body | {bent: drawn[bent]}
            case.media_type = "application/json"
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        sent = headers | {"idempotency-key": key()}
        answer = case.call(
            base_url=company.served.url, headers=sent, session=session, timeout=60, allow_redirects=False
        )
        seen.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    with requests.Session() as session:
        session.trust_env = False
        await asyncio.to_thread(try_one)
    print("SEEN", operation, sorted(seen))
    assert any(status < 300 for status in seen) or any(part in path for part in NEVER_RIGHT)
