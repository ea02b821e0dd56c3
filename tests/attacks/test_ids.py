"""Somebody else's ids in every operation that takes one: they do not exist, whether they do or not."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway.routes import INTERNAL, LEDGERS_IN_PUBLIC, PUBLIC
from gateway.table import Row
from sample.cases import FJALLRESOR, PRIVATE
from tests.attacks.mint import Mint, operation
from tests.attacks.world import BREACH, SHARED, World
from tests.nordtel import until

WITH_ID = [row for row in (*PUBLIC, *INTERNAL) if "{" in row.path]


@dataclass(frozen=True)
class Case:
    """strangers: `subject` is another person of the same tenant, `tenant` somebody of another one, `system` the helpdesk's own, which
    sees what its tickets began, `authority` a client that speaks for
    no authority (and is told so, the same for every id) · body: one that would be accepted from the owner · as_unknown: what is asked about a person nobody knows gets an empty
    answer here, so a stranger's looks the same."""

    strangers: tuple[str, ...]
    body: Callable[[World], dict[str, Any]] | None = None
    as_unknown: tuple[str, ...] = ()


def case(
    *strangers: str,
    body: dict[str, Any] | Callable[[World], dict[str, Any]] | None = None,
    as_unknown: tuple[str, ...] = (),
) -> Case:
    return Case(strangers, body if callable(body) or body is None else lambda _: body, as_unknown)


