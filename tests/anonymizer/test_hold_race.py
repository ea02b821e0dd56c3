"""A hold that arrives while an erasure runs: it is seen just before the commit, or the erasure does not commit by the old answer."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from sample.cases import PRIVATE
from services.anonymizer.contract import (
    FindPrincipal,
    HoldsUnreadable,
    Identifier,
    IdentifierType,
    StepState,
    StoreUnavailable,
    Verb,
)
from tests.anonymizer.conftest import House

ALWAYS = (datetime(2015, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))


async def somebody(house: House, number: int) -> tuple[UUID, str, str]:
    """One of the crowd: principal, number, address."""
    select = "SELECT customer_number, msisdn, email FROM customer WHERE customer_number = $1"
    customer, msisdn, email = (await house.rows("billing", select, f"K{1_001_000 + number}"))[0]
    known = Identifier(type=IdentifierType.customer, value=customer)
    principal = await house.client.principal(FindPrincipal(identifiers=[known]), tenant=PRIVATE.id)
    return principal, msisdn, email


async def somebody_who_logs_in(house: House) -> UUID:
    logged = b"".join(path.read_bytes() for path in (house.stores / "authlog").glob("*.jsonl")).decode()
    for number in range(20, 60):
        principal, _, email = await somebody(house, number)
        if email in logged:
            return principal
    raise AssertionError("nobody of the crowd ever logged in")


@pytest.mark.parametrize(
    ("store", "category"), [("calls", "traffic"), ("lake", "traffic"), ("authlog", "authentication_log")]
)
async def test_a_hold_that_comes_between_the_effect_and_its_commit_is_kept(house: House, store: str, category: str):
    (someone, msisdn, email), held = await somebody(house, 11), []
    type, value = ("email", email) if store == "authlog" else ("msisdn", msisdn)

    async def arrives() -> None:
        if not held:
            held.append(house.orders.hold(value, [category], *ALWAYS, type=type))

    house.orders.before_commit = arrives
    try:
        done = await house.step(Verb.erase, store, someone)
    finally:
        house.orders.before_commit = None
    assert sum(one.count for one in done.outcomes if one.action == "erase") > 0
    assert house.orders.preserved(held[0]) > 0, "what an order held left without a trace"
    assert (await house.step(Verb.verify, store, someone)).state == StepState.done


async def test_without_the_second_answer_nothing_is_committed(house: House):
    tilda, lovisa = (await somebody(house, 12))[0], await somebody_who_logs_in(house)

    async def falls_silent() -> None:
        house.orders.silent = True

    house.orders.before_commit = falls_silent
    try:
        for store, person in (("calls", tilda), ("authlog", lovisa)):
            house.orders.silent = False
            with pytest.raises(HoldsUnreadable):
                await house.step(Verb.erase, store, person)
            house.orders.silent = False
            assert (await house.step(Verb.verify, store, person)).remaining > 0
    finally:
        house.orders.before_commit, house.orders.silent = None, False


async def test_an_erasure_that_froze_after_its_last_question_commits_no_more(house: House, monkeypatch):
    """The store itself ends the transaction: here after a blink instead of five seconds."""
    monkeypatch.setattr(
        "services.anonymizer.connectors.postgresql.store._NOT_IDLE",
        "SET LOCAL idle_in_transaction_session_timeout = '50ms'",
    )
    (ulf, _, _), step = await somebody(house, 13), uuid4()

    async def freezes() -> None:
        await asyncio.sleep(0.3)

    house.orders.before_commit = freezes
    try:
        with pytest.raises(StoreUnavailable):
            await house.step(Verb.erase, "calls", ulf, step=step)
    finally:
        house.orders.before_commit = None
    monkeypatch.undo()
    assert await house.rows("calls", "SELECT FROM wardline.journal WHERE step = $1", step) == []
    assert (await house.step(Verb.erase, "calls", ulf, step=step)).state == StepState.done


async def test_two_erasures_of_one_person_at_once_are_one(house: House):
    vera, _, _ = await somebody(house, 14)
    number = "SELECT count(*) AS n FROM call_record"
    before = (await house.rows("calls", number))[0]["n"]
    done = await asyncio.gather(*(house.step(Verb.erase, "calls", vera) for _ in range(3)))
    erased = [
        sum(one.count for one in each.outcomes if one.action == "erase" and one.table == "call_record") for each in done
    ]
    assert sum(erased) == before - (await house.rows("calls", number))[0]["n"] > 0
