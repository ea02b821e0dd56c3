"""How long tests wait. What comes by itself is waited for as long as it may take on a slow machine; what is promised within some
seconds may take so many times longer as others keep the machine busy."""

import asyncio
import gc
import os
import time
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


def slow() -> float:
    """How many times as long this machine takes over plain Python at this moment as one that what is promised was measured on; there, one.
    A neighbour of a virtual machine's halves its speed for minutes, and no load shows it."""
    began, total = time.thread_time(), 0
    for n in range(100_000):
        total += n * n
    return max(1.0, (time.thread_time() - began) / 0.008)


def alone() -> None:
    """What earlier tests left is not looked through while something is measured: one such look takes a tenth of a second."""
    gc.collect()
    gc.freeze()
