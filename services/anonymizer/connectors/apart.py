"""A connector whose work is done in a process of its own, which begins with the first call and ends when nobody has called for a while.

Reading a lake brings Arrow and Polars, 140 MB that stay as long as the process they were loaded into: so that is not the service's.
A call is a connection: store, verb and arguments go over, what the connector yields or answers comes back, and what only the service
knows (what is held, whom a tenant knows) is asked back over the same connection; so is a policy book, once in the life of that process. When the service ends, however it ends, so does that
process, at once: to the store it is as if one process had been killed, and connectors are made for that.
"""

import asyncio
import inspect
import os
import pickle
import socket
import sys
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, closing
from functools import cache, partial
from typing import Any, Self

from services.anonymizer.connectors.files import Files
from services.anonymizer.connectors.guard import Guard
from services.anonymizer.contract import StoreUnavailable
from services.anonymizer.datamap import Store
from services.anonymizer.settings import Settings
from services.registry.contract import PolicyBook

_SIZE = 8  # bytes that say how long a message is
_BOOKS = 4  # that are remembered on either side
_GONE = (EOFError, ConnectionError)


class Elsewhere:
    """The process, one for all such connectors of a service. `rest`: seconds after a person's copy in which the next one finds it ·
    `rest_large`: after other work, of which what goes through a whole lake leaves the process large."""

    def __init__(self, rest: float, rest_large: float) -> None:
        self.rest, self.rest_large = rest, rest_large
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._starting = asyncio.Lock()
        self._calls = 0
        self._books, self._number = dict[int, PolicyBook](), 0

    def number(self, book: PolicyBook) -> int:
        """By which that process knows a book that it has heard: to send and read one takes longer than to look through a small lake."""
        for number, known in self._books.items():
            if known is book:
                return number
        self._number += 1
        _remember(self._books, self._number, book)
        return self._number

    @asynccontextmanager
    async def call(self, verb: str) -> AsyncIterator["_Line"]:
        """A line to the process, which is started if it does not run. Raises StoreUnavailable when it ends in the middle."""
        self._calls += 1
        self._stay()
        try:
            with closing(await _Line.over(await self._connected())) as line:
                yield line
        except _GONE:
            self._end()
            raise StoreUnavailable("The process that works on this store ended.") from None
        finally:
            self._calls -= 1
            if not self._calls:
                rest = self.rest if verb == "collect" else self.rest_large
                self._ending = asyncio.get_running_loop().call_later(rest, self._end)

    async def close(self) -> None:
        self._stay()
        self._end()
        if self._process:
            await self._process.wait()

    async def _connected(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            async with self._starting:
                if self._control is None or (self._process and self._process.returncode is not None):
                    await self._start()
                socket.send_fds(self._control, [b"."], [theirs.fileno()])
        return ours

    async def _start(self) -> None:
        self._end()
        self._control, theirs = socket.socketpair()
        with theirs:
            command = (sys.executable, "-m", __name__)
            # Arrow's own allocator keeps a tenth of what a sweep's process has, and makes it no faster.
            told = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=theirs.fileno(), start_new_session=True, env=told
            )

    def _stay(self) -> None:
        if self._ending:
            self._ending.cancel()

    def _end(self) -> None:
        """The control line is its life."""
        if self._control:
            self._control.close()
            self._control = None


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
        """Its items and, last, its answer. What cannot go over stays here, and is asked when it is wanted there."""
        asked = {place: one for place, one in enumerate(told) if isinstance(one, Guard | PolicyBook) or callable(one)}
        sent = [None if place in asked else one for place, one in enumerate(told)]
        books = {place: self.elsewhere.number(one) for place, one in asked.items() if isinstance(one, PolicyBook)}
        async with self.elsewhere.call(verb) as line:
            await line.say("do", (self._told, verb, sent, list(asked), books))
            kind = ""
            while kind != "answer":
                kind, what = await line.hear()
                if kind == "ask":
                    place, of = what
                    here = asked[place]
                    if place in books:
                        await line.say("answer", here)
                    else:
                        await line.say(*await _outcome(here.held(*of) if isinstance(here, Guard) else here(*of)))
                else:
                    yield kind, what


def _remember(books: dict[int, PolicyBook], number: int, book: PolicyBook) -> None:
    books[number] = book
    while len(books) > _BOOKS:
        del books[next(iter(books))]


class _Line:
    """Messages (kind, what) between two processes of ours. What was raised on the other side is raised by `hear`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._turn = asyncio.Lock()

    @classmethod
    async def over(cls, connection: socket.socket) -> Self:
        return cls(*await asyncio.open_connection(sock=connection))

    async def say(self, kind: str, what: Any) -> None:
        message = pickle.dumps((kind, what))
        self.writer.write(len(message).to_bytes(_SIZE) + message)
        await self.writer.drain()

    async def hear(self) -> tuple[str, Any]:
        """Raises EOFError or ConnectionError when the other side is gone."""
        size = int.from_bytes(await self.reader.readexactly(_SIZE))
        kind, what = pickle.loads(await self.reader.readexactly(size))
        if kind == "raised":
            raise what
        return kind, what

    async def ask(self, place: int, of: tuple[Any, ...]) -> Any:
        async with self._turn:
            await self.say("ask", (place, of))
            return (await self.hear())[1]

    def close(self) -> None:
        self.writer.close()


async def _outcome(work: Awaitable[Any]) -> tuple[str, Any]:
    """Whatever is raised belongs to the other side, which goes on as if there were only one process."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task})
    if failure := task.exception():
        failure.add_note("".join(traceback.format_tb(failure.__traceback__)))  # the only part that does not go over
        return "raised", failure
    return "answer", task.result()


class _There:
    """A guard or something to call that stayed with the service."""

    def __init__(self, line: _Line, place: int) -> None:
        self.line, self.place = line, place

    async def held(self, *of: Any) -> Any:
        return await self.line.ask(self.place, of)

    __call__ = held


async def _serve(control: socket.socket) -> None:
    """The process's life: each descriptor that arrives is a call. It ends with the control line, without waiting for what is still
    being done."""
    calls = set[asyncio.Task[None]]()

    def called() -> None:
        byte, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not byte:
            os._exit(0)
        calls.add(task := asyncio.create_task(_take(socket.socket(fileno=descriptors[0]))))
        task.add_done_callback(calls.discard)

    asyncio.get_running_loop().add_reader(control, called)
    await asyncio.Event().wait()


async def _take(connection: socket.socket) -> None:
    with closing(await _Line.over(connection)) as line:
        try:
            _, (of, verb, told, asked, books) = await line.hear()
            for place in asked:
                there = _There(line, place)
                told[place] = await _book(books[place], there) if place in books else there
            await line.say(*await _outcome(_work(line, getattr(_files(of), verb)(*told))))
        except _GONE:
            return  # whoever called gave up


@cache
def _files(of: bytes) -> Files:
    """One connector for all calls to a store: it remembers what it has read."""
    return Files(*pickle.loads(of))


_heard = dict[int, PolicyBook]()


async def _book(number: int, there: _There) -> PolicyBook:
    book = _heard.get(number) or await there()
    _remember(_heard, number, book)
    return book


async def _work(line: _Line, work: Any) -> Any:
    if inspect.isawaitable(work):
        return await work
    async for item in work:
        await line.say("item", item)
    return None


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=sys.stdin.fileno())))
