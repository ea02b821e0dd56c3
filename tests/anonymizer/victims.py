"""Anonymizer processes that a test may kill: `python -m tests.anonymizer.victims` imports once, and forks a server for each port
it reads on its input, with the gates (`tests/anonymizer/gates.py`) that stand behind the port. It ends, with all of them, when its
input closes."""

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import uvicorn

from chassis.client import trust
from services.anonymizer.app import create_app
from tests.anonymizer.gates import Gates
from tests.serving import KEPT

THREADS = 32


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
    told = {"log_config": None, "access_log": False, "timeout_keep_alive": KEPT}
    config = uvicorn.Config(create_app(), host="127.0.0.1", port=port, **told)
    asyncio.run(_held_in_threads(uvicorn.Server(config)))


async def _held_in_threads(server: uvicorn.Server) -> None:
    """Whoever is held in a thread keeps it; of the usual six, on two processors, nobody else would get one."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    await server.serve()


if __name__ == "__main__":
    # What each would load for itself, half a second of it, is there when they are forked.
    for module in ("anyio._backends._asyncio", "httpcore2", "polars", "uvicorn.protocols.http.httptools_impl"):
        importlib.import_module(module)
    boto3.client("s3", region_name="eu-north-1", aws_access_key_id="a", aws_secret_access_key="b")
    trust()
    gc.freeze()
    # Who was killed is nobody's to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    main()
