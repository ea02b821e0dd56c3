"""What the house does by each kind of row that something executes, seen over the edges; the same looks before a change and after.
(Retention has tests of its own beside these: what a sweep would take is counted.)

A look may ask for something that is refused, or that leaves a request nobody answers: it never touches what other acts are about.
"""

import json
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import uuid4

import httpx2

from sample.actors import Actor
from sample.cases import PEOPLE, PRIVATE
from tests.nordtel import Nordtel, until

_TEXT = {"sv": "Enligt uppgift.", "en": "As stated."}


class Looks:
    """One look at everything; `person`: a customer whose own data the other acts leave alone."""

    def __init__(self, nordtel: Nordtel, person: str) -> None:
        self.nordtel, self.person = nordtel, nordtel.person(person)
        self.privacy, self.access, self.helpdesk = map(nordtel.person, ("privacy", "access1", "helpdesk"))

    def at_everything(self) -> dict[str, Any]:
        return {kind: getattr(self, kind)() for kind in SEEN}

    # --- the breach register's clocks and forms ---

    @cached_property
    def breach(self) -> dict[str, Any]:
        now = self.nordtel.now()
        statement = {
            "title": "Backup tape lost in transport",
            "facts": "An encrypted tape did not arrive.",
            "effects": "None expected.",
            "remedies": "A search is on.",
            "occurred_from": (now - timedelta(days=1)).isoformat(),
            "categories": ["traffic"],
            "risk": "risk",
            "as_controller": True,
        }
        wish = {"aware_at": (now - timedelta(hours=1)).isoformat(), "statement": statement}
        return self.privacy.post("/v1/breaches", wish).json()

    @cached_property
    def form(self) -> dict[str, Any]:
        return self.privacy.get(f"/v1/breaches/{self.breach['id']}/forms/data_protection", lang="en").json()

    def controller(self) -> bool:
        return "Exempelgatan 2" in str(self.form["fields"])

    def authorities(self) -> bool:
        return "Box 9999" in self.form["recipient"]

    def breach_clocks(self) -> list[str]:
        return sorted(clock["clock"] for clock in self.breach["clocks"])

    def limits(self) -> float:
        due = next(clock["due_at"] for clock in self.breach["clocks"] if clock["clock"] == "telecom")
        return round(hours(due) - hours(self.breach["aware_at"]))

    # --- what call servers decide by ---

    @cached_property
    def grounds(self) -> dict[tuple[str, str], list[Any]]:
        """(purpose, element) → [basis, objection, content] of the signed snapshot."""
        server = self.nordtel.machine("callserver", tenant=PRIVATE.id)
        first = json.loads(server.get("/v1/snapshot").text.partition("\n")[0])
        return {(row[0], row[1]): row[2:5] for row in first["grounds"]}

    def categories(self) -> bool:
        return self.grounds["maintaining_service", "quality_measures"][2]

    def purposes(self) -> str:
        return self.grounds["development", "website_visit"][1]

    def bases(self) -> str:
        return self.grounds["development", "usage_statistics"][0]

    def withdrawals(self) -> list[str]:
        return sorted(self.person.get("/v1/consequences/communication").json()["erased"])

    def api_scopes(self) -> int:
        number = {"phoneNumber": f"+{PEOPLE['nadia'].msisdn}"}
        asked = number | {
            "scopes": ["usage-insights:read"],
            "purpose": "dpv:ServiceOptimisation",
            "requestCaptureUrl": False,
        }
        consumer = self.nordtel.machine("api-consumer")
        return consumer.try_to("POST", "/consent-info/v0.2/retrieve", json=asked).status_code

    # --- what becomes of data in the stores ---

    def conditions(self) -> str:
        return next(row["reason"]["en"] for row in self.kept if row["rule"] == "agreement_data.agreement_running")

    @cached_property
    def kept(self) -> list[dict[str, Any]]:
        preview = {"verb": "preview", "store": "billing", "principal": str(self.nordtel.principals["lars"])}
        step = self._anonymizer("PUT", f"/v1/steps/{uuid4()}", preview)
        return step["outcomes"]

    def _anonymizer(self, method: str, path: str, body: Any) -> dict[str, Any]:
        rights = self.nordtel.process("rights", "anonymizer", PRIVATE.id)
        return rights.send(method, path, json=body, headers={"idempotency-key": str(uuid4())}).json()

    # --- who processes data, and where ---

    def subprocessors(self) -> list[str]:
        told = self.privacy.get("/staff/v1/subprocessors", service="mobile").json()["items"]
        return sorted(row["key"] for row in told)

    def services(self) -> int:
        wish = {
            "reference": f"A-{uuid4().hex[:8]}",
            "customer": str(uuid4()),
            "name": "Kustbanken AB",
            "services": ["satellite"],
            "objection_window": "30 days",
            "source": "house: a look",
        }
        return self._tried("POST", "/v1/contracts", wish)

    def places(self) -> int:
        row = {
            "key": f"look_{uuid4().hex[:8]}",
            "legal_name": "Looking Glass Ltd",
            "purpose": _TEXT,
            "places": ["gb"],
            "covers": ["participants"],
            "source": "house: a look",
        }
        transfer = {
            "subprocessor": row["key"],
            "place": "gb",
            "mechanism": "scc",
            "module": "2",
            "source": "house: a look",
        }
        wish = {"kind": "addition", "subprocessor": row["key"], "row": row, "transfers": [transfer], "reason": _TEXT}
        day = (self.nordtel.now() + timedelta(days=60)).date()
        return self._tried("POST", "/v1/subprocessor-changes", wish | {"effective_on": str(day)})

    def transfers(self) -> list[str]:
        return self._due("twilio/us")

    def adequacy(self) -> list[str]:
        """Somebody said that a transfer rests on the decision: until it ends, nothing is due of it."""
        day = self.nordtel.now().date()
        lawful = {
            "subprocessor": "google",
            "place": "us",
            "mechanism": "adequacy",
            "decision": "data_privacy_framework",
            "listed_on": str(day),
            "review_at": "2099-01-01",
            "corrects": True,
            "source": "house: a look",
        }
        assert self._tried("POST", "/v1/transfers", lawful) == 201
        return self._due("google/us")

    def _due(self, key: str) -> list[str]:
        items = self.privacy.get("/staff/v1/transfers").json()["items"]
        return [each["reason"] for row in items if row["key"] == key for each in row["due"]]

    # --- what a person may ask ---

    @cached_property
    def review(self) -> dict[str, Any]:
        """Somebody without a login asks by telephone for human review of a decision."""
        customer = {"type": "customer", "value": f"K9{self.nordtel.now():%H%M%S}"}
        wish = {
            "kind": "human_review",
            "channel": "telephone",
            "text": "Ett beslut om mitt abonnemang.",
            "identifiers": [customer],
            "evidence": {"method": "call_back"},
        }
        return self.helpdesk.post("/staff/v1/requests", wish).json()

    def rights(self) -> bool:
        """Whether the answer is due within three weeks."""
        told = self.helpdesk.get(f"/staff/v1/requests/{self.review['request']}").json()
        return date.fromisoformat(told["due_on"]) <= self.nordtel.now().date() + timedelta(weeks=3)

    def assurances(self) -> str:
        """A complaint by one who logged in with a password."""
        answer = self.person.try_to(
            "POST",
            "/v1/requests",
            json={"kind": "complaint", "text": "Jag är missnöjd."},
            headers={"idempotency-key": str(uuid4())},
        )
        return "urn:bankid" if "urn:bankid" in answer.text else f"{answer.status_code}"

    def representations(self) -> int:
        """A guardian of somebody who is fifteen and was not asked."""
        today = self.nordtel.now().date()
        wish = {
            "principal": str(uuid4()),
            "agent": str(uuid4()),
            "kinds": ["access"],
            "basis": "guardian",
            "papers": ["population_register"],
            "born": (today - timedelta(days=15 * 365 + 100)).isoformat(),
            "evidence": {"method": "id_document"},
        }
        return self._tried("POST", "/staff/v1/mandates", wish, self.helpdesk)

    def refusals(self) -> int:
        request = self.review["request"]
        task = until("task", lambda: [t for t in self._tasks() if t["request"] == request])[0]
        wish = {"verdict": "refused", "reason": "no_such_decision", "text": _TEXT}
        return self._tried("POST", f"/staff/v1/tasks/{task['task']}/proposal", wish)

    def _tasks(self) -> list[dict[str, Any]]:
        return self.privacy.get("/staff/v1/tasks", limit=500).json()["items"]

    def extensions(self) -> int:
        """For a reason that the first book does not have."""
        return self._extended("archive")

    def clauses(self) -> bool:
        """The letter that tells of an extension says how to complain."""
        self._extended("complexity")
        path = f"/staff/v1/requests/{self.review['request']}/letters"
        [letter] = [one for one in self.helpdesk.get(path).json()["items"] if one["template"] == "extension"]
        return "och gå till domstol." in letter["body"]

    def _extended(self, reason: str) -> int:
        path = f"/staff/v1/requests/{self.review['request']}/extension"
        return self._tried("POST", path, {"reason": reason, "text": _TEXT}, self.helpdesk)

    # --- what an authority may order ---

    @cached_property
    def order(self) -> set[tuple[str, str]]:
        """(code, path) of everything that is wrong with one order; it asks for more than its instrument allows."""
        now = self.nordtel.now()
        wish = {
            "instrument": "se_intelligence",
            "reference": f"B {uuid4().hex[:8]}",
            "issuer": {"kind": "prosecutor", "name": "Åklagarmyndigheten, Uppsala"},
            "legal_provision": "Lag (2012:278)",
            "served_at": (now - timedelta(minutes=1)).isoformat(),
            "period": {"from": (now - timedelta(days=20)).isoformat(), "to": (now - timedelta(minutes=1)).isoformat()},
            "identifiers": [{"type": "InternationalE164", "value": PEOPLE["nadia"].msisdn}],
            "tasks": [{"kind": "LD", "category": "subscriber"}, {"kind": "LD", "category": "identification"}],
        }
        told = self.nordtel.machine("authority-se", "internal").post("/v1/orders", wish).json()
        return {(error["code"], error["path"]) for error in told["errors"]}

    def instruments(self) -> bool:
        return ("AUTHORITY_NOT_COMPETENT", "tasks.0.category") in self.order

    def order_categories(self) -> bool:
        return ("CONTROLLER_FIRST", "tasks.1.category") in self.order

    # --- who gets in ---

    def systems(self) -> int:
        return self._asked(system="roaming")

    def facilities(self) -> int:
        return self._asked(facility="dc_stockholm", areas=["hall_c"])

    def regions(self) -> int:
        """Nobody recorded a clearance of this person: where the region asks for one, the approval is refused."""
        granted = self.access.post("/v1/access/grants", self._wish(facility="dc_virginia", areas=["cage_12"])).json()
        decision = {"approve": True, "reason": "Needed for the work there."}
        return self._tried(
            "POST", f"/v1/access/grants/{granted['id']}/decision", decision, self.nordtel.person("access2")
        )

    def clearances(self) -> int:
        until_then = (self.nordtel.now() + timedelta(days=90)).isoformat()
        wish = {"person": str(uuid4()), "clearance": "background", "evidence": "file 17", "valid_to": until_then}
        return self._tried("POST", "/v1/access/clearances", wish, self.access)

    def _asked(self, **where: Any) -> int:
        return self._tried("POST", "/v1/access/grants", self._wish(**where), self.access)

    def _wish(self, **where: Any) -> dict[str, Any]:
        return {
            "person": str(uuid4()),
            "role": "technician",
            "purpose": "maintaining_service",
            "justification": "Replaces a line card there.",
            "valid_to": (self.nordtel.now() + timedelta(days=2)).isoformat(),
        } | where

    def _tried(self, method: str, path: str, body: Any, who: Actor | None = None) -> int:
        answer: httpx2.Response = (who or self.privacy).try_to(
            method, path, json=body, headers={"idempotency-key": str(uuid4())}
        )
        return answer.status_code


