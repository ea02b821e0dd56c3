"""How long tests wait. What comes by itself is waited for as long as it may take on a slow machine; what is promised within some
seconds may take so many times longer as others keep the machine busy."""

import asyncio
import gc
import os
from collections.abc import Callable

PATIENCE = 180.0  # seconds, until what should have come is missed


async def until(is_so: Callable[[], object]) -> None:
    """Of what this very process sees by itself: a file, a list, an event of a thread's."""
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.02)


def busy() -> float:
    """How many there are for each processor; where nobody else is, one."""
    return max(1.0, min(5.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def alone() -> None:
    """What earlier tests left is not looked through while something is measured: one such look takes a tenth of a second."""
    gc.collect()
    gc.freeze()
