"""Load over HTTP/1.1 from one process: keep-alive connections, each with one request under way.

It must cost less than what it measures, so it reads nothing of an answer but its status and its length; `cpu` says how busy it
was itself, and a figure taken with a generator near 1.0 is the generator's and not the server's.
"""

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Load:
    """What was seen: answers by status, how long each took in seconds, the share of a core that asking took, how many seconds of a
    core one answer cost those who gave it, and how many answers there were with those that warmed up."""

    seconds: float = 0
    cpu: float = 0
    cost: float = 0
    all_of_it: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.took) / self.seconds

    def milliseconds(self, percent: int) -> float:
        return statistics.quantiles(self.took, n=100)[percent - 1] * 1000


async def load(
    port: int, requests: Iterator[bytes], *, status: int, connections: int, seconds: float, rate: float | None = None
) -> Load:
    """Send what `requests` yields, as fast as answers come or `rate` a second. Raises RuntimeError for another status."""
    run, loop = _Run(requests, rate), asyncio.get_running_loop()
    lines = [(await loop.create_connection(lambda: _Line(run), "127.0.0.1", port))[1] for _ in range(connections)]
    began, busy = time.perf_counter(), time.process_time()
    run.until = began + seconds
    for line in lines:
        run.free(line)
    if rate:
        await _pace(run, began, rate)
    await asyncio.gather(*(line.done for line in lines))
    run.seen.seconds = time.perf_counter() - began
    run.seen.cpu = (time.process_time() - busy) / run.seen.seconds
    if set(run.seen.statuses) != {status}:
        raise RuntimeError(f"answers other than {status}: {run.seen.statuses}")
    return run.seen


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Run:
    """Which connection sends when. At a set rate, a request that finds no free connection has waited since it was due."""

    def __init__(self, requests: Iterator[bytes], rate: float | None) -> None:
        self.requests, self.paced, self.seen, self.until = requests, rate is not None, Load(), 0.0
        self.idle: list[_Line] = []
        self.due: deque[float] = deque()

    def free(self, line: "_Line") -> None:
        now = time.perf_counter()
        if now >= self.until:
            line.transport.close()
        elif not self.paced:
            line.send(next(self.requests), now)
        elif self.due:
            line.send(next(self.requests), self.due.popleft())
        else:
            self.idle.append(line)

    def ask(self) -> None:
        now = time.perf_counter()
        if self.idle:
            self.idle.pop().send(next(self.requests), now)
        else:
            self.due.append(now)

    def end(self) -> None:
        for line in self.idle:
            line.transport.close()


async def _pace(run: _Run, began: float, rate: float) -> None:
    asked = 0
    while (now := time.perf_counter()) < run.until:
        while asked < (now - began) * rate:
            run.ask()
            asked += 1
        await asyncio.sleep(0.001)
    run.end()


class _Line(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self.run, self.held = run, b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def send(self, message: bytes, since: float) -> None:
        self.since = since
        self.transport.write(message)

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, blank, rest = self.held.partition(b"\r\n\r\n")
        if not blank:
            return
        at = head.lower().find(b"content-length: ")
        length = int(head[at + 16 :].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        seen, status = self.run.seen, int(head[9:12])
        seen.statuses[status] = seen.statuses.get(status, 0) + 1
        seen.took.append(time.perf_counter() - self.since)
        self.held = rest[length:]
        self.run.free(self)

    def connection_lost(self, failure: Exception | None) -> None:
        if self in self.run.idle:  # the server closes what was not used for a while
            self.run.idle.remove(self)
        if not self.done.done():
            self.done.set_result(None)
