"""How long a request stands still when the process that works on it is killed."""

import signal
import time
from statistics import median
from typing import Any

from benchmarks.calls import handed_person
from benchmarks.house import House
from benchmarks.requests import Desk
from benchmarks.row import ROUNDS, Row, watched

GOAL = 10.0


def crash_resume(house: House) -> Row:
    """From the SIGKILL of rights, in the middle of collecting 100,000 rows, until the same step is worked on again by the process
    that was started in its place."""
    person, desk = handed_person(house), Desk(house)
    stood, finished = [], []
    with watched(house.pids("anonymizer")) as peak:
        for _ in range(ROUNDS):
            request = desk.open(person)
            before = _collecting(desk.until(request, _is_collecting, of_steps=True))
            killed = time.perf_counter()
            house.stack.kill("rights", signal.SIGKILL)
            house.stack.restart("rights")
            desk.until(request, lambda seen, before=before: _moved(before, _collecting(seen)), of_steps=True)
            stood.append(time.perf_counter() - killed)
            desk.until(request, lambda seen: seen["state"] == "answered")
            finished.append(time.perf_counter() - killed)
    return Row(
        "crash_resume",
        median(stood),
        GOAL,
        "s",
        peak.highest,
        "the longest a request may stand still",
        {"longest_s": max(stood), "answered_s": median(finished)},
    )


def _collecting(request: dict[str, Any]) -> dict[str, Any]:
    """The step that reads the calls; empty before it is planned."""
    return next((step for step in request["steps"] if step["store"] == "calls"), {})


def _is_collecting(request: dict[str, Any]) -> bool:
    return _collecting(request).get("state") == "running"


def _moved(before: dict[str, Any], now: dict[str, Any]) -> bool:
    return now["tries"] > before["tries"] or now["state"] == "done"
