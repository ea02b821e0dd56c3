"""A hold that arrives while an erasure runs: what is held is asked once more just before the effect is committed.

That second answer is a lease of disclosure's: no order with a newer hold is acknowledged while it lasts. It is used within half of
its time; a transaction of a store that stays idle longer is ended by the store itself, so that a process that froze in between
commits nothing by an old answer.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable
from uuid import UUID

from services.anonymizer.rules.orders import Hold

COMMIT_WITHIN = 5.0


@runtime_checkable
class Guard(Protocol):
    async def held(self, step: UUID | None = None) -> list[Hold]:
        """What is held; with `step`, as a lease to commit this step by. Raises HoldsUnreadable."""
        ...


class HoldsCame(Exception):
    """Between the effect and its commit something was held that had not been: the effect is made again, round it."""

    def __init__(self, holds: list[Hold]) -> None:
        self.holds = holds


async def still(guard: Guard, step: UUID, holds: list[Hold]) -> None:
    """The last question before a commit. Raises HoldsCame when more is held than in `holds`."""
    latest = await guard.held(step)
    if not set(latest) <= set(holds):
        raise HoldsCame(latest)


class Lease:
    """The same for work that goes piece by piece in a thread: `during` preserves what is held, and then the piece may go."""

    def __init__(self, guard: Guard, step: UUID) -> None:
        """To be made on the event loop that the guard lives on."""
        self.guard, self.step, self.loop = guard, step, asyncio.get_running_loop()

    def during(self, preserve: Callable[[list[Hold]], None]) -> None:
        """Never by an older answer: the clock it was young by may have stood still. Again, when preserving took so long that this one is
        no longer good. Raises HoldsUnreadable."""
        while True:
            asked_at = time.monotonic()
            preserve(asyncio.run_coroutine_threadsafe(self.guard.held(self.step), self.loop).result())
            if time.monotonic() - asked_at < COMMIT_WITHIN:
                return
