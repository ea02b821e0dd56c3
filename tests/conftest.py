"""What all tests share: houses of their own under /tmp, one PostgreSQL per session, and who runs beside whom."""

import fcntl
import gc
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from ops import keys
from ops.home import Home
from ops.postgres import Postgres

# No test takes the machine's power away: what PostgreSQL has written survives every kill without being forced to the disk.
os.environ.setdefault("WARDLINE_POSTGRES_OPTIONS", "-c fsync=off")
# To start what reads lakes takes longer than to come back to it, and nobody counts memory here.
os.environ.setdefault("WARDLINE_LAKE_REST", "60")
os.environ.setdefault("WARDLINE_LAKE_REST_LARGE", "60")
# Nothing of what is imported and collected becomes garbage; looking for it takes a third of the time that collecting takes.
gc.disable()
# How long a machine takes to draw an example, or to go through one, says nothing of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


ALIKE = "WARDLINE_TEST_HOUSES"
"""The folder with the first of all houses that are alike, which the workers of one run share."""


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        folder = os.environ[ALIKE] = tempfile.mkdtemp(prefix="wardline-test-", dir="/tmp")
        Path(folder).chmod(0o755)
        config.add_cleanup(lambda: shutil.rmtree(folder))


# Who runs beside whom: a folder's tests stay together, since what they share (a house, a running stack) is started once; files that
# have a house of their own go by themselves, and the longest of rights. Longest first, so that nobody has a long one left when the
# others are done; but behind a file of a single test comes a short group, since whoever has that one is handed the next at once.
TOGETHER = """
    containers attacks journeys rights anonymizer/test_boundaries.py rights/test_access.py webhooks
    anonymizer registry journeys/test_secrecy.py anonymizer/test_workers.py rights/test_boundaries.py sample
    ops/test_run.py consent rights/test_kills.py disclosure anonymizer/test_kill.py identity ops chassis gateway
    consent/test_never_stale.py anonymizer/test_sweep_kills.py anonymizer/test_oracle.py benchmarks
""".split()


def group(path: str) -> str:
    """Of a test's id or file, below `tests`."""
    file = path.split("::")[0].removeprefix("tests/")
    return file if file in TOGETHER else file.split("/")[0]


class Together(LoadScopeScheduling):
    """One process has all of a group. (xdist's own `loadgroup` writes into ids that pytest 9.2 does not read any more, and says nothing.)"""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(TOGETHER)}
    items.sort(key=lambda item: order.get(group(item.nodeid), len(order)))


_TAKEN: dict[str, Any] = {}
_TIMES: dict[str, tuple[float, float]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A suite whose groups fell apart starts every house in every process, and would only be slow."""
    if node := getattr(report, "node", None):
        name = group(report.nodeid)
        assert _TAKEN.setdefault(name, node) is node, f"two processes run {name}"
        _TIMES[name] = (_TIMES.get(name, (report.start, 0))[0], report.stop)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Who had which group from when until when: what ends long after the others is to begin earlier in `TOGETHER`."""
    for name, (began, ended) in sorted(_TIMES.items(), key=lambda each: each[1]):
        first = min(_TIMES.values())[0]
        terminalreporter.write_line(f"{_TAKEN[name].gateway.id} {began - first:5.0f}–{ended - first:4.0f} s  {name}")


def pytest_collection_finish() -> None:
    gc.freeze()  # six thousand tests and what they import stay to the end; nobody need look through them again and again
    gc.enable()


@contextmanager
def house(like: str = "", made: Callable[[Home], None] = lambda _: None) -> Iterator[Home]:
    """An empty house that the database's user may enter (pytest's own directories are closed to others).

    Where several workers run, one that is `like` others is a copy of the first of them, which `made` makes and stops again. Whoever is
    alone gets an empty one: each step of making a house finds done what was done, so what starts from a copy is what starts from nothing.
    """
    folder = Path(tempfile.mkdtemp(prefix="wardline-test-", dir="/tmp"))
    folder.chmod(0o755)
    home = Home(folder / "house")
    if like and ALIKE in os.environ:
        subprocess.run(["cp", "-a", _first(like, made), home.path], check=True)
    else:
        home.make()
    try:
        yield home
    finally:
        Postgres(home).remove()
        shutil.rmtree(folder)


def _first(like: str, made: Callable[[Home], None]) -> Path:
    """Whoever comes first makes it, and the others wait."""
    folder = Path(os.environ[ALIKE])
    first = Home(folder / like)
    with (folder / f"{like}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not first.path.exists():
            with house() as making:
                made(making)
                making.path.rename(first.path)
    return first.path


@pytest.fixture
def home() -> Iterator[Home]:
    with house() as home:
        yield home


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL with every process's secrets beside it; its databases are for the tests to make."""
    with house() as home:
        keys.make(home)
        server = Postgres(home)
        server.start()
        yield server


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server
