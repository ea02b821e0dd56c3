"""The house that is measured: real processes on free ports, thrown away afterwards, and the tokens by which to speak to each."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
from joserfc.jwk import ECKey

from chassis.client import TokenSource
from ops import keys
from ops.home import ROOT, Home
from ops.stack import Stack
from sample import clients
from sample.actors import Cast

EDGES = ("public", "internal")


class House:
    def __init__(self, stack: Stack) -> None:
        self.stack, self.home = stack, stack.home

    @property
    def cast(self) -> Cast:
        return Cast(self.home.path, self.stack.url("public"), self.stack.url("internal"))

    def port(self, process: str) -> int:
        return urlsplit(self.stack.url(process)).port or 80

    def pids(self, *processes: str) -> list[int]:
        return [self.stack.pid(process) for process in processes]

    def superuser(self, database: str = "wardline") -> dict[str, str]:
        """How asyncpg gets in, for references and for what a benchmark plants."""
        password = (self.home.secrets("postgres") / "superuser.password").read_text().strip()
        host = str(self.stack.postgres.socket_dir)
        return {"host": host, "user": "postgres", "password": password, "database": database}

    @asynccontextmanager
    async def tokens(self, client: str) -> AsyncIterator["Tokens"]:
        """A sample client's, or a process's own."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            identity = self.stack.url("identity")
            issuer = (await http.get(f"{identity}/.well-known/openid-configuration")).json()["issuer"]

            def source(name: str, key: Path) -> TokenSource:
                jwk = ECKey.import_key(json.loads(key.read_bytes()))
                return TokenSource(http, client=name, key=jwk, issuer=issuer, token_url=f"{identity}/token")

            process = self.home.secrets(client) / "client.jwk"
            if process.exists():
                yield source(client, process)
                return
            edge = source("public", self.home.secrets("public") / "client.jwk")
            yield Tokens(source(client, clients.folder(self.home) / f"{client}.jwk"), edge)


class Tokens(TokenSource):
    """A client's own tokens for the public edge, and for a service those that the edge would exchange them for."""

    def __init__(self, own: TokenSource, edge: TokenSource) -> None:
        self.http, self.own, self.edge = own.http, own, edge
        self._got: dict[tuple[str, UUID | None], tuple[str, str]] = {}

    async def token(self, audience: str, tenant: UUID | None = None) -> str:
        if audience in EDGES:
            return await self.own.token(audience, tenant)
        own = await self.own.token("public", tenant)
        exchanged_for, token = self._got.get((audience, tenant), ("", ""))
        # What was exchanged lives no longer than what it was exchanged for.
        if exchanged_for != own:
            token = await self._exchanged(audience, own)
            self._got[audience, tenant] = own, token
        return token

    async def _exchanged(self, audience: str, own: str) -> str:
        kind = "urn:ietf:params:oauth:token-type:access_token"
        grant = "urn:ietf:params:oauth:grant-type:token-exchange"
        form = {"grant_type": grant, "subject_token": own, "subject_token_type": kind, "audience": audience}
        return (await self.edge.request(form))[0]


@contextmanager
def running(processes: Iterable[str], *, sample: bool) -> Iterator[House]:
    """Stopped and removed at the end. sample: with the operator's stores filled and its people known."""
    # Under /tmp and open to others, so that the database's unprivileged user may walk in.
    with tempfile.TemporaryDirectory(prefix="wardline-bench-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        home = Home(Path(folder) / "house")
        home.make()
        keys.make(home)
        clients.make(home)
        stack = Stack(home.path, processes, sample=sample)
        try:
            with stack:
                yield House(stack)
        finally:
            stack.postgres.remove()


@contextmanager
def reference(name: str, **told: str) -> Iterator[tuple[int, int]]:
    """A server of `benchmarks.reference` in a process of its own: the port it listens on, and its pid."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.reference", name, str(port)], cwd=ROOT, env=os.environ | told
    )
    try:
        while not _answers(port):
            if process.poll() is not None:
                raise RuntimeError(f"the reference {name} ended with status {process.returncode}")
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
