"""Case 6. Cilla talks with two companies at once and takes her consent back from both: the one with a duty of law to record goes on and
says why, its neighbour is told to stop within a second."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from sample.cases import AGENTS, CASES, FJALLRESOR, KUSTBANKEN, PEOPLE, Tenant
from tests.nordtel import Nordtel
from tests.patience import busy

FACTS = CASES[6].facts
WORDS = {"title": "Samtal", "body": "Vi spelar in.", "rights": "Du kan återkalla.", "consequence": "Ingen."}


@dataclass
class Line:
    """A recorded call of hers with one company. told, seconds: what its call server heard after the withdrawal was acknowledged, and
    how long after it was sent."""

    begun: dict[str, Any]
    after: dict[str, Any]
    told: list[dict[str, Any]]
    seconds: float


@pytest.fixture(scope="module")
def lines(nordtel: Nordtel) -> dict[str, Line]:
    return {str(tenant.id): line(nordtel, tenant) for tenant in (KUSTBANKEN, FJALLRESOR)}


def test_the_company_with_a_duty_goes_on_and_says_by_which_law(lines: dict[str, Line]):
    kept = lines[str(FACTS["recording_goes_on"])]
    assert (kept.after["recording"], kept.after["reason"]) == (True, "tenant_legal_obligation")
    assert kept.after["legal_ref"].startswith("Lag (2007:528)")
    assert [told["type"] for told in kept.told] == ["recording.kept"]


def test_its_neighbour_is_told_to_stop_within_a_second(lines: dict[str, Line]):
    stopped = lines[str(FACTS["recording_stops"])]
    assert stopped.begun["recording"] and not stopped.after["recording"]
    assert [(told["type"], told["data"]["reason"]) for told in stopped.told] == [("recording.stop", "withdrawn")]
    assert stopped.seconds < busy()


def line(nordtel: Nordtel, tenant: Tenant) -> Line:
    server, company = nordtel.machine("callserver", tenant=tenant.id), nordtel.machine("seeder", tenant=tenant.id)
    notice = {"notice": "announcement", "channel": "ivr", "texts": {"sv": WORDS}, "controller": tenant.name}
    told_of = [{"purpose": "communication", "categories": ["recorded_call"]}]
    company.post("/v1/notices", notice | {"purposes": told_of, "withdrawal_url": "https://nordtel.example/samtycke"})
    agent = next(agent for agent in AGENTS.values() if agent.tenant is tenant)
    people = [known(nordtel, tenant, number) for number in (PEOPLE["cilla"].msisdn, agent.msisdn)]
    for who in people:
        wish = {"purpose": "communication", "notice": "announcement", "notice_version": 1, "principal": str(who)}
        company.post("/v1/consents", wish)
    parties = [{"principal": str(who), "role": role} for who, role in zip(people, ("caller", "agent"), strict=True)]
    begun = server.post("/v1/calls", {"call": str(uuid4()), "participants": parties}).json()
    after = server.get("/v1/changes", wait=0).json()["next"]
    sent = time.monotonic()
    company.post("/v1/withdrawals", {"purpose": "communication", "principal": str(people[0])})
    told: list[dict[str, Any]] = []
    while not told:
        page = server.get("/v1/changes", after=after, wait=10).json()
        told = [each for each in page["items"] if each["data"].get("call") == begun["call"]]
        after = page["next"]
    took = time.monotonic() - sent
    return Line(begun, server.get(f"/v1/calls/{begun['call']}").json(), told, took)


def known(nordtel: Nordtel, tenant: Tenant, number: str) -> UUID:
    named = {"identifiers": [{"type": "msisdn", "value": f"+{number}"}]}
    seeder = nordtel.machine("seeder", "internal", tenant.id)
    return UUID(seeder.post("/v1/principals", named).json()["principal"])
