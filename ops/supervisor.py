"""Runs the processes of one house on one machine: imports once, forks, watches, and stops everything in order.

Forking after the imports lets the children share what they all need (a third of the memory, a tenth of the start), and it is
safe only while the parent has neither thread nor event loop: everything that needs one runs in a forked child of its own.
"""

import gc
import http.client
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ops.catalogue import BY_NAME, CALLED_BY_ALL, EDGES, PROCESSES, Process, calls
from ops.home import ROOT, CannotRun, Home, explain

HOST = "127.0.0.1"
PATIENCE = 180  # seconds until a started process must be ready
POLITE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a house on one machine may be told from outside: whose electronic identities count, and how long what reads lakes stays.
FROM_OUTSIDE = {"identity": ("WARDLINE_EID",), "anonymizer": ("WARDLINE_LAKE_REST", "WARDLINE_LAKE_REST_LARGE")}
LAST_CHANCE = 8  # seconds between the request to end and the kill
# What most processes have loaded when they are ready, whether they import it themselves or a library does on first use. The apps
# are loaded too, each in all: modules made before the fork lie on pages that nobody writes to, and are shared.
SHARED = """
    chassis.app ops.migrate ops.serving sqlmodel jinja2 yaml orjson pydantic.v1 httpcore2 h11 holidays
    uvicorn.protocols.http.httptools_impl uvicorn.loops.uvloop uvicorn.lifespan.on anyio._backends._asyncio
    cryptography.hazmat.backends.openssl.backend encodings.idna
""".split()


@dataclass
class Child:
    """A running process. Replicas of one process differ in name and port."""

    name: str
    process: Process
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


