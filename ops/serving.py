"""One process in the foreground: what a container runs, and what the supervisor's children run after the fork."""

import asyncio
import gc
from collections.abc import Callable
from functools import partial
from importlib import import_module
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from pydantic import ValidationError

from chassis.app import about_to_end
from chassis.ledger.sequencer import rung
from ops.catalogue import EDGES, Process
from ops.connections import Connection, StrangersConnection
from ops.home import CannotRun

GRACE = 3  # seconds that requests under way may take to end


class Server(uvicorn.Server):
    """Looks at the time once a second, for the `Date` that it answers with, and is called when it is to end: uvicorn's own looks ten times
    a second at both, in each process of a house at rest."""

    _called: Callable[[], object] = staticmethod(lambda: None)  # before it waits, it looks by itself

    async def main_loop(self) -> None:
        called = asyncio.Event()
        self._called = partial(asyncio.get_running_loop().call_soon_threadsafe, called.set)
        while not await self.on_tick(0):
            await rung(called, 1)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._called()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        about_to_end(self.config.app)
        await super().shutdown(sockets)


def serve(process: Process, host: str, port: int) -> None:
    run(factory(process)(), host, port, connection_of(process))


def connection_of(process: Process) -> type[Connection]:
    return StrangersConnection if process in EDGES else Connection


def run(app: Any, host: str, port: int, connection: type[Connection] = Connection) -> None:
    # Seven hundred new objects are a few requests here; looking for cycles that often took one in thirty of their time.
    gc.set_threshold(20_000, 20, 20)
    try:
        Server(settings(app, host, port, connection)).run()
    except SystemExit:
        if strange := _strange(app):
            raise CannotRun(strange) from None
        raise


def _strange(app: Any) -> str | None:
    """What the person at the terminal is told when the keys it was given are not those of its database."""
    database = getattr(getattr(app, "state", None), "database", None)
    return str(database.strange) if database and database.strange else None


def settings(app: Any, host: str, port: int, connection: type[Connection] = Connection) -> uvicorn.Config:
    """How every process is served; a benchmark that wants the same conditions takes them from here."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=connection,
        ws="none",
        lifespan="on",
        log_config=None,  # chassis.telemetry decides how logs look
        access_log=False,
        proxy_headers=False,  # nobody's X-Forwarded-* is believed
        server_header=False,
        backlog=512,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE,
    )


def factory(process: Process) -> Callable[[], Any]:
    """The process's `create_app`; settings that do not validate are told in one sentence."""
    module, name = process.app.split(":")
    create_app = getattr(import_module(module), name)

    def checked() -> Any:
        try:
            return create_app()
        except ValidationError as failure:
            faults = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in failure.errors())
            raise CannotRun(f"{process.name} cannot start with these settings: {faults}.") from failure

    return checked