def hours(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp() / 3600


# kind → what is seen by the first book, and by the changed one.
SEEN: dict[str, tuple[Any, Any]] = {
    "controller": (False, True),
    "authorities": (False, True),
    "services": (422, 201),
    "categories": (False, True),
    "purposes": ("weighed", "absolute"),
    "bases": ("legitimate_interest", "consent"),
    "api_scopes": (200, 403),
    "withdrawals": (["helpdesk_recording", "recorded_call"], ["helpdesk_recording"]),
    "conditions": ("The agreement is running", "An agreement is running"),
    "places": (422, 201),
    "subprocessors": (["microsoft"], []),
    "adequacy": ([], ["decision_not_in_force"]),
    "transfers": (["mechanism_not_stated"], []),
    "rights": (False, True),
    "extensions": (409, 200),
    "refusals": (409, 200),
    "assurances": ("201", "urn:bankid"),
    "representations": (409, 201),
    "order_categories": (False, True),
    "instruments": (True, False),
    "limits": (24, 20),
    "clauses": (False, True),
    "clearances": (409, 201),
    "regions": (409, 200),
    "facilities": (409, 201),
    "systems": (409, 201),
    "breach_clocks": (
        ["data_protection", "telecom", "telecom_supplement"],
        ["data_protection", "subjects", "telecom", "telecom_supplement"],
    ),
}