class Supervisor:
    """Starts, watches and stops children. `environment` is what all of them are told beside what is their own."""

    def __init__(self, home: Home, ports: Mapping[str, int], environment: Mapping[str, str]) -> None:
        self.home, self.ports, self.environment = home, ports, environment
        self.children: dict[str, Child] = {}
        self.apps: dict[str, Any] = {}
        self.owner = os.getpid()
        # Nobody writes into it: the children read its end when this process is gone, however it went.
        self.life, self._life_held = os.pipe()

    def start(self, names: Iterable[str], say: Callable[[str], None] = lambda _: None) -> None:
        """Starts processes and returns when all are ready: first those that all others call, then the rest together."""
        names = list(names)
        self._build(names)
        for wave in ([n for n in names if n in CALLED_BY_ALL], [n for n in names if n not in CALLED_BY_ALL]):
            if wave:
                say(f"starting {', '.join(wave)}")
            for name in wave:
                self.launch(name, BY_NAME[name], self.ports[name])
            self.wait_until_ready(wave)
        self.publish()

    def launch(self, name: str, process: Process, port: int) -> Child:
        preload()
        with undivided():
            pid = os.fork()
            if pid == 0:
                _become(lambda: self._serve(name, process, port))
            self.children[name] = Child(name, process, port, pid)
        return self.children[name]

    def wait_until_ready(self, names: Iterable[str]) -> None:
        deadline = time.monotonic() + PATIENCE
        for name in names:
            while (waiting := _not_ready(self.children[name].port)) is not None:
                self.check_alive()
                if time.monotonic() > deadline:
                    raise CannotRun(f"{name} did not become ready: it waits for {waiting} (log: {self.log(name)}).")
                time.sleep(0.03)

    def check_alive(self) -> None:
        """Raises when any child has ended by itself."""
        for child in list(self.children.values()):
            if self.has_ended(child):
                del self.children[child.name]
                raise CannotRun(f"{child.name} ended unexpectedly: {_last_line(self.log(child.name))}")

    def has_ended(self, child: Child) -> bool:
        try:
            return os.waitpid(child.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True

    def restart(self, name: str) -> Child:
        """The same process on the same port, whether the old one still lives or not; returns when it is ready."""
        old = self.children[name]
        self.end([old])
        self.launch(name, old.process, old.port)
        self.wait_until_ready([name])
        self.publish()
        return self.children[name]

    def stop(self) -> None:
        """Ends everything in order: edges first, then those behind them, identity and registry last."""
        if os.getpid() != self.owner:
            return
        self.home.stack.unlink(missing_ok=True)
        last, first = set(CALLED_BY_ALL), {edge.name for edge in EDGES}
        everyone = list(self.children.values())
        self.end([child for child in everyone if child.process.name in first])
        self.end([child for child in everyone if child.process.name not in first | last])
        self.end([child for child in everyone if child.process.name in last])

    def end(self, children: list[Child]) -> None:
        for child in children:
            for message in (signal.SIGTERM, signal.SIGCONT):  # a stopped process hears the first only after the second
                _signal(child.pid, message)
        deadline = time.monotonic() + LAST_CHANCE
        for child in children:
            while not self.has_ended(child):
                if time.monotonic() > deadline:
                    _signal(child.pid, signal.SIGKILL)
                time.sleep(0.01)
            self.children.pop(child.name, None)

    def publish(self) -> None:
        running = {child.name: {"url": child.url, "pid": child.pid} for child in self.children.values()}
        fresh = self.home.stack.with_suffix(".new")
        fresh.write_text(json.dumps(running, indent=1))
        fresh.replace(self.home.stack)

    def log(self, name: str) -> Path:
        return self.home.logs / f"{name}.log"

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.ports[name]}"

    def told(self, process: Process, port: int) -> dict[str, str]:
        """The environment of one process; the names are those of chassis/settings.py."""
        return {
            "WARDLINE_HOME": str(self.home.path),
            "WARDLINE_ENVIRONMENT": "development",
            "WARDLINE_CLOCK_FILE": str(self.home.clock),
            "WARDLINE_SECRETS_DIR": str(self.home.secrets(process.name)),
            "WARDLINE_ISSUER": self.url("public"),
            "WARDLINE_JWKS_URL": f"{self.url('identity')}/jwks",
            "WARDLINE_PEERS": json.dumps({name: self.url(name) for name in calls(process)}),
            "WARDLINE_LISTEN_HOST": HOST,
            "WARDLINE_LISTEN_PORT": str(port),
            **({"WARDLINE_DATABASE_NAME": process.database} if process.database else {}),
            **({"WARDLINE_DATA_MAP": str(self.home.data_map)} if self.home.data_map.is_dir() else {}),
            **{name: os.environ[name] for name in FROM_OUTSIDE.get(process.name, ()) if name in os.environ},
            **self.environment,
        }

    def _build(self, names: Iterable[str]) -> None:
        """The apps before any fork: making one touches what all of them are made of, and each process would copy those pages."""
        preload(names)
        from ops import serving

        for name in names:
            with _environment(self.told(BY_NAME[name], self.ports[name])):
                self.apps[name] = serving.factory(BY_NAME[name])()
        gc.freeze()

    def _serve(self, name: str, process: Process, port: int) -> None:
        os.setsid()  # Ctrl-C is for the supervisor, which ends its children in order
        os.close(self._life_held)
        _write_to(self.log(name))
        os.chdir(ROOT)
        _be_called(f"wl-{name}")
        threading.Thread(target=_end_with_parent, args=(self.life,), daemon=True, name="life").start()
        from ops import serving

        with _environment(self.told(process, port)):
            # An app made before the fork knows the stores of `policy/stores`; a house with a map of its own makes them again.
            made = name in self.apps and not self.home.data_map.is_dir()
            app = self.apps[name] if made else serving.factory(process)()
            serving.run(app, HOST, port, serving.connection_of(process))


@contextmanager
def _environment(told: Mapping[str, str]) -> Iterator[None]:
    """What a process is told is all of Wardline that stands in its environment."""
    before = dict(os.environ)
    for inherited in [key for key in before if key.startswith("WARDLINE_")]:
        del os.environ[inherited]
    os.environ.update(told)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def undivided() -> Iterator[None]:
    """A fork and the note of its child belong together: polite signals wait. Besides, Python drops what a handler raises inside its
    own at-fork callbacks."""
    signal.pthread_sigmask(signal.SIG_BLOCK, POLITE)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, POLITE)


@contextmanager
def deferred() -> Iterator[None]:
    """A Ctrl-C is heard at the end: what a handler raises while a library is imported, the library may swallow."""
    came: list[int] = []
    before = {polite: signal.signal(polite, lambda number, _: came.append(number)) for polite in POLITE}
    try:
        yield
    finally:
        for polite, handler in before.items():
            signal.signal(polite, handler)
    if came:
        raise KeyboardInterrupt


