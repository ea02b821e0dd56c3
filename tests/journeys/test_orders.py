"""Case 11. A German prosecutor's order that no court has validated, and a right holder's order for an address that only the law's copy
knows."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from sample.cases import CASES, PEOPLE
from tests.journeys.eyes import Eyes
from tests.journeys.test_secrecy import approved
from tests.nordtel import Nordtel, until

FACTS = CASES[11].facts
GERMAN = {"kind": "prosecutor", "name": "Staatsanwaltschaft München I"}
ON_ADDRESS = "SELECT id, started_at FROM retained_call_record WHERE host(ip::inet) = $1"


@pytest.fixture(scope="module")
def hugos(nordtel: Nordtel) -> dict[str, dict[str, Any]]:
    """The two orders about Hugo as they were answered, by what they ask for."""
    registered(nordtel, "DE-sta-muenchen", GERMAN["name"], "prosecutor", ["epoc_subscriber", "epoc_traffic"])
    by_post = {"authority": "DE-sta-muenchen", "intake_reference": "dnr 2026/11", "issuer": GERMAN}
    by_post |= {"legal_provision": "Art. 4", "offence": {"max_years": 5}}
    by_post |= {"identifiers": [{"type": "InternationalE164", "value": PEOPLE["hugo"].msisdn}]}
    return {
        category: ordered(nordtel, "intake", by_post, f"epoc_{category}", category)
        for category in ("traffic", "subscriber")
    }


def test_for_traffic_a_prosecutor_alone_is_not_competent(hugos: dict[str, dict[str, Any]]):
    traffic = hugos["traffic"]
    assert traffic["status"] == "Rejected"
    assert [(fault["code"], fault["etsi_code"]) for fault in traffic["errors"]] == [("AUTHORITY_NOT_COMPETENT", 3000)]


def test_for_subscriber_data_the_clock_of_ten_days_runs(hugos: dict[str, dict[str, Any]]):
    subscriber = hugos["subscriber"]
    assert (subscriber["status"], subscriber["errors"]) == ("AwaitingApproval", [])
    left = datetime.fromisoformat(subscriber["due_at"]) - datetime.fromisoformat(subscriber["served_at"])
    assert timedelta(days=10) <= left < timedelta(days=11, hours=2)


async def test_a_right_holder_gets_nothing_of_what_only_the_law_keeps(nordtel: Nordtel, eyes: Eyes):
    [row] = [
        row
        for row in await eyes.rows("calls", ON_ADDRESS, FACTS["retention_only_ip"])
        if row["id"] == FACTS["retention_only_call"]
    ]
    at = row["started_at"].isoformat()
    wish = {"issuer": {"kind": "court", "name": "Patent- och marknadsdomstolen"}, "legal_provision": "URL 53 c §"}
    wish |= {"identifiers": [{"type": "IPv4Address", "value": FACTS["retention_only_ip"], "at": at}]}
    registered(nordtel, "SE-pmd", "Patent- och marknadsdomstolen", "court", ["right_holder_information"])
    wish |= {"authority": "SE-pmd", "intake_reference": "dnr 2026/12"}
    order = approved(nordtel, ordered(nordtel, "intake", wish, "right_holder_information", "subscriber"))
    collector, path = nordtel.person("collector"), f"/v1/orders/{order['order']}"
    collector.post(f"{path}/collection")
    done = until("the end of the collection", lambda: over(collector.get(path).json()))
    assert [(task["status"], task["reason"], task["rows"]) for task in done["tasks"]] == [
        ("DisclosureNotAvailable", "NO_DATA", 0)
    ]
    assert done["package"] is None


def registered(nordtel: Nordtel, id: str, name: str, kind: str, instruments: list[str]) -> None:
    """An office that has no system of ours: its orders come by post."""
    office = {
        "id": id,
        "name": name,
        "country": id[:2],
        "kind": kind,
        "clients": [],
        "instruments": instruments,
        "jwks": {"keys": [nordtel.cast.key("authority-se").as_dict(private=False)]},
        "encryption_key": nordtel.cast.key("authority-se.enc").as_dict(private=False),
        "callback_number": "+498955970",
        "expires_at": (nordtel.now() + timedelta(days=365)).isoformat(),
    }
    nordtel.person("intake").post("/v1/authorities", office)
    nordtel.person("approver1").post(f"/v1/authorities/{id}/confirmation")


def ordered(nordtel: Nordtel, who: str, wish: dict[str, Any], instrument: str, category: str) -> dict[str, Any]:
    now = nordtel.now()
    asked = {
        "instrument": instrument,
        "reference": f"B {uuid4().hex[:8]}",
        "served_at": (now - timedelta(minutes=1)).isoformat(),
        "period": {"from": (now - timedelta(days=60)).isoformat(), "to": (now - timedelta(minutes=1)).isoformat()},
        "tasks": [{"kind": "LD", "category": category}],
    }
    return nordtel.person(who).post("/v1/orders", asked | wish).json()


def over(order: dict[str, Any]) -> dict[str, Any] | None:
    return order if all(task["status"] == "DisclosureNotAvailable" for task in order["tasks"]) else None
