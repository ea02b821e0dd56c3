"""What somebody else must not reach: Hugo's consent, request and endpoint, an authority's order and its package, a sweep."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid4

from ops.catalogue import SERVICES, Process
from ops.home import ROOT
from sample.actors import Actor
from sample.cases import FJALLRESOR, KUSTBANKEN, PRIVATE
from sample.seeding import NOTICE
from tests.nordtel import Nordtel, until

CALL = "SELECT caller, started_at FROM call_record WHERE id >= 1000000 AND started_at < now() - interval '1 day' ORDER BY started_at DESC LIMIT 1"


GRANT = {
    "person": str(uuid4()),
    "role": "technician",
    "facility": "dc_stockholm",
    "areas": ["hall_a"],
    "purpose": "maintaining_service",
    "justification": "Changes a broken disk.",
    "valid_to": (datetime.now(UTC) + timedelta(days=300)).isoformat(),
}
BREACH = {
    "aware_at": "2026-01-02T00:00:00Z",
    "statement": {
        "title": "Backup tape lost",
        "facts": "A tape did not arrive.",
        "effects": "None expected.",
        "remedies": "A search is on.",
        "occurred_from": "2026-01-01T00:00:00Z",
        "categories": ["traffic"],
        "risk": "none",
        "as_controller": True,
    },
}
ASSESSMENT = {
    "kind": "lia",
    "title": "Monitoring of abuse",
    "purposes": ["information_security"],
    "status": "planned",
    "owner": "privacy office",
    "document": "archive/lia-1",
    "started_on": "2026-01-01",
}
CLEARANCE = {
    "person": str(uuid4()),
    "clearance": "us_citizenship",
    "evidence": "vetting file 1",
    "valid_to": "2099-01-01T00:00:00Z",
}
CONTRACT = {
    "reference": "A-1",
    "customer": str(KUSTBANKEN.id),
    "name": KUSTBANKEN.name,
    "services": ["fixed"],
    "objection_window": "30 days",
    "source": "house: agreements",
}
ADDITION = {
    "kind": "addition",
    "subprocessor": "meddelanden",
    "row": {
        "key": "meddelanden",
        "legal_name": "Meddelanden GmbH",
        "purpose": {"sv": "SMS-avisering", "en": "SMS notification"},
        "places": ["de"],
        "services": ["fixed"],
        "covers": ["participants"],
        "source": "house: purchase",
    },
    "reason": {"sv": "Bättre leverans", "en": "Better delivery"},
    "effective_on": "2099-01-01",
}
# What the registry shows every organisation of the house's own: which book is in force.
SHARED = "policy.in_force"


@dataclass(frozen=True)
class World:
    """Ids of things as they stand in paths, by the name of their place there · order: as it was placed · events: one by service."""

    nordtel: Nordtel
    ids: dict[str, str]
    order: dict[str, Any]
    events: dict[str, str]

    @classmethod
    async def make(cls, nordtel: Nordtel) -> Self:
        hugo, helpdesk = nordtel.person("hugo"), nordtel.machine("helpdesk")
        # Nobody listens there: its deliveries wait, and can be replayed.
        endpoint = helpdesk.post("/v1/endpoints", {"url": "http://127.0.0.1:9/hook"}).json()["endpoint"]
        given = hugo.post("/v1/consents", {"purpose": "communication", "notice": NOTICE, "notice_version": 1}).json()
        asked = hugo.post("/v1/requests", {"kind": "deletion"}).json()["request"]
        until("preview", lambda: hugo.get(f"/v1/requests/{asked}").json()["state"] == "previewed")
        call = str(uuid4())
        nordtel.machine("callserver", tenant=PRIVATE.id).post(
            "/v1/calls", {"call": call, "participants": [{"principal": None, "role": "caller"}]}
        )
        wish, order, package = await _disclosed(nordtel)
        change, objection = _objection(nordtel)
        manager = nordtel.person("access1")
        ids = {
            "notice": NOTICE,
            "version": "1",
            "record": given["record"],
            "principal": str(nordtel.principals["hugo"]),
            "purpose": "communication",
            "call": call,
            "name": nordtel.machine("seeder", tenant=PRIVATE.id)
            .post("/v1/imports", {"source": "old.csv"})
            .json()["name"],
            "number": "0",
            "client": "api-consumer",
            "request_id": asked,
            "endpoint": endpoint,
            "delivery": until("delivery", lambda: _delivery(helpdesk, endpoint)),
            "authority": nordtel.person("intake").get("/v1/authorities").json()["items"][0]["id"],
            "order": order,
            "package": package,
            "month": "2026-11",
            "year": "2025",
            "file": hugo.post(f"/v1/requests/{asked}/evidence", {"content": "JVBERi0xLjcKMQ=="}).json()["file"],
            "mandate_id": _mandate(nordtel),
            "operator": "sydtel",
            "reception": _reception(nordtel, hugo),
            "part": "0",
            "letter": _letter(nordtel, asked),
            "task_id": _task(nordtel, hugo),
            "step": await _step(nordtel, asked),
            "proposal": _proposal(nordtel),
            "grant": manager.post("/v1/access/grants", GRANT).json()["id"],
            "breach": nordtel.person("privacy").post("/v1/breaches", BREACH).json()["id"],
            "clock": "telecom",
            "reference": nordtel.person("privacy").put("/v1/assessments/LIA-1", ASSESSMENT).json()["reference"],
            "clearance": manager.post("/v1/access/clearances", CLEARANCE).json()["id"],
            "review": manager.post("/v1/access/reviews").json()["id"],
            # Nobody's: without a provider of electronic identities the house looks at no account.
            "account": str(uuid4()),
            "tenant": str(FJALLRESOR.id),
            "change": change,
            "customer": str(KUSTBANKEN.id),
            "objection": objection,
            "kind": "not_in_stores",
            "about": "cctv_image",
            "sweep": nordtel.person("operations").post("/v1/sweeps", {"stores": []}).json()["sweep"],
        }
        return cls(nordtel, ids, wish, {service.name: await _event(nordtel, service) for service in SERVICES})

    def path(self, path: str, **instead: str) -> str:
        for name, value in (self.ids | instead).items():
            path = path.replace(f"{{{name}}}", value)
        return path


def _proposal(nordtel: Nordtel) -> str:
    """A book for some day, which nobody approves."""
    changes = (
        ('version: "2026.1"', 'version: "2031.1"'),
        ("valid_from: 2024-01-01\nzone", "valid_from: 2031-01-01\nzone"),
    )
    file = (ROOT / "policy" / "book.yaml").read_text()
    for old, new in changes:
        file = file.replace(old, new)
    wish = {"file": file, "reason": "to be looked at by others"}
    return nordtel.person("privacy").post("/v1/policy/proposals", wish).json()["proposal"]


def _objection(nordtel: Nordtel) -> tuple[str, str]:
    """A change of sub-processors that only Kustbanken was told of, and what it objected."""
    officer, contact = nordtel.person("privacy"), nordtel.person("privacy.kustbanken")
    officer.post("/v1/contracts", CONTRACT)
    change = officer.post("/v1/subprocessor-changes", ADDITION).json()["change"]
    path = f"/v1/subprocessor-changes/{change}"
    officer.post(f"{path}/notice")
    until("open window", lambda: officer.get(f"/staff{path}").json()["status"] == "objection_open")
    said = contact.post(f"{path}/objections", {"grounds": "other", "statement": "Vi säger nej"}).json()
    return change, said["objection"]


def _mandate(nordtel: Nordtel) -> str:
    wish = {
        "principal": str(nordtel.principals["hugo"]),
        "agent": str(nordtel.principals["bo"]),
        "kinds": ["access"],
        "evidence": {"method": "id_document"},
    }
    return nordtel.person("helpdesk").post("/staff/v1/mandates", wish).json()["mandate"]


def _reception(nordtel: Nordtel, person: Actor) -> str:
    """What may come from another operator, which nobody brings."""
    said = person.get("/v1/portability").json()
    wish = {"name": "Sydtel", "url": "http://127.0.0.1:9", "signing": said["signing"], "sealing": said["sealing"]}
    nordtel.person("privacy").put("/staff/v1/operators/sydtel", wish)
    return person.post("/v1/receptions", {"operator": "sydtel"}).json()["reception"]


def _letter(nordtel: Nordtel, request: str) -> str:
    """What Hugo was asked about his request."""
    wish = {"about": "clarification", "text": {"sv": "Vilket nummer?", "en": "Which number?"}}
    helpdesk = nordtel.person("helpdesk")
    helpdesk.post(f"/staff/v1/requests/{request}/questions", wish)
    return helpdesk.get(f"/staff/v1/requests/{request}/letters").json()["items"][0]["letter"]


def _task(nordtel: Nordtel, person: Actor) -> str:
    """A complaint that waits for somebody's decision."""
    request = person.post("/v1/requests", {"kind": "complaint", "text": "Ni svarar inte"}).json()["request"]
    officer = nordtel.person("privacy")
    return until(
        "task",
        lambda: next(
            (t["task"] for t in officer.get("/staff/v1/tasks").json()["items"] if t["request"] == request), None
        ),
    )