def preload(names: Iterable[str] = tuple(BY_NAME)) -> None:
    """Imports what all children share and the apps of those that are wanted, once, and keeps the collector from touching (and so
    copying) those pages."""
    if SHARED[0] in sys.modules:
        return
    before = threading.active_count()
    apps = [BY_NAME[name].app.partition(":")[0] for name in names]
    with deferred():
        for name in (*SHARED, *apps):
            import_module(name)
    if threading.active_count() > before:
        raise CannotRun("A library started a thread while it was imported; forking would not be safe.")
    import_module("chassis.client").trust()
    # What the ORM works out about each table it would else work out in every process.
    import_module("sqlalchemy.orm").configure_mappers()
    gc.collect()
    gc.freeze()


def in_child(work: Callable[[], None], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Runs `work` in a fork, so that its threads, loops and memory stay out of the supervisor; raises what it could not do."""
    with beside(work) as finished:
        finished(meanwhile)


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[Callable[..., None]]:
    """`work` goes on in a fork until what is yielded is called, which waits for its end as `in_child` does; left earlier, it is ended."""
    preload()
    reader, writer = os.pipe()
    pid = 0

    def finished(meanwhile: Callable[[], None] = lambda: None) -> None:
        nonlocal pid
        while not select.select([reader], [], [], 0.2)[0]:
            meanwhile()
        with os.fdopen(reader, "rb", closefd=False) as file:
            sentence = file.read().decode()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        pid = 0
        if status == -signal.SIGINT:
            raise KeyboardInterrupt  # Ctrl-C reached the child first
        if status:
            raise CannotRun(sentence or f"A step ended with status {status}; what it said stands above.")

    try:
        with undivided():
            pid = os.fork()
            if pid == 0:
                os.close(reader)
                _become(work, writer)
        os.close(writer)
        yield finished
    finally:
        os.close(reader)
        if pid:
            _signal(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def choose_ports(free: bool = False) -> dict[str, int]:
    """Every process's port: the catalogue's, each checked to be unused now, or any free ones."""
    if free:
        return _free_ports()
    for process in PROCESSES:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, process.port))
            except OSError:
                raise CannotRun(
                    f"Port {process.port} ({process.name}) is used by another program; "
                    "stop it, or let free ports be chosen with --free-ports."
                ) from None
    return {process.name: process.port for process in PROCESSES}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _free_ports() -> dict[str, int]:
    """All held at once while they are drawn, so that none is drawn twice."""
    probes = [socket.socket() for _ in PROCESSES]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return {process.name: probe.getsockname()[1] for process, probe in zip(PROCESSES, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()


def _become(work: Callable[[], None], failures: int | None = None) -> None:
    """The life of a forked child; it never returns into the parent's code."""
    status = 1
    try:
        for known in POLITE:
            signal.signal(known, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, POLITE)
        os.umask(0o077)
        work()
        status = 0
    except (CannotRun, OSError) as failure:
        sentence = str(failure) if isinstance(failure, CannotRun) else explain(failure)
        if failures is None:
            print(sentence, file=sys.stderr)
        else:
            os.write(failures, sentence.encode())
    finally:
        unforeseen = sys.exc_info()
        if unforeseen[0] is SystemExit and not unforeseen[1].code:
            status = 0
        elif unforeseen[0]:
            traceback.print_exception(*unforeseen)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _be_called(name: str) -> None:
    """The name shown by `ps` and `top`, where the kernel lets a process choose it."""
    comm = Path("/proc/self/comm")
    if comm.exists():
        comm.write_text(name[:15])


def _end_with_parent(life: int) -> None:
    os.read(life, 1)
    _signal(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_CHANCE)
    os._exit(1)


def _write_to(log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(source, target)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold keys and personal data


def _not_ready(port: int) -> str | None:
    """What a process still waits for; None when it is ready."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = answer.read()
        return None if answer.status == 200 else ", ".join(json.loads(body).get("waiting_for", [])) or "something"
    except (OSError, http.client.HTTPException):
        return "its port"
    except ValueError:
        return "a readable answer"
    finally:
        connection.close()


def _signal(pid: int, message: int) -> None:
    try:
        os.kill(pid, message)
    except ProcessLookupError:
        pass


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"{lines[-1].strip()[:500] if lines else 'it said nothing'} (log: {log})"