INDICATION = {
    "party": 0,
    "answer": "yes",
    "method": "keypress",
    "offset_ms": 1,
    "notice": "service_quality",
    "notice_version": 1,
}
GUARDIAN = {"guardian": str(uuid4()), "born": "2020-05-04", "evidence_ref": "crm/1"}
WORDS = {"sv": "Så här är det", "en": "So it is"}
EVIDENCE = {"identifiers": [{"type": "email", "value": "nobody@epost.example"}], "evidence": {"method": "call_back"}}
OUTCOMES = ("executed", "nothing", "refused", "withdrawn", "pending")
POSTED = {"posted_on": "2026-01-02", "evidence_sha256": "0" * 64, "evidence_at": "file 1"}
OWN_KEY = {
    "crv": "P-256",
    "x": "IpCKhVGRc4KNjybYztnuEsrhqAoXGqVyMv7apz4HnuE",
    "y": "UuoP73IRemSb5VktXTaxJFl_Lunnf8Thznumx5OfvEg",
    "kty": "EC",
}
CASES = {
    "public GET /v1/notices/{notice}/versions/{version}": case("tenant"),
    "public GET /v1/receipts/{record}": case("subject", "tenant"),
    "public GET /v1/standing/{principal}": case("subject", as_unknown=("new tenant",)),
    "public PUT /v1/standing/{principal}/objections/{purpose}": case(
        "subject", body={"state": "raised"}, as_unknown=("new tenant",)
    ),
    "public PUT /v1/standing/{principal}/restriction": case(
        "subject", body={"state": "set", "ground": "accuracy"}, as_unknown=("new tenant",)
    ),
    "public GET /v1/requests/{request_id}": case("subject", "tenant", "system"),
    "public POST /v1/requests/{request_id}/passphrase": case(
        "subject", "tenant", body={"passphrase": "en helt annan mening"}
    ),
    "public POST /v1/requests/{request_id}/key": case("subject", "tenant", body={"key": OWN_KEY}),
    "public POST /v1/requests/{request_id}/paper": case("subject", "tenant", body={}),
    "public GET /v1/requests/{request_id}/preview": case("subject", "tenant", "system"),
    "public POST /v1/requests/{request_id}/confirm": case("subject", "tenant", "system", body={"preview": "0" * 64}),
    "public POST /v1/requests/{request_id}/withdraw": case("subject", "tenant", "system", body={}),
    "public POST /v1/requests/{request_id}/code": case(
        "subject", "tenant", "system", body={"contact": {"type": "email", "value": "nobody@epost.example"}}
    ),
    "public POST /v1/requests/{request_id}/code/check": case("subject", "tenant", "system", body={"code": "000000"}),
    "public POST /v1/requests/{request_id}/replies": case("subject", "tenant", "system", body={"text": "Ja"}),
    "public GET /v1/requests/{request_id}/letters": case("subject", "tenant", "system"),
    "public POST /v1/requests/{request_id}/evidence": case(
        "subject", "tenant", "system", body={"content": "JVBERi0xLjcKMQ=="}
    ),
    "public GET /v1/requests/{request_id}/answer": case("subject", "tenant", "system"),
    "public GET /v1/requests/{request_id}/answer/page": case("subject", "tenant", "system"),
    "public GET /v1/requests/{request_id}/certificate": case("subject", "tenant", "system"),
    "public GET /v1/requests/{request_id}/package": case("subject", "tenant"),
    "public GET /v1/receptions/{reception}": case("subject", "tenant"),
    "public GET /v1/receptions/{reception}/content": case("subject", "tenant"),
    # Another operator has no account: what it signed is looked at, whoever brings it.
    "public PUT /v1/receptions/{reception}/parts/{part}": case(),
    "public POST /v1/receptions/{reception}/end": case(),
    "internal GET /staff/v1/receptions/{reception}": case("tenant"),
    "internal GET /staff/v1/receptions/{reception}/content": case("tenant"),
    # Each organisation has names of its own for others.
    "internal PUT /staff/v1/operators/{operator}": case(),
    "public GET /v1/endpoints/{endpoint}/secrets": case("tenant"),
    "public POST /v1/endpoints/{endpoint}/rotation": case("tenant", body={}),
    "public POST /v1/endpoints/{endpoint}/disable": case("tenant", body={}),
    "public POST /v1/deliveries/{delivery}/replay": case("tenant", body={}),
    "internal POST /v1/authorities/{authority}/confirmation": case("tenant", body={}),
    "internal GET /v1/orders/{order}": case("tenant", "authority"),
    "internal PUT /v1/orders/{order}": case(
        "tenant", "authority", body=lambda world: {"generation": 1, "order": world.order}
    ),
    "internal POST /v1/orders/{order}/reviews": case("tenant", body={"order_hash": "0" * 64, "verdict": "approve"}),
    "internal POST /v1/orders/{order}/cancellation": case(
        "tenant", "authority", body={"reason_code": "lifted", "reference": "B 1"}
    ),
    "internal POST /v1/orders/{order}/collection": case("tenant", body={}),
    "internal GET /v1/orders/{order}/packages": case("tenant", "authority"),
    "internal GET /v1/packages/{package}": case("tenant", "authority"),
    "internal POST /v1/packages/{package}/release": case("tenant", body={}),
    "internal GET /v1/packages/{package}/content": case("authority"),
    "internal POST /v1/packages/{package}/acknowledgement": case(
        "authority", body={"status": "Acknowledged", "sha256": "0" * 64}
    ),
    "internal GET /staff/v1/requests/{request_id}": case("tenant"),
    "internal POST /staff/v1/requests/{request_id}/identity": case("tenant", body=EVIDENCE),
    "internal POST /staff/v1/requests/{request_id}/code": case(
        "tenant", body={"contact": {"type": "email", "value": "nobody@epost.example"}}
    ),
    "internal POST /staff/v1/requests/{request_id}/code/check": case("tenant", body={"code": "000000"}),
    "internal POST /staff/v1/mandates/{mandate_id}/confirmation": case("tenant", body={}),
    "internal POST /staff/v1/mandates/{mandate_id}/revocation": case("tenant", body={}),
    "internal PUT /staff/v1/people/{principal}/protection": case(body={"protected": False}, as_unknown=("new tenant",)),
    "internal POST /staff/v1/requests/{request_id}/questions": case(
        "tenant", body={"about": "identity", "text": WORDS}
    ),
    "internal POST /staff/v1/requests/{request_id}/replies": case("tenant", body={"text": "Ja"}),
    "internal POST /staff/v1/requests/{request_id}/extension": case(
        "tenant", body={"reason": "complexity", "text": WORDS}
    ),
    "internal POST /staff/v1/requests/{request_id}/refusal": case(
        "tenant", body={"reason": "excessive", "text": WORDS}
    ),
    "internal GET /staff/v1/requests/{request_id}/letters": case("tenant"),
    "internal POST /staff/v1/requests/{request_id}/evidence": case("tenant", body={"content": "JVBERi0xLjcKMQ=="}),
    "internal GET /staff/v1/requests/{request_id}/evidence": case("tenant"),
    "internal GET /staff/v1/requests/{request_id}/evidence/{file}": case("tenant"),
    # A month or a year is nobody's: each organisation reads its own, and the operator alone files what was counted.
    "internal GET /v1/transparency/{year}": case(),
    "internal PUT /v1/transparency-reports/{year}": case(
        "tenant",
        body={
            "year": 2025,
            "least": 5,
            "rows": [{"instrument": "total"} | dict.fromkeys((*OUTCOMES, "requests", "median_days"))],
        },
    ),
    "internal GET /staff/v1/reports/{month}": case(),
    "internal POST /staff/v1/tasks/{task_id}/proposal": case("tenant", body={"verdict": "granted", "text": WORDS}),
    "internal POST /staff/v1/tasks/{task_id}/review": case("tenant", body={"proposal": "0" * 64, "agreed": True}),
    "internal POST /staff/v1/requests/{request_id}/fee": case(
        "tenant", body={"reason": "excessive", "fee_ore": 100, "text": WORDS}
    ),
    "internal POST /staff/v1/requests/{request_id}/payment": case("tenant", body={"reference": "OCR 1"}),
    "internal GET /staff/v1/requests/{request_id}/print": case("tenant"),
    "internal POST /staff/v1/requests/{request_id}/posting": case("tenant", body=POSTED),
    "internal POST /staff/v1/requests/{request_id}/letters/{letter}/posting": case("tenant", body=POSTED),
    "internal GET /staff/v1/requests/{request_id}/preview": case("tenant"),
    "internal POST /staff/v1/requests/{request_id}/confirm": case("tenant", body={"preview": "0" * 64}),
    "internal POST /staff/v1/requests/{request_id}/withdraw": case("tenant", body={}),
    "internal POST /staff/v1/requests/{request_id}/paper": case("tenant", body={}),
    "internal GET /staff/v1/requests/{request_id}/answer": case("tenant"),
    "internal GET /staff/v1/requests/{request_id}/answer/page": case("tenant"),
    "internal GET /staff/v1/requests/{request_id}/certificate": case("tenant"),
    "internal GET /staff/v1/standing/{principal}": case(as_unknown=("new tenant",)),
    "internal POST /v1/steps/{step}/attestation": case(
        "tenant", body={"count": 0, "evidence_sha256": "0" * 64, "evidence_at": "archive 1"}
    ),
    "internal GET /v1/access/grants/{grant}": case("tenant"),
    "internal POST /v1/access/grants/{grant}/decision": case(
        "tenant", body={"approve": True, "reason": "Needed for a task."}
    ),
    "internal POST /v1/access/grants/{grant}/end": case("tenant", body={"reason": "Not needed any more."}),
    "internal POST /v1/access/clearances/{clearance}/end": case("tenant", body={}),
    "internal GET /v1/access/reviews/{review}": case("tenant"),
    "internal POST /v1/access/reviews/{review}/decisions": case(
        "tenant", body=lambda world: {"grant": world.ids["grant"], "keep": True, "reason": "Still needed here."}
    ),
    "internal GET /v1/breaches/{breach}": case("tenant"),
    "internal POST /v1/breaches/{breach}/statements": case("tenant", body=lambda _: BREACH["statement"]),
    "internal POST /v1/breaches/{breach}/notices": case(
        "tenant", body={"clock": "telecom", "told_at": "2026-01-01T00:00:00Z", "reference": "D 1"}
    ),
    "internal POST /v1/breaches/{breach}/letters": case("tenant"),
    "internal GET /v1/breaches/{breach}/letters": case("tenant"),
    "internal POST /v1/breaches/{breach}/closing": case("tenant", body={"conclusion": "It was found."}),
    "internal GET /v1/breaches/{breach}/forms/{clock}": case("tenant"),
    "internal GET /v1/assessments/{reference}": case("tenant"),
    # An entry is made under whatever reference one gives it, in the operator's own register only.
    "internal PUT /v1/assessments/{reference}": case(),
    "internal GET /v1/policy/proposals/{proposal}": case("tenant"),
    "internal POST /v1/policy/proposals/{proposal}/simulation": case("tenant", body={}),
    "internal POST /v1/policy/proposals/{proposal}/approval": case(
        "tenant", body={"sha256": "0" * 64, "seen": "2026-01-01T00:00:00Z"}
    ),
    "internal POST /v1/policy/proposals/{proposal}/rejection": case("tenant", body={"reason": "not ours"}),
    "internal PUT /v1/findings/{kind}/{about}": case("tenant", body={"owner": "nobody", "due_on": "2027-01-01"}),
    # A store is no id; whose records they are is the caller's own organisation, and whether its contract ends.
    "internal GET /v1/pack/return/{store}": case(),
    "internal POST /v1/pack/endings/{tenant}/handover": case(
        "tenant", body={"sha256": "0" * 64, "receipt": "receipt 1"}
    ),
    "internal GET /v1/sweeps/{sweep}": case("tenant"),
    "internal POST /staff/v1/endpoints/{endpoint}/disable": case("tenant", body={}),
    "internal POST /staff/v1/deliveries/{delivery}/replay": case("tenant", body={}),
    "internal GET /ledger/disclosure/inclusion/{event_id}": case("tenant"),
    # A customer organisation that was told of no change finds none.
    "public GET /v1/subprocessor-changes/{change}": case(),
    "internal GET /staff/v1/subprocessor-changes/{change}": case(),
    "internal POST /v1/subprocessor-changes/{change}/notice": case("tenant"),
    "internal POST /v1/subprocessor-changes/{change}/objections": case(
        "tenant", body={"grounds": "other", "statement": "nej"}
    ),
    "internal POST /v1/objections/{customer}/{objection}/resolution": case(
        "tenant", body={"outcome": "overruled", "statement": "nej"}
    ),
    # A duty to record is always the caller's own organisation's, of one of the book's purposes: nobody else's can be named.
    "public PUT /v1/duties/{purpose}": case(),
    "internal PUT /staff/v1/duties/{purpose}": case(),
    # An address that holds a secret is for whoever has it; the person behind it has to log in. A client's name is no id of ours.
    "public GET /v1/captures/{capture}": case(),
    "public POST /v1/captures/{capture}/answer": case(),
    "internal PUT /staff/v1/callbacks/{client}": case(),
    "public GET /v1/calls/{call}": case("tenant"),
    "public GET /v1/imports/{name}": case("tenant"),
    "public GET /v1/imports/{name}/refused": case("tenant"),
    "public POST /v1/imports/{name}/end": case("tenant", body={}),
    "public PUT /v1/imports/{name}/chunks/{number}": case("tenant", body={"columns": ["principal"], "rows": [["x"]]}),
    "public POST /v1/calls/{call}/indications": case("tenant", body=INDICATION),
    "public POST /v1/calls/{call}/end": case("tenant", body={}),
    # A purpose is the book's; whose consequences they are stands in the query, which the next test tries.
    "public GET /v1/consequences/{purpose}": case(),
    "internal GET /staff/v1/consequences/{purpose}": case(),
    # This house has no provider of electronic identities; with one it is tests/identity/test_eid.py that looks.
    "internal POST /v1/accounts/{account}/eid": case(),
    # A guardian is recorded within the caller's own organisation, where nobody else's person is known.
    "internal PUT /staff/v1/guardians/{principal}": case(as_unknown=("new tenant",), body=GUARDIAN),
    "internal POST /staff/v1/guardians/{principal}/end": case(body={"guardian": GUARDIAN["guardian"]}),
    **{
        f"{edge} GET {prefix}/ledger/{service}/inclusion/{{event_id}}": case("tenant")
        for service in LEDGERS_IN_PUBLIC
        for edge, prefix in (("public", ""), ("internal", "/staff"))
    },
}


