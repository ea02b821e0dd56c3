"""`./dev run`: PostgreSQL, migrations, keys, services, sample operator, tour; then up until Ctrl-C, and all of it down again."""

import asyncio
import json
import os
import select
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from chassis import clock
from ops import keys, memory
from ops.catalogue import BY_NAME, PROCESSES
from ops.home import ROOT, CannotRun, Home
from ops.postgres import Postgres
from ops.steps import say, step
from ops.supervisor import Supervisor, beside, choose_ports, deferred, free_port, in_child, preload

FULL = 50_000_000  # bytes: PostgreSQL gives up before the last one
EVERYBODY = tuple(process.name for process in PROCESSES)


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line."""

    only: tuple[str, ...] = EVERYBODY
    subscribers: int = 2000
    free_ports: bool = False
    once: bool = False
    sample: bool = True
    tour: bool = True
    controlled: bool = False


def run(home: Home, wishes: Wishes) -> None:
    ports = choose_ports(wishes.free_ports)
    home.make()
    with home.locked(), _interruptible(), house(home, ports, wishes) as supervisor:
        if wishes.tour:
            _tour(home, supervisor)
        if wishes.controlled:
            obey(supervisor)
        elif wishes.once:
            say(f"all done; everything that was started is being stopped{_memory(home)}")
        else:
            _stay(home, supervisor)


@contextmanager
def house(home: Home, ports: dict[str, int], wishes: Wishes) -> Iterator[Supervisor]:
    """Everything up at entry; at exit, however it comes, everything down."""
    postgres = Postgres(home)
    keys.make(home)
    _wind(home)
    for log in home.logs.glob("*.log"):
        log.unlink()
    supervisor = Supervisor(home, ports, postgres.environment())
    try:
        # The thread is over before anything forks.
        with ThreadPoolExecutor(1) as meanwhile, step("starting PostgreSQL, and importing what all processes share"):
            # An executor that is interrupted while it starts its thread forgets it, and would not be waited for.
            with deferred():
                started = meanwhile.submit(postgres.start, say)
            preload(wishes.only)
            started.result()
        if postgres.place != home.postgres:
            say(f"PostgreSQL's files lie in {postgres.place}, since its user may not enter {home.path}")
        with beside(lambda: _fill(home, postgres, wishes)) as filled:
            with step("bringing the schemas up to date"):
                in_child(lambda: _migrate(home, postgres, wishes))
            with step("filling the sample operator's stores, which are kept for the next run"):
                filled()
        with step("starting the services"):
            supervisor.start(wishes.only, say)
        if wishes.sample:
            _introduce(home, supervisor)
        yield supervisor
    finally:
        with _undisturbed():
            supervisor.stop()
            postgres.stop()


def _wind(home: Home) -> None:
    """Business time as the last run left it; of a house that begins it is the machine's. Every process reads it at each step."""
    if not home.clock.exists():
        clock.set_offset(home.clock, timedelta(0))
    try:
        timedelta(seconds=float(home.clock.read_text()))
    except (ValueError, OverflowError):
        raise CannotRun(
            f"{home.clock} holds no number: write into it by how many seconds business time is ahead, or 0."
        ) from None
    home.clock.touch()


def _migrate(home: Home, postgres: Postgres, wishes: Wishes) -> None:
    from ops.migrate import Cluster, main

    cluster = Cluster(str(postgres.socket_dir), home.path / "secrets")
    with _room(home):
        main(cluster, [BY_NAME[name] for name in wishes.only], say)


def _fill(home: Home, postgres: Postgres, wishes: Wishes) -> None:
    if wishes.sample:
        import sample

        with _room(home):
            asyncio.run(sample.fill(home, postgres, subscribers=wishes.subscribers, progress=say))


@contextmanager
def _room(home: Home) -> Iterator[None]:
    """A full disk is said in one sentence, whoever met it: the database, which may fall over it, or a file of ours."""
    try:
        yield
    except Exception as failure:
        if shutil.disk_usage(home.path).free > FULL:
            raise
        raise CannotRun(f"The disk of {home.path} is full; make room or set WARDLINE_HOME.") from failure


