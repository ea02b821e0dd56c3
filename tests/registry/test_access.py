"""The access register over HTTP: asked for, approved by somebody else, ended at once, reviewed twice a year, all in the ledger."""

import asyncio
import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.identity.parties import APPROVED, wish
from tests.registry.desk import Desk, until

REASON = {"reason": "The task is finished."}


async def test_a_grant_needs_somebody_who_neither_holds_it_nor_asked_for_it(desk: Desk):
    holder = str(uuid4())
    asked = await desk.post(desk.asks, "/v1/access/grants", wish(holder, desk.house, "auditor"))
    decision = f"/v1/access/grants/{asked['id']}/decision"
    for who in (holder, desk.asks):
        refused = await desk.send(who, "POST", decision, APPROVED)
        assert (refused.status_code, refused.json()["code"]) == (403, "registry.own_grant")
    assert asked["state"] == "requested" and await desk.roles(holder) == []
    answers = await asyncio.gather(*(desk.send(desk.decides, "POST", decision, APPROVED) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert await desk.roles(holder) == ["auditor"]
    assert (await desk.told("access.granted", grant=asked["id"]))[0]["by"] == desk.decides


async def test_what_a_faster_clock_decided_is_not_decided_again(desk: Desk):
    """Two replicas' clocks differ; the row says whether it is decided, whatever the time."""
    asked = await desk.post(desk.asks, "/v1/access/grants", wish(str(uuid4()), desk.house, "auditor"))
    decision = f"/v1/access/grants/{asked['id']}/decision"
    desk.move(1 / 24)
    await desk.post(desk.decides, decision, APPROVED)
    desk.move(0)
    again = await desk.send(desk.decides, "POST", decision, APPROVED)
    assert (again.status_code, again.json()["code"]) == (409, "registry.already_decided")


@pytest.mark.parametrize(
    ("bent", "code"),
    [
        ({"system": "mainframe", "organisation": None}, "registry.access_refused"),
        ({"purpose": "curiosity"}, "registry.access_refused"),
        ({"role": "king"}, "registry.access_refused"),
        ({"valid_to": "2020-01-01T00:00:00Z"}, "registry.access_refused"),
        ({"valid_to": (datetime.now(UTC) + timedelta(days=400)).isoformat()}, "registry.access_refused"),
        ({"valid_to": None}, "request.invalid"),
        ({"facility": "dc_stockholm"}, "request.invalid"),
        ({"organisation": None}, "request.invalid"),
        ({"justification": "because"}, "request.invalid"),
        ({"approved": True}, "request.invalid"),
        (
            {"system": None, "organisation": None, "facility": "dc_stockholm", "areas": ["roof"]},
            "registry.access_refused",
        ),
        ({"system": None, "organisation": None, "facility": "dc_stockholm"}, "request.invalid"),
    ],
    ids=["system", "purpose", "role", "past", "too long", "no end", "both", "whose", "why", "field", "area", "no area"],
)
async def test_a_faulty_wish_is_refused_with_a_reason(desk: Desk, bent: dict, code: str):
    faulty = _said(wish(str(uuid4()), desk.house, "auditor") | bent)
    answer = await desk.send(desk.asks, "POST", "/v1/access/grants", faulty)
    assert answer.json()["code"] == code and 400 <= answer.status_code < 500


def _said(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


async def test_the_us_region_opens_for_a_recorded_clearance_only_and_closes_with_it(desk: Desk):
    technician = str(uuid4())
    place = {"system": None, "organisation": None, "facility": "dc_virginia", "areas": ["cage_12"]}
    asked = _said(wish(technician, desk.house, "technician") | place)
    id = (await desk.post(desk.asks, "/v1/access/grants", asked))["id"]
    refused = await desk.send(desk.decides, "POST", f"/v1/access/grants/{id}/decision", APPROVED)
    assert refused.status_code == 409 and "us_citizenship" in refused.json()["detail"]
    clearance = {"person": technician, "clearance": "us_citizenship", "evidence": "vetting file 17-204"}
    lasting = clearance | {"valid_to": (datetime.now(UTC) + timedelta(days=600)).isoformat()}
    own = await desk.send(technician, "POST", "/v1/access/clearances", lasting)
    assert own.status_code == 403, "nobody records her own clearance"
    recorded = await desk.post(desk.decides, "/v1/access/clearances", lasting)
    granted = await desk.post(desk.decides, f"/v1/access/grants/{id}/decision", APPROVED)
    assert granted["clearance"] == recorded["id"] and granted["areas"] == ["cage_12"]
    ended = await desk.post(desk.decides, f"/v1/access/clearances/{recorded['id']}/end", {})
    assert ended == {"grants": [id]}
    assert (await desk.get(f"/v1/access/grants/{id}"))["ended_for"] == "clearance_ended"


async def test_europe_needs_no_clearance(desk: Desk):
    asked = wish(str(uuid4()), desk.house, "technician", facility="dc_stockholm", areas=["hall_a"])
    del asked["system"], asked["organisation"]
    id = (await desk.post(desk.asks, "/v1/access/grants", asked))["id"]
    granted = await desk.post(desk.decides, f"/v1/access/grants/{id}/decision", APPROVED)
    assert granted["state"] == "approved" and granted["clearance"] is None


@pytest.mark.parametrize("reason", ["left", "changed_role"])
async def test_whoever_leaves_or_changes_role_holds_nothing_from_that_moment(desk: Desk, reason: str):
    person = str(uuid4())
    held = {await desk.given(person), await desk.given(person, "helpdesk")}
    pending = await desk.post(desk.asks, "/v1/access/grants", wish(person, desk.house, "operations"))
    assert await desk.roles(person) == ["auditor", "helpdesk"]
    ended = await desk.post(desk.decides, "/v1/access/departures", {"person": person, "reason": reason})
    assert set(ended["grants"]) == held and await desk.roles(person) == []
    assert (await desk.get(f"/v1/access/grants/{pending['id']}"))["state"] == "refused"
    for grant in held:
        assert (await desk.told("access.ended", grant=grant))[0]["reason"] == reason


async def test_a_grant_that_begins_later_is_worth_nothing_before(desk: Desk):
    person = str(uuid4())
    await desk.given(person, valid_from=(datetime.now(UTC) + timedelta(days=10)).isoformat())
    assert await desk.roles(person) == []
    desk.move(11)
    assert await desk.roles(person) == ["auditor"]


async def test_a_grant_ends_by_itself_and_the_ledger_says_so(desk: Desk):
    person = str(uuid4())
    grant = await desk.given(person, valid_to=(datetime.now(UTC) + timedelta(days=5)).isoformat())
    desk.move(5.001)
    assert await desk.roles(person) == []
    assert (await desk.told("access.ended", grant=grant))[0]["reason"] == "expired"


async def test_every_half_year_each_grant_is_confirmed_or_lapses(desk: Desk):
    last = (datetime.now(UTC) + timedelta(days=300)).isoformat()
    kept, dropped, forgotten = [str(uuid4()) for _ in range(3)]
    grants = {person: await desk.given(person, valid_to=last) for person in (kept, dropped, forgotten)}
    customer = uuid4()
    of_customer = await desk.given(str(uuid4()), of=customer, valid_to=last)
    desk.move(186)
    review = await until(lambda: _open_review(desk))
    path = f"/v1/access/reviews/{review}"
    listed = {item["grant"]: item for item in (await desk.get(path))["items"]}
    assert set(grants.values()) <= listed.keys() and all(item["kept"] is None for item in listed.values())

    decisions = f"{path}/decisions"
    keeping = {"grant": grants[kept], "keep": True, "reason": "Still audits the ledgers."}
    own = await desk.send(kept, "POST", decisions, keeping)
    assert (own.status_code, own.json()["code"]) == (403, "registry.own_grant")
    await desk.post(desk.decides, decisions, keeping)
    await desk.post(
        desk.decides, decisions, {"grant": grants[dropped], "keep": False, "reason": "Works elsewhere now."}
    )
    await desk.post(desk.decides, decisions, keeping | {"grant": of_customer})
    again = await desk.send(desk.decides, "POST", decisions, keeping)
    assert again.status_code == 409
    stranger = await desk.send(desk.decides, "POST", decisions, keeping | {"grant": str(uuid4())})
    assert stranger.status_code == 404
    assert [await desk.roles(person) for person in (kept, dropped, forgotten)] == [["auditor"], [], ["auditor"]]

    for manager, other in zip(desk.founding, (desk.decides, desk.asks), strict=True):
        await desk.post(other, decisions, {"grant": manager, "keep": True, "reason": "Manages access, as before."})
    desk.move(186 + 31)
    assert [await desk.roles(person) for person in (kept, dropped, forgotten)] == [["auditor"], [], []]
    assert (await desk.told("access.ended", grant=grants[forgotten]))[0]["reason"] == "review_undecided"
    closed = await desk.get(path)
    assert closed["closed_at"] and closed["kept"] == 4 and closed["undecided"] >= 1
    [audit] = [one for one in await _audits(desk, customer) if one["review"] == review]
    assert audit["closed_at"] == closed["closed_at"]
    assert audit["own"] == {"grants": 1, "kept": 1, "not_kept": 0, "undecided": 0}, "of its own data, and nobody else's"
    late = await desk.send(desk.decides, "POST", decisions, keeping | {"grant": grants[forgotten]})
    assert (late.status_code, late.json()["code"]) == (409, "registry.already_decided")


async def _audits(desk: Desk, customer: UUID) -> list[dict[str, Any]]:
    """As the customer's privacy contact finds them in its pack."""
    pack = await replace(desk, house=customer).send("contact", "GET", "/v1/pack", scopes="pack.manage")
    with zipfile.ZipFile(io.BytesIO(pack.content)) as files:
        return json.loads(files.read("audits.json"))


async def _open_review(desk: Desk) -> str | None:
    reviews = (await desk.get("/v1/access/reviews"))["items"]
    return next((review["id"] for review in reviews if review["closed_at"] is None), None)


async def test_the_register_is_founded_once_and_again_only_when_nobody_is_left(desk: Desk):
    again = await desk.found()
    assert (again.status_code, again.json()["code"]) == (409, "registry.already_founded")
    for grant in desk.founding:
        await desk.post(desk.decides, f"/v1/access/grants/{grant}/end", REASON)
    unmanaged = await desk.send(desk.decides, "GET", "/v1/access/grants")
    assert unmanaged.status_code == 404
    assert (await desk.found()).status_code == 201


async def test_a_customer_organisation_s_people_neither_see_nor_manage_the_register(desk: Desk):
    theirs = replace(desk, house=uuid4())
    assert (await theirs.send(desk.asks, "GET", "/v1/access/grants")).status_code == 404
    assert (await theirs.send(desk.decides, "POST", "/v1/access/reviews", {})).status_code == 404
    manager = wish(str(uuid4()), theirs.house, "access_manager")
    refused = await desk.send(desk.asks, "POST", "/v1/access/grants", manager)
    assert (refused.status_code, refused.json()["code"]) == (409, "registry.access_refused")


async def test_one_alone_founds_nothing(desk: Desk):
    person = str(uuid4())
    assert (await desk.found([person])).status_code == 422
    assert (await desk.found([person, person])).status_code == 422
