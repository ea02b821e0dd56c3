"""Calls of one kind that come while others are under way are done together by the next: one transaction for all of them.

    record = Crowd(record_all)                      # async def record_all(tenant, items) -> one outcome for each
    outcome = await record(tenant, item)            # in each of many jobs

A lone call waits for nobody. Where a group fails, each of its members is done by itself, so that one's fault is its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

MOST = 100

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Do = Callable[[UUID, Sequence[Item]], Awaitable[Sequence[Outcome]]]


@dataclass
class _Group(Generic[Item, Outcome]):
    items: list[Item] = field(default_factory=list)
    done: "asyncio.Task[Sequence[Outcome]] | None" = None


class Crowd(Generic[Item, Outcome]):
    """`at_once`: groups of one tenant under way; while they are, the next one gathers. `most`: in one group."""

    def __init__(self, do: Do[Item, Outcome], at_once: int = 1, most: int = MOST) -> None:
        self._do, self._at_once, self._most = do, at_once, most
        self._gathering: dict[UUID, _Group[Item, Outcome]] = {}
        self._turns: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, tenant: UUID, item: Item) -> Outcome:
        group = self._gathering.get(tenant)
        if group is None or len(group.items) >= self._most:
            group = self._gathering[tenant] = _Group()
            group.done = asyncio.create_task(self._in_turn(tenant, group), name="crowd")
        place = len(group.items)
        group.items.append(item)
        # Waited for and not awaited: a caller that is stopped takes nobody else's work with it.
        await asyncio.wait({group.done})
        if group.done.exception() is None or len(group.items) == 1:
            return group.done.result()[place]
        [outcome] = await self._do(tenant, [item])
        return outcome

    async def _in_turn(self, tenant: UUID, group: _Group[Item, Outcome]) -> Sequence[Outcome]:
        turn = self._turns.setdefault(tenant, asyncio.Semaphore(self._at_once))
        async with turn:
            if self._gathering.get(tenant) is group:
                del self._gathering[tenant]
            return await self._do(tenant, group.items)
