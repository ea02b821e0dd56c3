"""Whoever is on call finds no warning about what passed by itself, and finds one about what lasts."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from chassis import telemetry
from chassis.durable import Jobs
from chassis.errors import Unavailable
from chassis.trouble import Trouble
from tests.patience import PATIENCE


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("chassis.trouble.time.monotonic", lambda: now[0])
    return now


def counted() -> float:
    return telemetry.troubles_total.labels("feed interrupted", "Unavailable")._value.get()


def test_what_passes_within_seconds_is_counted_and_not_told(clock: list[float]) -> None:
    trouble, before = Trouble("feed interrupted", feed="consent"), counted()
    with capture_logs() as told:
        for _ in range(3):
            clock[0] += 3
            trouble.met(Unavailable())
        trouble.over()
        clock[0] += 100
        assert trouble.met(Unavailable()) == 1, "a new one, not the old one's continuation"
    assert told == []
    assert counted() == before + 4


def test_what_lasts_is_told_at_each_doubling_and_when_it_is_over(clock: list[float]) -> None:
    trouble = Trouble("feed interrupted", feed="consent")
    with capture_logs() as told:
        for _ in range(50):
            trouble.met(Unavailable())
            clock[0] += 1
        trouble.over()
        trouble.over()
    assert [(line["log_level"], line["event"], line["feed"], line["seconds"]) for line in told] == [
        ("warning", "feed interrupted", "consent", 10),
        ("warning", "feed interrupted", "consent", 20),
        ("warning", "feed interrupted", "consent", 40),
        ("info", "feed interrupted: over", "consent", 50),
    ]


async def test_an_hourly_tick_that_came_before_its_peers_is_tried_again_within_seconds() -> None:
    began, tried = time.monotonic(), asyncio.Event()

    async def tick() -> None:
        if time.monotonic() - began < 0.3:
            raise Unavailable
        tried.set()

    jobs = Jobs()
    jobs.every("count", 3600, tick)
    running = asyncio.create_task(jobs.run(None))
    async with asyncio.timeout(PATIENCE):
        await tried.wait()
    running.cancel()
