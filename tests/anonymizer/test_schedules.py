"""Sweeps that nobody asks for, and what is gone from a store but not yet from its backups."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time, timedelta
from typing import TypeVar
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from chassis import clock
from sample.cases import PRIVATE
from services.anonymizer.app import create_app
from services.anonymizer.commands import backups, schedules
from services.anonymizer.contract import SetSchedules, StoreUnknown, SweepTime, Verb
from services.anonymizer.rules.schedules import next_time
from tests.anonymizer.conftest import House
from tests.patience import PATIENCE
from tests.serving import serve

STOCKHOLM = ZoneInfo("Europe/Stockholm")
Seen = TypeVar("Seen")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a clock here; in the other tests' houses, which stand for minutes, nobody looks five times a second."""
    monkeypatch.setattr(schedules, "EVERY", 0.2)
    monkeypatch.setattr(backups, "EVERY", 0.2)


def there(written: str) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=STOCKHOLM).astimezone(UTC)


@pytest.mark.parametrize(
    ("at", "days", "before", "now", "then"),
    [
        ("02:30", 1, None, "2026-11-28T01:00", "2026-11-28T02:30"),
        ("02:30", 1, None, "2026-11-28T02:30", "2026-11-29T02:30"),
        ("02:30", 7, None, "2026-11-28T03:00", "2026-11-29T02:30"),
        ("02:30", 1, "2026-11-28T02:30", "2026-11-28T02:31", "2026-11-29T02:30"),
        ("02:30", 7, "2026-11-28T02:30", "2026-11-28T02:31", "2026-12-05T02:30"),
        ("02:30", 1, "2026-11-20T02:30", "2026-11-28T12:00", "2026-11-29T02:30"),
        ("02:30", 7, "2026-11-01T02:30", "2026-11-28T12:00", "2026-11-29T02:30"),
        ("04:00", 1, "2026-03-28T04:00", "2026-03-28T05:00", "2026-03-29T04:00"),
        ("04:00", 1, "2026-10-24T04:00", "2026-10-24T05:00", "2026-10-25T04:00"),
    ],
    ids=[
        *("today", "not twice at once", "first the next one", "daily", "weekly", "missed ones are not made up for"),
        *("nor the rhythm lost", "a day of 23 hours", "a day of 25 hours"),
    ],
)
def test_the_next_time_is_by_the_clocks_on_the_wall(at: str, days: int, before: str | None, now: str, then: str):
    found = next_time(time.fromisoformat(at), days, before and there(before), there(now), STOCKHOLM)
    assert found == there(then)


def test_an_hour_that_a_change_of_clocks_leaves_out_or_has_twice_comes_once():
    for day in (datetime(2026, 3, 29), datetime(2026, 10, 25)):
        now, found = there(f"{day:%Y-%m-%d}T00:00"), []
        while now < there(f"{day + timedelta(days=1):%Y-%m-%d}T00:00"):
            now = next_time(time(2, 30), 1, found[-1] if found else None, now, STOCKHOLM)
            found.append(now)
        assert len(found) == 2 and found[1] == there(f"{day + timedelta(days=1):%Y-%m-%d}T02:30")


@pytest.mark.parametrize(
    "wrong", [{"at": "24:00"}, {"at": "2:30"}, {"at": "02:30", "every_days": 0}, {"every_days": 1}]
)
def test_a_schedule_without_a_time_is_refused(wrong: dict):
    with pytest.raises(ValidationError):
        SweepTime.model_validate(wrong)


async def eventually(look: Callable[[], Awaitable[Seen]]) -> Seen:
    async with asyncio.timeout(PATIENCE):
        while not (seen := await look()):
            await asyncio.sleep(0.1)
    return seen


async def sweeps(house: House) -> list[str]:
    rows = await house.rows("wardline", "SELECT id, state FROM anonymizer.sweep ORDER BY asked_at")
    return [row["state"] for row in rows]


async def test_a_sweep_comes_by_itself_and_its_backups_end(fresh_house: House):
    house, client = fresh_house, fresh_house.client
    with pytest.raises(StoreUnknown):
        nowhere = SetSchedules(items=[SweepTime(stores=["mainframe"], at="02:30")])
        await client.set_schedules(nowhere, key=str(uuid4()), tenant=PRIVATE.id)
    wish = SetSchedules(items=[SweepTime(stores=["authlog", "recordings"], at="02:30")])
    [made] = (await client.set_schedules(wish, key=str(uuid4()), tenant=PRIVATE.id)).items
    assert made.next_at.astimezone(STOCKHOLM).strftime("%H:%M") == "02:30" and made.last_sweep is None
    erased = await house.step(Verb.erase, "helpdesk", await house.principal("nadia"))
    assert erased.backups_until and (erased.backups_until - clock.now()).days in (90, 91)

    # Two replicas look at the same time, ten times; one sweep begins.
    async with serve(create_app(house.settings)):
        await asyncio.sleep(0.5)
        assert await sweeps(house) == [], "it came before its time"
        house.later(days=1)
        await eventually(lambda: is_so(house, ["done"]))
        await asyncio.sleep(2)
        assert await sweeps(house) == ["done"]
        # One that stands still is not overtaken by the next, which comes when it is done.
        house.orders.silent = True
        house.later(days=1)
        await eventually(lambda: is_so(house, ["done", "paused"]))
        house.later(days=1)
        await asyncio.sleep(1)
        assert await sweeps(house) == ["done", "paused"]
        house.orders.silent = False
        await eventually(lambda: is_so(house, ["done"] * 3))
    [now] = (await client.schedules(tenant=PRIVATE.id)).items
    by_the_clock = [one.next_at.astimezone(STOCKHOLM) for one in (made, now)]
    assert by_the_clock[1] - by_the_clock[0] == timedelta(days=3), "days of 23 and of 25 hours among them"

    left = (await client.in_backups(tenant=PRIVATE.id)).items
    assert {(one.store, one.what) for one in left} >= {("helpdesk", "erasure"), ("authlog", "sweep")}
    last = await client.swept(now.last_sweep, tenant=PRIVATE.id)
    assert last.backups_until == max(one.until for one in left)
    [told] = [one for one in await house.events("sweep.done") if one["data"]["sweep"] == str(last.sweep)]
    assert datetime.fromisoformat(told["data"]["backups_until"]) == last.backups_until

    await client.set_schedules(SetSchedules(items=[]), key=str(uuid4()), tenant=PRIVATE.id)
    house.later(days=87)
    assert await house.events("backups.over") == []
    house.later(days=1)
    over = await eventually(lambda: house.events("backups.over"))
    assert {one["data"]["id"] for one in over} == {str(erased.step)}, "the sweeps' backups are a day younger"
    house.later(days=3)
    await eventually(lambda: none_left(house))
    assert len(await house.events("backups.over")) == sum(one.count for one in left)
    assert await house.rows("wardline", "SELECT FROM anonymizer.replay") == [], "marks outlive their backups"


async def is_so(house: House, states: list[str]) -> bool:
    return await sweeps(house) == states


async def none_left(house: House) -> bool:
    return not (await house.client.in_backups(tenant=PRIVATE.id)).items
