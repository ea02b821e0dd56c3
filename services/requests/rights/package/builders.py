"""Who builds the packages that a transaction waits for: two threads of this process, and while crowds come and come two other processes.

A little package is milliseconds of plain Python. Those of a crowd would take half of what the service's one core does for it, and hold
back everything else that the service is asked meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import UUID

from chassis.elsewhere import GONE, Elsewhere
from services.requests.rights.package.build import Built, Contents, build
from services.requests.rights.rules.about import About

_MANY = 8
_PROCESSES = 2
# A start takes as long as a hundred packages: so many were wanted lately before it is worth one.
_WORTH = 200

# What is built, the words it opens with, and its file.
Packages = Sequence[tuple[Contents, str]]
ToBuild = tuple[Contents, str, Path]
BuiltAt = AsyncGenerator[tuple[int, Built | None]]
# What was written, and what is done when the disk has it all.
Building = tuple[list[Built | None], "asyncio.Future[Any]"]


class Builders:
    """fresh: where a request's next package goes · rest: seconds after a crowd in which those processes wait for the next one."""

    def __init__(self, fresh: Callable[[UUID], Path], rest: float) -> None:
        self._fresh, self._rest = fresh, rest
        self._lately, self._last = 0, float("-inf")
        self._processes = [Elsewhere(rest, shared=(About,)) for _ in range(_PROCESSES)]
        self._beginning: asyncio.Task[None] | None = None

    async def build(self, packages: Packages) -> Building:
        """Each as soon as it is written, None where that failed; and what is done when the disk has them all."""
        if len(packages) < _MANY or not self._have_begun(packages):
            return await self._here(packages)
        parts = [packages[place::_PROCESSES] for place in range(_PROCESSES)]
        done = await asyncio.gather(*map(self._beside, self._processes, parts))
        built = list[Built | None]([None] * len(packages))
        for place, (some, _) in enumerate(done):
            built[place::_PROCESSES] = some
        return built, _heeded(asyncio.gather(*(on_disk for _, on_disk in done)))

    async def close(self) -> None:
        if self._beginning:
            self._beginning.cancel()
            await asyncio.wait({self._beginning})
        for each in self._processes:
            await each.close()

    def _have_begun(self, packages: Packages) -> bool:
        """No crowd waits for a start."""
        now = time.monotonic()
        self._lately = len(packages) + (self._lately if now - self._last < self._rest else 0)
        self._last = now
        if self._beginning and self._beginning.done() and all(each.runs for each in self._processes):
            return True
        if self._lately >= _WORTH and (self._beginning is None or self._beginning.done()):
            self._beginning = asyncio.create_task(self._begin(packages[0][0].about), name="builders")
        return False

    async def _begin(self, about: About) -> None:
        with suppress(*GONE):
            await asyncio.gather(*(_ended(each.do(build_all, about, [])) for each in self._processes))

    async def _here(self, packages: Packages) -> Building:
        return await _written(len(packages), build_all(None, self._to_build(packages)))

    async def _beside(self, process: Elsewhere, packages: Packages) -> Building:
        try:
            return await _written(len(packages), self._sent(process, packages))
        except GONE:
            return await self._here(packages)

    async def _sent(self, process: Elsewhere, packages: Packages) -> BuiltAt:
        # It knows by now what every package of one policy book says.
        about = packages[0][0].about
        little = [(replace(each, about=None) if each.about is about else each, words) for each, words in packages]
        async with aclosing(process.do(build_all, about, self._to_build(little))) as heard:
            async for kind, what in heard:
                if kind == "item":
                    yield what

    def _to_build(self, packages: Packages) -> list[ToBuild]:
        return [(contents, words, self._fresh(contents.request)) for contents, words in packages]


async def build_all(about: About | None, wanted: Sequence[ToBuild]) -> BuiltAt:
    """Each by its place as soon as it is written, None where that failed; it ends when the disk has them all. about: of those that say
    nothing themselves. Raises OSError at the end for what was written, and the disk did not take."""
    loop, written = asyncio.get_running_loop(), asyncio.Queue[tuple[int, Built | None]]()

    def one(place: int, contents: Contents, words: str, target: Path) -> None:
        told = False

        def tell(built: Built | None) -> None:
            nonlocal told
            told = True
            loop.call_soon_threadsafe(written.put_nowait, (place, built))

        try:
            build(target, contents if contents.about else replace(contents, about=about), words, tell)
        except Exception as failure:
            if told or not isinstance(failure, OSError):
                raise
        finally:
            if not told:
                tell(None)

    building = [loop.run_in_executor(_threads(), partial(one, place, *each)) for place, each in enumerate(wanted)]
    for _ in wanted:
        yield await written.get()
    await asyncio.gather(*building)


async def _written(count: int, building: BuiltAt) -> Building:
    built = dict([await anext(building) for _ in range(count)])
    return [built[place] for place in range(count)], _heeded(asyncio.ensure_future(_ended(building)))


def _heeded(on_disk: "asyncio.Future[Any]") -> "asyncio.Future[Any]":
    """A transaction that failed waits for none, and whatever becomes of that is nobody's trouble."""
    on_disk.add_done_callback(lambda done: done.cancelled() or done.exception())
    return on_disk


async def _ended(building: BuiltAt) -> None:
    async for _ in building:
        pass


@cache
def _threads() -> ThreadPoolExecutor:
    """Of their own: those who wait for these have a transaction open."""
    return ThreadPoolExecutor(2, "package at once")