def test_every_operation_with_an_id_has_a_case():
    assert {operation(row) for row in WITH_ID} == CASES.keys()


@pytest.mark.parametrize("row", [row for row in WITH_ID if CASES[operation(row)].strangers], ids=operation)
def test_a_stranger_s_id_does_not_exist(world: World, mint: Mint, row: Row):
    for stranger in CASES[operation(row)].strangers:
        theirs = asked(world, mint, row, stranger, world.path(row.path, **event(world, row)))
        assert theirs.status_code == 404 or stranger == "authority", (stranger, theirs.text)
        nobodys = asked(world, mint, row, stranger, world.path(row.path, **unknown(row)))
        assert said(theirs) == said(nobodys), f"to a stranger ({stranger}) it looks different from what does not exist"


@pytest.mark.parametrize("row", [row for row in WITH_ID if CASES[operation(row)].as_unknown], ids=operation)
def test_a_stranger_s_person_looks_like_nobody(world: World, mint: Mint, row: Row):
    for stranger in CASES[operation(row)].as_unknown:
        before = standing(world, mint)
        nobody = str(uuid4())
        theirs = asked(world, mint, row, stranger, world.path(row.path))
        nobodys = asked(world, mint, row, stranger, world.path(row.path, principal=nobody))
        assert theirs.status_code == nobodys.status_code
        if row.method == "GET":
            assert theirs.json() == nobodys.json() | {"principal": world.ids["principal"]}
        assert standing(world, mint) == before, "another organisation changed her standing"


