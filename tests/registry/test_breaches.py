"""The breach, DPIA and LIA registers over HTTP: facts kept, every clock by the book's rows, forms filled in, reminders in time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.days import today
from tests.registry.desk import Desk

SCOPES = "breach.read breach.write assessment.read assessment.write"
TENANT = str(uuid4())
HOUR = timedelta(hours=1)


def ago(hours: float = 0, days: float = 0) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours, days=days)


def statement(**bent: Any) -> dict[str, Any]:
    usual = {
        "title": "Backup tape lost in transport",
        "facts": "An encrypted tape did not arrive.",
        "effects": "None expected: the key is elsewhere.",
        "remedies": "Transport stopped; a search is on.",
        "occurred_from": ago(days=2).isoformat(),
        "categories": ["traffic"],
        "risk": "risk",
        "as_controller": True,
        "tenants": [],
    }
    return usual | bent


async def send(desk: Desk, method: str, path: str, body: Any = None) -> Any:
    answer = await desk.send(desk.asks, method, path, body, scopes=SCOPES)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def refused(desk: Desk, method: str, path: str, body: Any) -> tuple[int, str]:
    answer = await desk.send(desk.asks, method, path, body, scopes=SCOPES)
    return answer.status_code, answer.json()["code"]


async def reported(desk: Desk, aware: datetime | None = None, **bent: Any) -> dict[str, Any]:
    aware_at = (aware or ago(hours=1)).isoformat()
    return await send(desk, "POST", "/v1/breaches", {"aware_at": aware_at, "statement": statement(**bent)})


def clock_of(breach: dict[str, Any], key: str, tenant: str | None = None) -> dict[str, Any]:
    return next(one for one in breach["clocks"] if (one["clock"], one["tenant"]) == (key, tenant))


def due(breach: dict[str, Any], key: str, tenant: str | None = None) -> datetime:
    return datetime.fromisoformat(clock_of(breach, key, tenant)["due_at"])


async def tell(desk: Desk, breach: dict[str, Any], clock: str, told_at: datetime, tenant: str | None = None) -> Any:
    notice = {"clock": clock, "told_at": told_at.isoformat(), "reference": "D 17"} | (
        {"organisation": tenant} if tenant else {}
    )
    return await send(desk, "POST", f"/v1/breaches/{breach['id']}/notices", notice)


async def test_each_duty_to_tell_has_the_clock_that_the_book_gives_it(desk: Desk):
    aware = ago(hours=1)
    breach = await reported(desk, aware, risk="high", tenants=[TENANT])
    assert {one["clock"] for one in breach["clocks"]} == {
        *("telecom", "telecom_supplement", "data_protection", "tenant", "subjects")
    }
    assert due(breach, "telecom") - aware == 24 * HOUR
    assert due(breach, "data_protection") - aware == 72 * HOUR
    assert due(breach, "tenant", TENANT) - aware == 24 * HOUR
    assert {one["state"] for one in breach["clocks"]} == {"running"}


@pytest.mark.parametrize(
    ("bent", "clocks"),
    [
        ({"risk": "none"}, {"telecom", "telecom_supplement"}),
        ({"risk": "risk"}, {"telecom", "telecom_supplement", "data_protection"}),
        ({"as_controller": False, "tenants": [TENANT]}, {"tenant"}),
    ],
    ids=["no risk", "risk", "processor"],
)
async def test_who_is_told_follows_from_the_risk_and_from_whose_data_it_is(desk: Desk, bent: dict, clocks: set):
    assert {one["clock"] for one in (await reported(desk, **bent))["clocks"]} == clocks


async def test_the_supplement_counts_from_the_first_notice(desk: Desk):
    breach = await reported(desk, ago(hours=20))
    at_the_latest = due(breach, "telecom_supplement")
    told = ago(hours=10)
    breach = await tell(desk, breach, "telecom", told)
    assert clock_of(breach, "telecom")["state"] == "met"
    supplement = due(breach, "telecom_supplement")
    assert supplement <= at_the_latest and 3 * 24 * HOUR <= supplement - told <= 4 * 24 * HOUR


async def test_a_notice_too_late_is_shown_as_late_and_one_too_many_is_refused(desk: Desk):
    breach = await reported(desk, ago(hours=30))
    assert clock_of(breach, "telecom")["state"] == "overdue"
    breach = await tell(desk, breach, "telecom", ago(hours=1))
    assert clock_of(breach, "telecom")["state"] == "met_late"
    path = f"/v1/breaches/{breach['id']}/notices"
    again = {"clock": "telecom", "told_at": ago().isoformat(), "reference": "D 18"}
    assert await refused(desk, "POST", path, again) == (409, "request.conflict")
    assert await refused(desk, "POST", path, again | {"clock": "subjects"}) == (409, "registry.not_concerned")
    assert await refused(
        desk, "POST", path, again | {"clock": "telecom_supplement", "told_at": ago(hours=-1).isoformat()}
    ) == (*(409, "registry.breach_refused"),)


async def test_what_is_known_changes_and_nothing_that_was_said_is_lost(desk: Desk):
    breach = await reported(desk)
    path = f"/v1/breaches/{breach['id']}"
    stated = await send(desk, "POST", f"{path}/statements", statement(risk="high", facts="The key was on the tape."))
    assert stated["statements"] == 2 and stated["statement"]["facts"] == "The key was on the tape."
    assert "subjects" in {one["clock"] for one in stated["clocks"]}
    assert await desk.told("breach.stated", breach=breach["id"])


async def test_a_breach_is_closed_when_everybody_has_been_told_and_not_before(desk: Desk):
    breach = await reported(desk, as_controller=False, tenants=[TENANT])
    closing = f"/v1/breaches/{breach['id']}/closing"
    conclusion = {"conclusion": "The tape was found."}
    assert await refused(desk, "POST", closing, conclusion) == (409, "registry.breach_refused")
    await tell(desk, breach, "tenant", ago(), TENANT)
    assert (await send(desk, "POST", closing, conclusion))["closed_at"]
    assert await refused(desk, "POST", closing, conclusion) == (409, "registry.breach_closed")
    late = await refused(desk, "POST", f"/v1/breaches/{breach['id']}/statements", statement())
    assert late == (409, "registry.breach_closed")


async def test_reminders_come_before_each_end_and_once_when_it_has_passed(desk: Desk):
    breach = await reported(desk, ago(hours=17))
    assert not [one for one in breach["clocks"] if one["state"] == "overdue"]
    desk.move(2 / 24)
    (ahead,) = await desk.told("breach.reminder", breach=breach["id"], clock="telecom")
    assert datetime.fromisoformat(ahead["due_at"]) == due(breach, "telecom")
    desk.move(8 / 24)
    assert len(await desk.told("breach.overdue", breach=breach["id"], clock="telecom")) == 1
    assert len(await desk.told("breach.reminder", breach=breach["id"], clock="telecom")) == 1


async def test_the_form_says_what_is_known_in_both_languages_and_names_what_is_missing(desk: Desk):
    breach = await reported(desk, subjects=120, risk="high", tenants=[TENANT])
    path = f"/v1/breaches/{breach['id']}/forms"
    swedish = await send(desk, "GET", f"{path}/data_protection")
    english = await send(desk, "GET", f"{path}/data_protection?lang=en")
    assert "IMY" in swedish["recipient"] and swedish["due_at"] == clock_of(breach, "data_protection")["due_at"]
    said = {one["label"]: one["value"] for one in english["fields"]}
    assert said["What happened"] == breach["statement"]["facts"] and said["Number of people concerned"] == "120"
    assert said["Risk as assessed"] == "High risk" and "Nordtel" in said["Notified by"]
    assert english["missing"] == ["Number of records concerned"] and swedish["missing"] == ["Antal berörda poster"]
    theirs = await send(desk, "GET", f"{path}/tenant?tenant={TENANT}")
    assert "Redan underrättade" not in {one["label"] for one in theirs["fields"]}
    text = await desk.send(desk.asks, "GET", f"{path}/telecom?format=text", scopes=SCOPES)
    assert text.headers["content-type"].startswith("text/plain") and "Vad som hände: An encrypted" in text.text
    assert await refused(desk, "GET", f"{path}/tenant?tenant={uuid4()}", None) == (409, "registry.not_concerned")


@pytest.mark.parametrize(
    ("bent", "aware", "code"),
    [
        ({"categories": ["gossip"]}, 1, "registry.breach_refused"),
        ({}, -1, "registry.breach_refused"),
        ({}, 80, "registry.breach_refused"),
        ({"as_controller": False}, 1, "request.invalid"),
        ({"tenants": [TENANT, TENANT]}, 1, "request.invalid"),
        ({"subjects": -1}, 1, "request.invalid"),
        ({"risk": "some"}, 1, "request.invalid"),
    ],
    ids=["category", "future", "before it began", "nobody's", "twice", "negative", "risk"],
)
async def test_a_report_that_cannot_be_is_refused(desk: Desk, bent: dict, aware: float, code: str):
    wish = {"aware_at": ago(hours=aware).isoformat(), "statement": statement(**bent)}
    assert (await refused(desk, "POST", "/v1/breaches", wish))[1] == code


def assessment(**bent: Any) -> dict[str, Any]:
    usual = {
        "kind": "dpia",
        "title": "Recording of calls",
        "purposes": ["communication"],
        "status": "approved",
        "owner": "privacy office",
        "document": "archive/dpia-7",
        "started_on": str(today(-60)),
        "decided_on": str(today(-10)),
        "review_on": str(today(60)),
    }
    return {name: value for name, value in (usual | bent).items() if value is not None}


async def test_an_assessment_s_last_entry_counts_and_its_review_is_reminded_of(desk: Desk):
    reference = f"DPIA-{uuid4().hex[:6]}"
    path = f"/v1/assessments/{reference}"
    planned = assessment(status="in_progress", decided_on=None, review_on=None)
    assert (await send(desk, "PUT", path, planned))["review"] == "none"
    approved = await send(desk, "PUT", path, assessment())
    assert (approved["entries"], approved["review"]) == (2, "ahead")
    desk.move(35)
    await desk.told("assessment.reminder", assessment=reference)
    desk.move(60)
    await desk.told("assessment.due", assessment=reference)
    desk.move(0)
    listed = (await send(desk, "GET", "/v1/assessments?kind=dpia"))["items"]
    assert [one["status"] for one in listed if one["reference"] == reference] == ["approved"]


@pytest.mark.parametrize(
    ("bent", "code"),
    [
        ({"purposes": ["curiosity"]}, "registry.assessment_refused"),
        ({"decided_on": "2090-01-01", "review_on": "2091-01-01"}, "registry.assessment_refused"),
        ({"review_on": None}, "request.invalid"),
        ({"decided_on": None}, "request.invalid"),
        ({"review_on": "2020-01-01"}, "request.invalid"),
        ({"kind": "tia"}, "request.invalid"),
    ],
    ids=["purpose", "future", "no review", "undecided", "review past", "kind"],
)
async def test_an_entry_that_cannot_be_is_refused(desk: Desk, bent: dict, code: str):
    assert (await refused(desk, "PUT", f"/v1/assessments/X-{uuid4().hex[:6]}", assessment(**bent)))[1] == code
    assert (await refused(desk, "PUT", "/v1/assessments/a%2Fb", assessment()))[0] in (404, 422)


async def test_these_registers_are_the_operators_own(desk: Desk):
    other = desk.house
    desk.house = uuid4()
    try:
        for path in ("/v1/breaches", "/v1/assessments"):
            assert (await desk.send(desk.asks, "GET", path, scopes=SCOPES)).status_code == 404
    finally:
        desk.house = other
