"""Work that is done in a process of its own, which begins with the first call and ends when nobody has called for a while.

    elsewhere = Elsewhere(rest=5, shared=(PolicyBook,))
    async for kind, what in elsewhere.do(work, book, rows):     # ("item", …) for what it yields, and last ("answer", …)
        ...

`work` is a function of a module; it answers with an awaitable or an async generator. A call is a connection: the function's name and its
arguments go over, what it yields or answers comes back, and what can be called stays here and is asked back over the same connection; so
is what is `shared`, once in the life of that process. When the service ends, however it ends, so does that process, at once: it is as if
one process had been killed.
"""

import asyncio
import inspect
import os
import pickle
import socket
import sys
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any, Self

_SIZE = 8  # bytes that say how long a message is
_REMEMBERED = 4  # of what is shared, on either side
GONE = (EOFError, ConnectionError)


class Elsewhere:
    """The process. rest: seconds after a call in which the next one finds it · shared: types of which it remembers what it was told, since
    to send and read that takes longer than some work · environment: what it is told besides the service's own."""

    def __init__(
        self, rest: float, shared: tuple[type, ...] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self.rest, self.shared, self.environment = rest, shared, environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._starting = asyncio.Lock()
        self._calls = 0
        self._told, self._number = dict[int, object](), 0

    @property
    def runs(self) -> bool:
        return self._control is not None and self._process is not None and self._process.returncode is None

    async def do(
        self, work: Callable[..., Any], *told: Any, rest: float | None = None
    ) -> AsyncGenerator[tuple[str, Any]]:
        """The work's items and, last, its answer. rest: another one after this call. Raises what was raised there, and EOFError or
        ConnectionError when that process ended in the middle."""
        here = {place: one for place, one in enumerate(told) if callable(one) or isinstance(one, self.shared)}
        sent = [None if place in here else one for place, one in enumerate(told)]
        numbers = {place: self._number_of(one) for place, one in here.items() if isinstance(one, self.shared)}
        async with self._line(self.rest if rest is None else rest) as line:
            await line.say("do", (work, sent, list(here), numbers))
            kind = ""
            while kind != "answer":
                kind, what = await line.hear()
                if kind != "ask":
                    yield kind, what
                    continue
                place, of = what
                asked = here[place]
                await line.say(*(("answer", asked) if place in numbers else await _outcome(asked(*of))))

    async def close(self) -> None:
        self._stay()
        self._end()
        if self._process:
            await self._process.wait()

    def _number_of(self, one: object) -> int:
        for number, known in self._told.items():
            if known is one:
                return number
        self._number += 1
        _remember(self._told, self._number, one)
        return self._number

    @asynccontextmanager
    async def _line(self, rest: float) -> AsyncIterator["_Line"]:
        """A line to the process, which is started if it does not run."""
        self._calls += 1
        self._stay()
        try:
            with closing(await _Line.over(await self._connected())) as line:
                yield line
        except GONE:
            self._end()
            raise
        finally:
            self._calls -= 1
            if not self._calls:
                self._ending = asyncio.get_running_loop().call_later(rest, self._end)

    async def _connected(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                async with self._starting:
                    if not self.runs:
                        await self._start()
                    socket.send_fds(self._control, [b"."], [theirs.fileno()])
            except BaseException:
                ours.close()
                raise
        return ours

    async def _start(self) -> None:
        self._end()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __name__),
                stdin=theirs.fileno(),
                start_new_session=True,
                env=os.environ | self.environment,
            )

    def _stay(self) -> None:
        if self._ending:
            self._ending.cancel()

    def _end(self) -> None:
        """The control line is its life."""
        if self._control:
            self._control.close()
            self._control = None


def _remember(told: dict[int, object], number: int, one: object) -> None:
    told[number] = one
    while len(told) > _REMEMBERED:
        del told[next(iter(told))]


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

    async def ask(self, place: int, of: tuple[Any, ...] = ()) -> Any:
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


# --- the other side ------------------------------------------------------------------------------------------------------

_heard = dict[int, object]()


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
            _, (work, told, here, numbers) = await line.hear()
            for place in here:
                told[place] = await _shared(numbers[place], line, place) if place in numbers else _asking(line, place)
            await line.say(*await _outcome(_done(line, work(*told))))
        except GONE:
            return  # whoever called gave up


def _asking(line: _Line, place: int) -> Callable[..., Awaitable[Any]]:
    """What can be called and stayed with the service."""
    return lambda *of: line.ask(place, of)


async def _shared(number: int, line: _Line, place: int) -> object:
    one = _heard.get(number) or await line.ask(place)
    _remember(_heard, number, one)
    return one


async def _done(line: _Line, work: Any) -> Any:
    if inspect.isawaitable(work):
        return await work
    async for item in work:
        await line.say("item", item)
    return None


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=sys.stdin.fileno())))