async def _disclosed(nordtel: Nordtel) -> tuple[dict[str, Any], str, str]:
    """An order of the Swedish authority about one call of somebody of the crowd, carried out up to its sealed package."""
    connection = await nordtel.stack.postgres.connect("sample_calls")
    try:
        call = await connection.fetchrow(CALL)
    finally:
        await connection.close()
    begin, end = call["started_at"] - timedelta(minutes=1), call["started_at"] + timedelta(minutes=1)
    wish: dict[str, Any] = {
        "instrument": "se_secret_surveillance",
        "reference": f"A {uuid4().hex[:8]}",
        "issuer": {"kind": "prosecutor", "name": "Åklagarmyndigheten, Stockholm"},
        "legal_provision": "RB 27 kap. 19 §",
        "served_at": nordtel.now().isoformat(),
        "period": {"from": begin.isoformat(), "to": end.isoformat()},
        "identifiers": [{"type": "InternationalE164", "value": call["caller"]}],
        "tasks": [{"kind": "LD", "category": "traffic"}],
    }
    order = nordtel.machine("authority-se", "internal").post("/v1/orders", wish).json()
    assert order["errors"] == []
    for approver in ("approver1", "approver2"):
        approval = {"order_hash": order["order_hash"], "verdict": "approve"}
        nordtel.person(approver).post(f"/v1/orders/{order['order']}/reviews", approval)
    collector = nordtel.person("collector")
    collector.post(f"/v1/orders/{order['order']}/collection")
    packages = until("sealed package", lambda: collector.get(f"/v1/orders/{order['order']}/packages").json()["items"])
    return wish, order["order"], packages[0]["package"]


async def _step(nordtel: Nordtel, request: str) -> str:
    """A step of the anonymizer that was done for Hugo's request."""
    connection = await nordtel.stack.postgres.connect("wardline")
    try:
        return str(
            await connection.fetchval("SELECT id FROM rights.request_step WHERE request = $1::uuid", UUID(request))
        )
    finally:
        await connection.close()


async def _event(nordtel: Nordtel, service: Process) -> str:
    """Something in the service's ledger that is not Fjällresor's, nor for everybody."""
    connection = await nordtel.stack.postgres.connect(service.database or "")
    query = f"""
SELECT event_id FROM {service.name}.ledger_entry JOIN {service.name}.event e ON e.id = event_id
WHERE e.tenant <> $1 AND e.type <> $2 LIMIT 1"""
    try:
        return str(await connection.fetchval(query, FJALLRESOR.id, SHARED))
    finally:
        await connection.close()


def _delivery(helpdesk: Actor, endpoint: str) -> str | None:
    waiting = helpdesk.get("/v1/deliveries", endpoint=endpoint).json()["items"]
    return waiting[0]["delivery"] if waiting else None
