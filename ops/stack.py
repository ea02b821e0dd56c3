"""A running house of its own for tests and benchmarks: `with Stack(home) as stack: stack.url("consent")`.

The supervisor forks, and a test process has threads; so the house is run by a process of its own, which ends when this one
closes its input, however that comes to pass.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from ops.home import ROOT, CannotRun, Home
from ops.postgres import Postgres


class Stack:
    def __init__(self, home: Path, only: Iterable[str] = (), *, sample: bool = False, subscribers: int = 200) -> None:
        """home: an empty or earlier used directory · only: processes to start (default: all) · sample: with its stores."""
        self.home = Home(home.absolute())
        self.postgres = Postgres(self.home)
        self._arguments = ["--subscribers", str(subscribers)]
        self._arguments += [] if sample else ["--no-sample"]
        self._arguments += ["--only", *only] if only else []
        self._processes: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when every process is ready; raises CannotRun with what the house said."""
        self.home.path.mkdir(parents=True, exist_ok=True)
        self._said = (self.home.path / "stack.err").open("w+b")
        self._runner = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ops",
                "--home",
                self.home.path,
                "run",
                "--stack-only",
                "--free-ports",
                *self._arguments,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "default"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,
            text=True,
        )
        self._processes = self._hear()

    def stop(self) -> None:
        """Ends the house; nothing of it runs when this returns."""
        self._runner.stdin.close()
        self._runner.wait(60)
        self._runner.stdout.close()
        self._said.close()

    def url(self, name: str) -> str:
        return self._processes[name]["url"]

    def pid(self, name: str) -> int:
        return self._processes[name]["pid"]

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Sends a process a signal: SIGKILL (it stays down until `restart`), SIGSTOP, SIGCONT, …"""
        os.kill(self.pid(name), how)

    def restart(self, name: str) -> None:
        """Down if it still runs, then up on the same port; returns when it is ready."""
        self._processes[name] = self._order(do="restart", name=name)

    def replica(self, process: str, name: str) -> None:
        """One more process of the same kind, under a name and port of its own."""
        self._processes[name] = self._order(do="replica", name=name, process=process)

    def end(self, name: str) -> None:
        self._order(do="end", name=name)

    def _order(self, **order: str) -> dict[str, Any]:
        self._runner.stdin.write(json.dumps(order) + "\n")
        self._runner.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        """The next answer; what is not JSON is progress for people."""
        for line in self._runner.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                if "error" in answer:
                    raise CannotRun(answer["error"])
                return answer
        self._said.seek(0)
        sentence = self._said.read().decode().strip() or "The house ended without a word."
        self.stop()
        raise CannotRun(sentence)
