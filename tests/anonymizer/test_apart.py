"""What is done in a process of its own is what the service would have done itself; and that process ends with its work or its service."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from chassis import elsewhere
from services.anonymizer.connectors.apart import Apart, Elsewhere
from services.anonymizer.contract import (
    Action,
    HoldsUnreadable,
    IdentifierType,
    StoreUnavailable,
)
from services.anonymizer.rules.person import Known
from services.registry.contract import PolicyBook
from tests.anonymizer.directly import NOW, TERMS, Guard, person, store_of
from tests.anonymizer.test_lake import WRITTEN, calls_of
from tests.patience import PATIENCE
from tests.workers import working

ANNA, BO = "46700000001", "46700000002"


class Unreadable(Guard):
    async def held(self, step: UUID | None = None) -> list:
        raise HoldsUnreadable


class Slow(Guard):
    """Says that it was asked, and waits before it answers."""

    def __init__(self) -> None:
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def held(self, step: UUID | None = None) -> list:
        self.asked.set()
        await self.may_answer.wait()
        return []


@pytest_asyncio.fixture
async def lake(tmp_path: Path) -> AsyncIterator[Apart]:
    apart = Apart(*store_of(tmp_path, WRITTEN), Elsewhere(rest=0.2, rest_large=0.2))
    folder = apart.files.root / "month=2026-12" / "bucket=00"
    folder.mkdir(parents=True)
    calls_of(1, NOW - timedelta(days=800), [ANNA, BO] * 5).write_parquet(folder / "part-0.parquet")
    yield apart
    await apart.close()


@pytest.fixture
def workers() -> Callable[[], set[int]]:
    others = working()
    return lambda: working() - others


async def until_gone(pids: set[int]) -> None:
    async with asyncio.timeout(PATIENCE):
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            await asyncio.sleep(0.02)


async def test_a_book_is_told_once_and_another_book_is_another(lake: Apart, monkeypatch: pytest.MonkeyPatch):
    anna, said, first = person(("msisdn", ANNA)), list[bool](), TERMS.book
    other = PolicyBook.model_validate_json(first.model_dump_json().replace("Agent number", "Another word"))
    say = elsewhere._Line.say

    async def counting(self: elsewhere._Line, kind: str, what: Any) -> None:
        said.append(isinstance(what, PolicyBook))
        await say(self, kind, what)

    monkeypatch.setattr(elsewhere._Line, "say", counting)
    heard = [[chunk async for chunk in lake.collect([anna], book, False)] for book in (first, other, first, other)]
    assert heard[0] == heard[2] and heard[1] == heard[3]
    assert b"Another word" in heard[1][0] and b"Another word" not in heard[0][0]
    assert sum(said) == 2


async def test_what_is_done_there_is_as_if_it_were_done_here(lake: Apart):
    anna, guard = person(("msisdn", ANNA)), Guard()
    here = [chunk async for chunk in lake.files.collect([anna], TERMS.book, False)]
    assert [chunk async for chunk in lake.collect([anna], TERMS.book, False)] == here and len(here) == 3
    assert await lake.invoices(anna) == {1}
    hold = guard.hold(Known(IdentifierType.msisdn, ANNA), "traffic")
    done = await lake.erase(step := uuid4(), anna, TERMS, guard, None)
    assert done.preserved == {hold: 5}
    assert [(one.action, one.count) for one in done.outcomes] == [(Action.erase, 5)]
    assert await lake.files.erase(step, anna, TERMS, Unreadable(), None) == done
    assert (await lake.verify(anna, TERMS, None)).remaining == 0


async def test_what_is_raised_there_is_raised_here(lake: Apart):
    anna = person(("msisdn", ANNA))
    with pytest.raises(HoldsUnreadable):
        await lake.erase(uuid4(), anna, TERMS, Unreadable(), None)
    assert (await lake.verify(anna, TERMS, None)).remaining == 5
    lake.files.root.rename(lake.files.root.with_name("away"))
    with pytest.raises(StoreUnavailable):
        await lake.simulate(TERMS)


async def test_the_process_ends_when_nobody_has_called_for_a_while_and_begins_again(lake: Apart, workers):
    assert workers() == set()
    await lake.simulate(TERMS)
    before = workers()
    assert len(before) == 1 and "polars" in Path(f"/proc/{min(before)}/maps").read_text()
    await until_gone(before)
    await asyncio.gather(*(lake.simulate(TERMS) for _ in range(3)))
    assert len(workers()) == 1


async def test_after_a_persons_copy_it_waits_longer_for_the_next_than_after_what_leaves_it_large(lake: Apart, workers):
    lake.elsewhere.rest = 10 * PATIENCE
    copy = [chunk async for chunk in lake.collect([person(("msisdn", ANNA))], TERMS.book, False)]
    waiting = workers()
    await asyncio.sleep(3 * lake.elsewhere.rest_large)
    assert len(waiting) == 1 and workers() == waiting and copy
    await lake.simulate(TERMS)
    await until_gone(waiting)


async def test_a_process_that_is_killed_at_work_is_an_unavailable_store_and_the_work_is_carried_on(
    lake: Apart, workers
):
    anna, guard, step = person(("msisdn", ANNA)), Slow(), uuid4()
    erasing = asyncio.create_task(lake.erase(step, anna, TERMS, guard, None))
    await guard.asked.wait()
    os.kill(workers().pop(), signal.SIGKILL)
    guard.may_answer.set()
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(erasing, PATIENCE)
    done = await lake.erase(step, anna, TERMS, Guard(), None)
    assert [(one.action, one.count) for one in done.outcomes] == [(Action.erase, 5)]


async def test_a_service_that_ends_takes_the_process_along_in_the_middle_of_its_work(lake: Apart, workers):
    """Nothing of it may go on: the next service carries on from what is written."""
    anna, guard = person(("msisdn", ANNA)), Slow()
    erasing = asyncio.create_task(lake.erase(uuid4(), anna, TERMS, guard, None))
    await guard.asked.wait()
    at_work = workers()
    await lake.close()  # what the kernel does for a service that was killed: its end of the line is closed
    await until_gone(at_work)
    guard.may_answer.set()
    with pytest.raises(StoreUnavailable):
        await erasing
    assert (await lake.files.verify(anna, TERMS, None)).remaining == 5