def _introduce(home: Home, supervisor: Supervisor) -> None:
    """Makes the sample operator's people, logins and notice known to a Wardline that has not heard of them."""
    if (home.path / "sample" / "principals.json").exists():
        return

    def seed() -> None:
        from sample.seeding import seed

        seed(home.path, supervisor.url("public"), supervisor.url("internal"), say)

    with step("introducing the sample operator over the edges"):
        in_child(seed, meanwhile=supervisor.check_alive)


def _tour(home: Home, supervisor: Supervisor) -> None:
    def show() -> None:
        from sample.tour import TourFailed, tour

        try:
            tour(home.path, public=supervisor.url("public"), internal=supervisor.url("internal"), out=ROOT / "out")
        except TourFailed as failure:
            raise CannotRun(str(failure)) from failure

    with step("the tour"):
        in_child(show, meanwhile=supervisor.check_alive)


def _stay(home: Home, supervisor: Supervisor) -> None:
    try:
        for line in farewell(home, supervisor):
            print(line, flush=True)
        while True:
            supervisor.check_alive()
            select.select([], [], [], 0.5)
    except KeyboardInterrupt:
        say("stopping")


def farewell(home: Home, supervisor: Supervisor) -> list[str]:
    """Where to look now, and as whom to log in."""
    guide = home.path / "sample" / "guide.txt"
    return [
        "",
        f"Wardline is up{_memory(home)}",
        f"  public edge    {supervisor.url('public')}",
        f"  internal edge  {supervisor.url('internal')}",
        f"  what was seen  {ROOT / 'out'}",
        f"  logs           {home.logs}",
        *(guide.read_text().splitlines() if guide.exists() else []),
        "",
        "Ctrl-C stops everything; the next run starts from what is there; ./dev clean removes it.",
    ]


def _memory(home: Home) -> str:
    server = Postgres(home).pid()
    pids = memory.descendants([os.getpid(), *([server] if server else [])])
    megabytes = memory.pss_megabytes(pids)
    return f"; all {len(pids)} processes together take {megabytes:.0f} MB." if megabytes else "."


def obey(supervisor: Supervisor) -> None:
    """For tests: orders as JSON lines on standard input, answers on standard output; its end is the end."""
    answer({name: {"url": child.url, "pid": child.pid} for name, child in supervisor.children.items()})
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer(_carry_out(supervisor, **order))
        except CannotRun as failure:
            answer({"error": str(failure)})


def _carry_out(supervisor: Supervisor, do: str, name: str, process: str | None = None) -> dict[str, Any]:
    match do:
        case "restart":
            child = supervisor.restart(name)
        case "replica":
            child = supervisor.launch(name, BY_NAME[process or name], free_port())
            supervisor.wait_until_ready([name])
            supervisor.publish()
        case "end":
            child = supervisor.children[name]
            supervisor.end([child])
        case _:
            raise CannotRun(f"Nobody knows how to do {do!r}.")
    return {"url": child.url, "pid": child.pid}


def answer(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def clean(home: Home, results: Path = ROOT / "out") -> None:
    """Removes what runs have made: data, secrets, results."""
    if home.path.exists():
        with home.locked():
            Postgres(home).remove()
            shutil.rmtree(home.path)
    shutil.rmtree(results, ignore_errors=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """A polite end (`kill`, a closed terminal) is taken like Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Set for Ctrl-C too: whoever starts us in the background may have had it ignored.
    for polite in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(polite, interrupt)
    yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """While everything is being stopped, a second Ctrl-C must not leave half of it running."""
    known = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: list[tuple[signal.Signals, Callable[..., Any] | int | None]] = [
        (each, signal.signal(each, signal.SIG_IGN)) for each in known
    ]
    yield
    for each, handler in before:
        signal.signal(each, handler)
