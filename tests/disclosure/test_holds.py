"""Holds: placed at once or on approval, told to the anonymizer and nobody else, ended by time or by the authority."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from chassis import clock
from services.requests.disclosure import leases
from tests.disclosure.house import Desk, a_preservation, an_order
from tests.patience import PATIENCE

NUMBERS = iter(range(46701700000, 46701799999))


def somebody() -> dict:
    return {"identifiers": [{"type": "InternationalE164", "value": str(next(NUMBERS))}]}


async def held(desk: Desk, wish: dict) -> list[dict]:
    named = [{"type": "msisdn", "value": one["value"]} for one in wish["identifiers"]]
    answer = await desk.asks(named)
    assert answer.status_code == 200, answer.text
    return answer.json()["holds"]


async def test_a_preservation_order_holds_from_its_arrival(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    order = await desk.placed(**wish)
    found = await held(desk, wish)
    assert [(hold["identifiers"], hold["categories"]) for hold in found] == [
        ([{"type": "msisdn", "value": wish["identifiers"][0]["value"]}], ["traffic"])
    ]
    assert set(found[0]) == {"hold", "identifiers", "categories", "period"}
    assert set(found[0]["period"]) == {"from", "to"}
    assert [task["status"] for task in order["tasks"]] == ["AwaitingPreservation"]


async def test_approval_makes_the_same_hold_last(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    order = await desk.placed(**wish)
    before = await held(desk, wish)
    await desk.review("gunilla", order)
    approved = (await desk.review("gosta", order)).json()
    assert [task["status"] for task in approved["tasks"]] == ["Preserved"]
    assert await held(desk, wish) == before


async def test_a_rejected_order_lets_go_of_what_it_held(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    order = await desk.placed(**wish)
    hold = (await held(desk, wish))[0]["hold"]
    await desk.review("gunilla", order, verdict="reject")
    assert await held(desk, wish) == []
    await until(lambda: hold in desk.anonymizer.released)


async def test_nobody_else_is_held_and_no_disclosure_holds(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    await desk.placed(**wish)
    assert await held(desk, somebody()) == []
    other = somebody()
    await desk.approved(**other)
    assert await held(desk, other) == []


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An order has seen which leases are older than it, and waits for them: none is over before what ends it earlier was waited for."""
    seen, sleep = asyncio.Event(), asyncio.sleep

    async def seen_and_sleep(seconds: float) -> None:
        seen.set()
        await sleep(seconds)

    monkeypatch.setattr(leases, "SECONDS", 2 * PATIENCE)
    monkeypatch.setattr(leases, "asyncio", SimpleNamespace(sleep=seen_and_sleep))
    return seen


async def test_an_order_is_acknowledged_only_when_no_erasure_can_commit_by_an_older_answer(
    desk: Desk, waits: asyncio.Event
) -> None:
    step, wish = uuid4(), a_preservation(**somebody())
    lent = (await desk.asks(None, step=step)).json()
    assert lent["lease_seconds"] == leases.SECONDS
    placing = asyncio.create_task(desk.placed(**wish))
    await asyncio.wait_for(waits.wait(), PATIENCE)
    assert (await held(desk, wish)) != [], "the next answer names it already"
    await asyncio.sleep(0.4)
    assert not placing.done(), "acknowledged while an erasure that knows nothing of it may still commit"
    await desk.settles(step, "calls", [])
    await asyncio.wait_for(placing, PATIENCE)


async def test_a_lease_that_was_lent_after_the_hold_keeps_no_order_waiting(desk: Desk, waits: asyncio.Event) -> None:
    first = a_preservation(**somebody())
    step = uuid4()
    await desk.asks(None, step=step)
    placing = asyncio.create_task(desk.placed(**first))
    await asyncio.wait_for(waits.wait(), PATIENCE)
    await desk.asks(None, step=step)
    await asyncio.wait_for(placing, PATIENCE)
    await desk.settles(step, "calls", [])


