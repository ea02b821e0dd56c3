"""Rights as a process of its own that a test may kill: `python -m tests.rights.victims` imports once, and forks a server for each port it
reads on its input. It ends, with all of them, when its input closes."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from chassis.db import Database
from ops import serving
from services.requests.rights.app import create_app
from services.requests.rights.settings import Settings
from tests.patience import PATIENCE
from tests.serving import told

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
CONNECTIONS = 20


class Victim:
    """`log`: where what it says goes; a pipe that nobody reads would hold it up one day."""

    def __init__(self, settings: Settings, port: int, log: int | IO[Any] = subprocess.DEVNULL) -> None:
        self.port = port
        self.parent = subprocess.Popen(
            [sys.executable, "-m", "tests.rights.victims"],
            cwd=ROOT,
            env=os.environ | told(settings),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        self.start()

    def start(self) -> None:
        """Returns when it listens."""
        print(self.port, file=self.parent.stdin, flush=True)
        self.pid = next(int(line) for line in self.parent.stdout if line.strip().isdigit())
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection((HOST, self.port), 1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        self.parent.stdin.close()
        self.parent.wait(PATIENCE)
        self.parent.stdout.close()


def main() -> None:
    # Whoever is held at a gate keeps a connection; with the usual five nobody else would get one.
    Database.__init__.__defaults__ = (CONNECTIONS, *Database.__init__.__defaults__[1:])
    children: list[int] = []
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            os.dup2(2, 1)
            serving.run(create_app(), HOST, int(line))
            os._exit(0)
        children.append(child)
        print(child, flush=True)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    # Who was killed is nobody's to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    main()