def test_a_person_cannot_speak_or_ask_for_another_in_body_or_query(world: World, mint: Mint):
    rows = {operation(row): row for row in (*PUBLIC, *INTERNAL)}
    hugo = world.ids["principal"]
    consent = {"purpose": "communication", "notice": "service_quality", "notice_version": 1, "principal": hugo}
    for name, how in {
        "public POST /v1/consents": {"json": consent},
        "public POST /v1/withdrawals": {"json": {"purpose": "communication", "principal": hugo}},
        "public POST /v1/refusals": {"json": consent},
        "public GET /v1/consequences/{purpose}": {
            "params": {"principal": hugo},
            "path": "/v1/consequences/development",
        },
        "public POST /v1/requests": {"json": {"kind": "deletion", "principal": hugo}},
        "public GET /v1/consents": {"params": {"principal": hugo}},
        "public GET /v1/requests": {"params": {"principal": hugo}},
    }.items():
        answer = mint.try_row(rows[name], token_of(world, mint, rows[name], "subject"), **how)
        assert answer.status_code in (403, 404, 409), (name, answer.text)
        assert hugo not in answer.text


def test_another_organisation_s_staff_name_a_stranger_as_they_name_nobody(world: World, mint: Mint):
    """In body and query: what they type in for her is asked about again, reaches nobody, and what they read is empty."""
    rows = {operation(row): row for row in INTERNAL}
    staff = {"tenant": str(FJALLRESOR.id)}
    before, hugo, nobody = standing(world, mint), world.ids["principal"], str(uuid4())
    for path in ("/staff/v1/requests", "/staff/v1/mandates"):
        row = rows[f"internal GET {path}"]
        theirs = mint.try_row(row, mint.rightful(row, **staff), params={"principal": hugo})
        assert said(theirs) == (200, {"items": []} | ({"next": None} if "next" in theirs.json() else {})), path
    typed_in = [typed(mint, rows, principal, **staff) for principal in (hugo, nobody)]
    assert typed_in[0] == typed_in[1]
    assert [request["state"] for request in typed_in[0]] == ["clarification"] * 2
    assert standing(world, mint) == before, "another organisation changed her standing"


