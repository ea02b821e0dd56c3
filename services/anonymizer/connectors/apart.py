"""A connector whose work is done in a process of its own (`chassis/elsewhere.py`).

Reading a lake brings Arrow and Polars, 140 MB that stay as long as the process they were loaded into: so that is not the service's. What
only the service knows (what is held, whom a tenant knows) is asked back. To the store an end in the middle is as if one process had been
killed, and connectors are made for that.
"""

import inspect
import pickle
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import cache, partial
from typing import Any

from chassis import elsewhere
from services.anonymizer.connectors.files import Files
from services.anonymizer.connectors.guard import Guard
from services.anonymizer.contract import StoreUnavailable
from services.anonymizer.datamap import Store
from services.anonymizer.settings import Settings
from services.registry.contract import PolicyBook

# Arrow's own allocator keeps a tenth of what a sweep's process has, and makes it no faster.
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system"}


class Elsewhere(elsewhere.Elsewhere):
    """One for all such connectors of a service. `rest`: seconds after a person's copy in which the next one finds it ·
    `rest_large`: after other work, of which what goes through a whole lake leaves the process large."""

    def __init__(self, rest: float, rest_large: float) -> None:
        super().__init__(rest, shared=(PolicyBook,), environment=_ENVIRONMENT)
        self.rest_large = rest_large


class Apart:
    """A connector to files that works elsewhere: each of its verbs is the verb of the same name there."""

    def __init__(self, store: Store, settings: Settings, elsewhere: Elsewhere) -> None:
        """Raises DataMapFault."""
        self.files, self.elsewhere = Files(store, settings), elsewhere
        self.store, self.verbs, self._told = store, self.files.verbs, pickle.dumps((store, settings))

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        work = getattr(Files, verb)
        return partial(self._stream if inspect.isasyncgenfunction(work) else self._answer, verb)

    async def close(self) -> None:
        await self.elsewhere.close()

    async def _stream(self, verb: str, *told: Any) -> AsyncGenerator[Any]:
        async with aclosing(self._heard(verb, told)) as heard:
            async for kind, what in heard:
                if kind == "item":
                    yield what

    async def _answer(self, verb: str, *told: Any) -> Any:
        return [what async for _, what in self._heard(verb, told)][-1]

    async def _heard(self, verb: str, told: tuple[Any, ...]) -> AsyncGenerator[tuple[str, Any]]:
        """Its items and, last, its answer."""
        guards = [place for place, one in enumerate(told) if isinstance(one, Guard)]
        sent = [one.held if isinstance(one, Guard) else one for one in told]
        rest = self.elsewhere.rest if verb == "collect" else self.elsewhere.rest_large
        try:
            async with aclosing(self.elsewhere.do(_there, self._told, verb, guards, *sent, rest=rest)) as heard:
                async for each in heard:
                    yield each
        except elsewhere.GONE:
            raise StoreUnavailable("The process that works on this store ended.") from None


class _Held:
    """A guard that stayed with the service."""

    def __init__(self, held: Callable[..., Any]) -> None:
        self.held = held


def _there(of: bytes, verb: str, guards: list[int], *told: Any) -> Any:
    here = [_Held(one) if place in guards else one for place, one in enumerate(told)]
    return getattr(_files(of), verb)(*here)


@cache
def _files(of: bytes) -> Files:
    """One connector for all calls to a store: it remembers what it has read."""
    return Files(*pickle.loads(of))
