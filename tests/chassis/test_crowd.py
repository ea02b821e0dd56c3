"""Calls that come at the same moment are done together; a lone one at once, and one's fault is its own."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from chassis.crowd import MOST, Crowd

TENANT, OTHER = uuid4(), uuid4()


class Doing:
    def __init__(self) -> None:
        self.groups: list[tuple[UUID, list[int]]] = []

    async def __call__(self, tenant: UUID, items: Sequence[int]) -> list[int]:
        self.groups.append((tenant, list(items)))
        await asyncio.sleep(0.01)
        if -1 in items:
            raise ValueError("minus one")
        return [2 * item for item in items]


async def test_whoever_comes_while_others_are_under_way_goes_together():
    doing = Doing()
    crowd = Crowd(doing)
    first = asyncio.create_task(crowd(TENANT, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(crowd(TENANT, n)) for n in range(2, 2 + MOST + 1)]
    assert await crowd(OTHER, 5) == 10, "another tenant's is no part of it"
    assert [await first, *[await one for one in rest]] == [2 * n for n in range(1, 2 + MOST + 1)]
    assert [len(items) for tenant, items in doing.groups if tenant == TENANT] == [1, MOST, 1]


async def test_as_many_groups_of_a_tenant_are_under_way_as_may_be_and_nobody_waits_for_another_tenants():
    open_, begun = asyncio.Event(), list[tuple[UUID, list[int]]]()

    async def held(tenant: UUID, items: Sequence[int]) -> list[int]:
        begun.append((tenant, list(items)))
        await open_.wait()
        return list(items)

    crowd, waiting = Crowd(held, at_once=2), []
    for tenant, item in ((TENANT, 1), (TENANT, 2), (TENANT, 3), (TENANT, 4), (OTHER, 5)):
        waiting.append(asyncio.create_task(crowd(tenant, item)))
        for _ in range(3):
            await asyncio.sleep(0)
    assert begun == [(TENANT, [1]), (TENANT, [2]), (OTHER, [5])]
    open_.set()
    assert await asyncio.gather(*waiting) == [1, 2, 3, 4, 5] and begun[3:] == [(TENANT, [3, 4])]


async def test_a_fault_is_one_members_own():
    doing = Doing()
    crowd = Crowd(doing)
    done = await asyncio.gather(*(crowd(TENANT, n) for n in (12, -1, 14)), return_exceptions=True)
    assert (done[0], done[2]) == (24, 28) and isinstance(done[1], ValueError)
    assert doing.groups[0][1] == [12, -1, 14] and [items for _, items in doing.groups[1:]] == [[12], [-1], [14]]


async def test_whoever_is_stopped_takes_nobody_elses_work_along():
    crowd = Crowd(Doing())
    stopped, waiting = asyncio.create_task(crowd(TENANT, 1)), asyncio.create_task(crowd(TENANT, 2))
    await asyncio.sleep(0.001)
    stopped.cancel()
    assert await waiting == 4
    with pytest.raises(asyncio.CancelledError):
        await stopped