def typed(mint: Mint, rows: dict[str, Row], principal: str, **staff: str) -> list[dict[str, Any]]:
    """What becomes of requests in somebody's name, without ids and times."""
    opens, reads, found = (
        rows["internal POST /staff/v1/requests"],
        rows["internal GET /staff/v1/requests/{request_id}"],
        [],
    )
    for kind in ("access", "deletion"):
        wish = {"kind": kind, "channel": "letter", "principal": principal, "evidence": {"method": "call_back"}}
        request = mint.try_row(opens, mint.rightful(opens, **staff), json=wish).json()["request"]
        path = reads.path.replace("{request_id}", request)

        def settled(path: str = path) -> Any:
            seen = mint.try_row(reads, mint.rightful(reads, **staff), path).json()
            return seen if seen["state"] not in ("received", "identified", "executing") else None

        seen = until("clarification", settled)
        steps = sorted((step["store"], step["verb"]) for step in seen["steps"])
        found.append({"state": seen["state"], "principal": seen["principal"], "steps": steps})
    return found


@pytest.mark.parametrize(("edge", "prefix"), [("public", ""), ("internal", "/staff")], ids=["public", "internal"])
def test_of_the_house_s_events_another_organisation_reads_only_which_book_is_in_force(
    mint: Mint, edge: str, prefix: str
):
    path = f"{prefix}/ledger/registry/entries"
    row = next(row for row in (*PUBLIC, *INTERNAL) if (row.edge, row.path) == (edge, path))
    token = mint.rightful(row, tenant=str(FJALLRESOR.id))
    entries = mint.try_row(row, token, path, params={"limit": 500}).json()["items"]
    shown = [json.loads(entry["body"]) for entry in entries if entry["body"]]
    others = [body for body in shown if body["tenant"] != str(FJALLRESOR.id)]
    assert {(body["tenant"], body["type"]) for body in others} == {(str(UUID(int=0)), SHARED)}
    assert len(shown) < len(entries), "there is more that is not shown"


