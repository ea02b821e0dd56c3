"""Anonymizer processes that a test may kill: `python -m tests.anonymizer.victims` imports once, and forks a server for each port
it reads on its input, with the gates (`tests/anonymizer/gates.py`) that stand behind the port. It ends, with all of them, when its
input closes."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import uvicorn

from services.anonymizer.app import create_app
from tests.anonymizer.gates import Gates


def main() -> None:
    children: list[int] = []
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            port, _, gates = line.strip().partition(" ")
            if gates:
                told = json.loads(gates)
                Gates(Path(told["folder"]), told["closed"]).build()
            _serve(int(port))
            os._exit(0)
        children.append(child)
        print(child, flush=True)
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _serve(port: int) -> None:
    config = uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_config=None, access_log=False)
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    # Who was killed is nobody's to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    main()