async def test_an_erasure_that_never_settles_delays_an_order_by_its_lease_only(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(leases, "SECONDS", 0.5)
    await desk.asks(None, step=uuid4())
    await asyncio.wait_for(desk.placed(**a_preservation(**somebody())), PATIENCE)


async def test_a_sweep_asks_for_everything_that_is_held(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    await desk.placed(**wish)
    everything = (await desk.asks(None)).json()["holds"]
    assert wish["identifiers"][0]["value"] in [named["value"] for hold in everything for named in hold["identifiers"]]


async def test_holds_count_whosever_customer_has_the_number(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    await desk.placed(**wish)
    named = [{"type": "msisdn", "value": wish["identifiers"][0]["value"]}]
    assert len((await desk.asks(named, tenant=uuid4())).json()["holds"]) == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"client_id": "rights", "act": {"sub": "rights"}},
        {"client_id": "public", "act": {"sub": "public"}},
        {"client_id": "staff", "act": {"sub": "internal"}, "kind": "staff"},
        {"client_id": "authority-se", "act": {"sub": "internal"}},
        {"scope": "order.read"},
    ],
)
async def test_nobody_but_the_anonymizer_may_ask(desk: Desk, claims: dict) -> None:
    answer = await desk.asks(None, **claims)
    assert answer.status_code == 403 and "holds" not in answer.json()


async def test_a_hold_ends_by_the_business_clock_and_is_let_go(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    order = await desk.approved(**wish)
    hold = (await held(desk, wish))[0]["hold"]
    desk.anonymizer.rows = [[1, None, None, None, None]] * 3
    clock.set_offset(desk.clock, timedelta(days=92))
    now = await desk.until(order, lambda now: now["tasks"][0]["status"] == "Expired")
    assert now["tasks"][0]["hold"] == hold and await held(desk, wish) == []
    await until(lambda: hold in desk.anonymizer.released)
    told = [event["data"] for event in await desk.events() if event["type"] == "hold.released"]
    assert told[0]["erased"] == {"calls": 3}


async def test_the_authority_lifts_its_order_and_the_hold_ends(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    order = await desk.approved(**wish)
    lifted = await desk.own(
        "POST", f"/v1/orders/{order['order']}/cancellation", {"reason_code": "lifted", "reference": "B 2"}
    )
    assert (lifted.json()["status"], lifted.json()["tasks"][0]["status"]) == ("Cancelled", "Cancelled")
    assert await held(desk, wish) == []
    await until(lambda: bool(desk.anonymizer.released))


async def test_a_change_keeps_what_both_versions_hold(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    order = await desk.placed(**wish)
    before = (await held(desk, wish))[0]["hold"]
    both = [*wish["identifiers"], *somebody()["identifiers"]]
    changed = an_order(**wish | {"identifiers": both, "reference": order["reference"]})
    answer = await desk.own("PUT", f"/v1/orders/{order['order']}", {"generation": 1, "order": changed})
    assert answer.status_code == 200 and len(answer.json()["tasks"]) == 2
    assert (await held(desk, wish))[0]["hold"] == before
    dropped = an_order(**wish | {"identifiers": both[1:], "reference": order["reference"]})
    await desk.own("PUT", f"/v1/orders/{order['order']}", {"generation": 2, "order": dropped})
    assert await held(desk, wish) == [] and before in await released(desk)


async def test_what_no_store_knows_is_honestly_not_preserved(desk: Desk) -> None:
    address = [{"type": "IPv4Address", "value": "198.51.100.14", "at": "2026-09-05T10:00:00Z"}]
    order = await desk.approved(**a_preservation(identifiers=address))
    assert [(task["status"], task["reason"]) for task in order["tasks"]] == [("PreservationNotAvailable", "NO_DATA")]


async def test_a_settlement_is_recorded_once(desk: Desk) -> None:
    step, hold = uuid4(), str(uuid4())
    for _ in range(2):
        answer = await desk.settles(step, "calls", [{"hold": hold, "count": 4}])
        assert (answer.status_code, answer.json()) == (200, {"step": str(step)})
    assert (await desk.settles(step, "billing", [])).status_code == 200


async def test_what_is_preserved_for_a_hold_that_ended_meanwhile_is_let_go_again(desk: Desk) -> None:
    wish = a_preservation(**somebody())
    order = await desk.approved(**wish)
    hold = (await held(desk, wish))[0]["hold"]
    await desk.own("POST", f"/v1/orders/{order['order']}/cancellation", {"reason_code": "lifted", "reference": "B 2"})
    await until(lambda: desk.anonymizer.released == [hold])
    await desk.settles(uuid4(), "calls", [{"hold": hold, "count": 4}])
    await until(lambda: desk.anonymizer.released == [hold, hold])


async def released(desk: Desk) -> list[str]:
    await until(lambda: bool(desk.anonymizer.released))
    return desk.anonymizer.released


async def until(reached) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():
            await asyncio.sleep(0.05)
