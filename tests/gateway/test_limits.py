"""Buckets that fill again; one caller's flood is not another's."""

import pytest

from chassis.errors import TooMany
from gateway import limits
from gateway.limits import Class, Limiter, Rate


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    monkeypatch.setitem(limits.RATES, "read", Class(Rate(1, 3), Rate(0.5, 2), Rate(1, 1)))
    return now


def test_a_burst_is_let_through_and_the_rest_is_told_when_to_come_back(clock: list[float]):
    limiter = Limiter()
    for _ in range(2):
        limiter.subject("read", "anna")
    with pytest.raises(TooMany) as refused:
        limiter.subject("read", "anna")
    assert refused.value.response().headers["retry-after"] == "2"
    clock[0] += 2
    limiter.subject("read", "anna")
    with pytest.raises(TooMany):
        limiter.subject("read", "anna")


def test_clients_people_and_addresses_have_buckets_of_their_own(clock: list[float]):
    limiter = Limiter()
    limiter.address("read", "same")
    limiter.subject("read", "same")
    limiter.client("read", "same")
    with pytest.raises(TooMany):
        limiter.address("read", "same")
    limiter.address("read", "other")


def test_refused_calls_do_not_prolong_the_wait(clock: list[float]):
    limiter = Limiter()
    limiter.address("read", "a")
    for _ in range(50):
        with pytest.raises(TooMany):
            limiter.address("read", "a")
    clock[0] += 1
    limiter.address("read", "a")


def test_nobody_can_fill_the_memory_with_buckets(clock: list[float], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "_REMEMBERED", 10)
    limiter = Limiter()
    for number in range(100):
        limiter.address("read", str(number))
    assert len(limiter._buckets) == 10
