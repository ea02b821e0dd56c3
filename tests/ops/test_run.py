"""`./dev run` from outside: what it says when it cannot start, and that nothing of it is left when it has ended."""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from ops import home as home_module
from ops import run as run_module
from ops.catalogue import BY_NAME, PROCESSES, calls
from ops.home import ROOT, CannotRun, Home, explain
from ops.postgres import Postgres
from ops.stack import Stack
from ops.supervisor import HOST, choose_ports
from tests.patience import PATIENCE

ONLY = ("identity",)  # one real service is enough to see how any is treated


def command(home: Home, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "ops", "--home", str(home.path), "run", "--no-sample", "--only", *ONLY, *arguments]


def run(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(home, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL
    )


def processes_of(home: Home) -> list[str]:
    """Command lines of living processes that mention this house; a zombie has none."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(home.path) in words and "pytest" not in words:
            found.append(words)
    return found


def test_once_ends_with_success_and_a_second_run_starts_from_what_is_there(home: Home) -> None:
    secrets = []
    for time_around in ("first", "second"):
        ended = run(home, "--once", "--free-ports", *(["--only", *BY_NAME] if time_around == "first" else []))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert ("creating the database cluster" in ended.stdout) == (time_around == "first")
        assert processes_of(home) == []
        assert not home.stack.exists()
        assert {log.name: log.read_text() for log in home.logs.glob("*.log") if log.stat().st_size} == {}, "no alarm"
        secrets.append((home.secrets("identity") / "token.jwk").read_bytes())
    assert secrets[0] == secrets[1]


def test_a_house_that_lost_its_keys_says_which_and_goes_on_with_no_others(home: Home) -> None:
    assert run(home, "--once", "--free-ports").returncode == 0
    secrets, own = home.path / "secrets", home.secrets("identity")
    shutil.copytree(secrets, home.path / "copy")
    of_identity = f"{own} does not hold the keys that the database of identity was written with: put back ledger.jwk"
    of_postgres = f"{secrets}/postgres/superuser.password is not the password of PostgreSQL"
    # Also when fresh ones were made meanwhile.
    for lost, said in ((own, of_identity), (None, of_identity), (secrets, of_postgres)):
        if lost:
            shutil.rmtree(lost)
        ended = run(home, "--once", "--free-ports")
        assert ended.returncode == 1 and said in ended.stderr, ended.stderr
        assert ended.stderr.count("\n") == 1
    shutil.copytree(home.path / "copy", secrets, dirs_exist_ok=True)
    again = run(home, "--once", "--free-ports")
    assert again.returncode == 0, again.stderr
    assert processes_of(home) == []


@pytest.mark.parametrize("torn", ["", "86\0\0", "nan", "1e300"])
def test_a_clock_that_was_half_written_is_said(home: Home, torn: str) -> None:
    home.make()
    home.clock.write_text(torn)
    ended = run(home, "--once", "--free-ports")
    assert ended.returncode == 1 and f"{home.clock} holds no number" in ended.stderr and "Traceback" not in ended.stderr
    assert home.clock.read_text() == torn


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_everything_cleanly(home: Home, how: signal.Signals) -> None:
    with subprocess.Popen(command(home, "--free-ports"), cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            if "Ctrl-C stops everything" in line:
                break
        assert any("postgres" in words for words in processes_of(home))
        running.send_signal(how)
        running.stdout.read()
        assert running.wait(PATIENCE) == 0
    assert processes_of(home) == []


@pytest.mark.parametrize("moment", ["importing what all processes share", "starting identity"])
def test_interrupted_while_it_starts_it_leaves_nothing_half_started(home: Home, moment: str) -> None:
    with subprocess.Popen(command(home, "--free-ports"), cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            if moment in line:
                break
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        assert running.wait(PATIENCE) == 130
    assert processes_of(home) == []


def test_services_end_when_the_supervisor_is_killed(home: Home) -> None:
    with subprocess.Popen(command(home, "--free-ports"), cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            if "Ctrl-C stops everything" in line:
                break
        running.kill()
    deadline = time.monotonic() + PATIENCE
    while any("-m ops" in words for words in processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any("-m ops" in words for words in processes_of(home))
    assert run(home, "--once", "--free-ports").returncode == 0, "the database left running is adopted and stopped"
    assert processes_of(home) == []


def test_a_dead_service_stops_the_house_and_is_named(home: Home) -> None:
    with subprocess.Popen(
        command(home, "--free-ports"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        for line in running.stdout:
            if "Ctrl-C stops everything" in line:
                break
        os.kill(json.loads(home.stack.read_text())["identity"]["pid"], signal.SIGKILL)
        complaint = running.stderr.read()
        running.stdout.read()
        assert running.wait(PATIENCE) == 1
    assert complaint.startswith("wardline: identity ended unexpectedly")
    assert complaint.count("\n") == 1
    assert processes_of(home) == []


def test_a_port_in_use_is_named_before_anything_starts(home: Home) -> None:
    with socket.create_server((HOST, 0)) as taken:
        patched = f"import runpy, sys, ops.catalogue as c; object.__setattr__(c.PROCESSES[0], 'port', {taken.getsockname()[1]}); "
        patched += f"sys.argv[1:] = {command(home)[3:]!r}; runpy.run_module('ops', run_name='__main__')"
        ended = subprocess.run([sys.executable, "-c", patched], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert f"Port {taken.getsockname()[1]} (identity) is used by another program" in ended.stderr
    assert ended.returncode == 1
    assert not home.postgres.exists()


def test_two_runs_in_one_house_are_refused(home: Home) -> None:
    with home.locked():
        ended = run(home, "--once", "--free-ports")
    assert ended.returncode == 1
    assert f"Another run (process {os.getpid()}) is using {home.path}" in ended.stderr


def test_too_little_disk_is_said_in_one_sentence(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(CannotRun, match="less than 1 GB free"):
        home.make()


def test_a_disk_that_fills_up_on_the_way_is_said_in_one_sentence(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(CannotRun, match=f"The disk of {home.path} is full"), run_module._room(home):
        raise ConnectionError("what the database said when it fell")


def test_a_house_that_cannot_be_made_is_said_in_one_sentence(home: Home) -> None:
    (home.path / "file").touch()
    ended = run(Home(home.path / "file" / "house"), "--once", "--free-ports")
    assert ended.returncode == 1
    assert ended.stderr.startswith("wardline: ") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "No permission for"), (errno.EROFS, "read-only")],
)
def test_what_the_system_refuses_is_explained(number: int, sentence: str) -> None:
    assert sentence in explain(OSError(number, os.strerror(number), "/some/where"))


def test_a_step_that_fails_in_its_own_process_tells_why() -> None:
    script = (
        "from ops.supervisor import in_child; from ops.home import CannotRun\ndef f(): raise CannotRun('The reason.')\n"
    )
    script += "try: in_child(f)\nexcept CannotRun as e: print(e)"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "The reason.\n"


def test_free_ports_are_all_different() -> None:
    assert len(set(choose_ports(free=True).values())) == len(PROCESSES)


def test_everybody_calls_only_processes_that_exist() -> None:
    for process in PROCESSES:
        assert set(calls(process)) <= BY_NAME.keys() - {process.name}


@pytest.fixture(scope="module")
def small_stack() -> Iterator[Stack]:
    from tests.conftest import house

    with house() as home, Stack(home.path, ONLY) as stack:
        yield stack


def ready(url: str) -> bool:
    with urlopen(f"{url}/health/ready", timeout=5) as answer:
        return answer.status == 200


def test_a_killed_process_comes_back_on_the_same_address(small_stack: Stack) -> None:
    url, pid = small_stack.url("identity"), small_stack.pid("identity")
    small_stack.kill("identity")
    with pytest.raises(OSError):
        while ready(url):
            time.sleep(0.01)
    small_stack.restart("identity")
    assert small_stack.url("identity") == url and small_stack.pid("identity") != pid
    assert ready(url)


def test_a_stopped_process_can_be_restarted(small_stack: Stack) -> None:
    small_stack.kill("identity", signal.SIGSTOP)
    small_stack.restart("identity")
    assert ready(small_stack.url("identity"))


def test_a_replica_runs_beside_its_original(small_stack: Stack) -> None:
    small_stack.replica("identity", "identity-2")
    assert ready(small_stack.url("identity")) and ready(small_stack.url("identity-2"))
    assert small_stack.url("identity") != small_stack.url("identity-2")
    small_stack.end("identity-2")


def test_a_restarted_database_is_found_again(small_stack: Stack) -> None:
    small_stack.postgres.kill()
    small_stack.postgres.start()
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if ready(small_stack.url("identity")):
                break
        except OSError:
            assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_stack_that_cannot_start_says_why(home: Home) -> None:
    with home.locked(), pytest.raises(CannotRun, match="Another run"):
        Stack(home.path, ONLY).start()
    assert Postgres(home).pid() is None