def test_a_regulator_reads_no_customer_s_events(world: World):
    regulator, house = world.nordtel.machine("regulator"), str(UUID(int=0))
    for service in LEDGERS_IN_PUBLIC:
        entries = regulator.get(f"/ledger/{service}/entries", limit=500).json()["items"]
        shown = [json.loads(entry["body"])["tenant"] for entry in entries if entry["body"]]
        assert set(shown) <= {house} and len(shown) < len(entries), service


def asked(world: World, mint: Mint, row: Row, stranger: str, path: str) -> Any:
    body = CASES[operation(row)].body
    return mint.try_row(row, token_of(world, mint, row, stranger), path, **({"json": body(world)} if body else {}))


def token_of(world: World, mint: Mint, row: Row, stranger: str) -> str:
    # Somebody whom the row is for: who is of another kind is refused before anything is looked up.
    staff = "staff" if row.edge == "internal" and "staff" in row.kinds else "client"
    other = {"kind": staff} if staff in row.kinds else {"kind": "customer", "client_id": "selfservice"}
    return mint.rightful(
        row,
        **{
            "subject": {
                "kind": "customer",
                "client_id": "selfservice",
                "sub": str(world.nordtel.principals["ines"]),
                # Out of a session of her own and just now, so that she is not refused for her login alone.
                "sid": mint.said(world.nordtel.person("ines").token())["sid"],
                "auth_time": int(time.time()),
                "acr": "password",
            },
            "tenant": {**other, "tenant": str(FJALLRESOR.id)},
            "system": {"kind": "client", "client_id": "helpdesk", "sub": "helpdesk"},
            "new tenant": {"kind": staff, "tenant": str(uuid4())},
            "authority": {
                "kind": "client",
                "client_id": "authority-de",
                "sub": "authority-de",
                "tenant": str(PRIVATE.id),
            },
        }[stranger],
    )


def event(world: World, row: Row) -> dict[str, str]:
    return {"event_id": world.events[row.service]} if "{event_id}" in row.path else {}


def unknown(row: Row) -> dict[str, str]:
    """The same path with an id that nobody ever had."""
    last = [part.strip("{}") for part in row.path.split("/") if part.startswith("{")][0]
    return {last: {"authority": "SE-nobody", "notice": "nothing"}.get(last, str(uuid4()))}


def said(answer: Any) -> tuple[int, Any]:
    return answer.status_code, answer.json()


def standing(world: World, mint: Mint) -> Any:
    token = mint.token("public", {"consent.read"})
    url = f"{mint.edges['public']}/v1/standing/{world.ids['principal']}"
    return mint.http.get(url, headers={"authorization": f"Bearer {token}"}).json()
