"""The consent service alone in a house of its own: real PostgreSQL, migrated; an issuer whose tokens a test may bend."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx2
from joserfc import jws
from joserfc.jwk import OKPKey

from chassis.client import trust
from chassis.settings import Settings
from ops import migrate
from ops.catalogue import BY_NAME
from ops.home import ROOT
from ops.postgres import Postgres
from services.consent.client import ConsentClient
from services.registry.books import read_book
from services.registry.contract.signed import ALGORITHM, POLICY, canonical_book
from tests.patience import PATIENCE
from tests.serving import Issuer

EVERYTHING = "consent.read consent.write notice.publish decision.ask call.write snapshot.read consent-info:retrieve events.read ledger.read"
NOBODY_THERE = "http://127.0.0.1:9"
DATABASE = "consent_tests"


class Tokens:
    """Stands where a process keeps its tokens; signs what the test says of the caller."""

    def __init__(self, issuer: Issuer, scope: str = EVERYTHING, **bent) -> None:
        self.issuer, self.scope, self.bent = issuer, scope, {"client_id": "public", "sub": "public"} | bent
        self.held: dict[tuple[str, UUID | None], str] = {}

    async def token(self, audience: str, tenant: UUID | None = None) -> str:
        if (audience, tenant) not in self.held:
            self.held[audience, tenant] = self.issuer.token(audience, self.scope, tenant, **self.bent)
        return self.held[audience, tenant]


@dataclass
class House:
    postgres: Postgres

    def settings(self, issuer: Issuer, issuer_url: str, clock: Path | None = None) -> Settings:
        return Settings(
            environment="development",
            home=self.postgres.home.path,
            secrets_dir=self.postgres.home.secrets("consent"),
            issuer=issuer.name,
            jwks_url=f"{issuer_url}/jwks",
            peers={"registry": NOBODY_THERE, "anonymizer": NOBODY_THERE},
            database_host=str(self.postgres.socket_dir),
            database_name=DATABASE,
            clock_file=clock,
        )

    async def hold_book(self) -> None:
        """The operator's first book, as if the registry had sent it."""
        book = read_book(ROOT / "policy" / "book.yaml")
        key = OKPKey.generate_key("Ed25519", private=True)
        signed = jws.serialize_compact(
            {"alg": ALGORITHM, "typ": POLICY}, canonical_book(book), key, algorithms=[ALGORITHM]
        )
        admin = await self.postgres.connect(DATABASE)
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        await admin.execute(
            "INSERT INTO consent.policy_version (version, valid_from, known_from, jws) VALUES ($1, $2, $2, $3) "
            "ON CONFLICT DO NOTHING",
            book.version, long_ago, signed,
        )  # fmt: skip
        await admin.close()

    @contextmanager
    def process(self, port: int, issuer: Issuer, issuer_url: str) -> Iterator[subprocess.Popen]:
        """The service as a process of its own, which a test may stop and kill."""
        settings = self.settings(issuer, issuer_url)
        told = {
            f"WARDLINE_{name.upper()}": str(getattr(settings, name))
            for name in ("environment", "home", "secrets_dir", "issuer", "jwks_url", "database_host", "database_name")
        }
        serve = f"from ops.catalogue import BY_NAME; from ops.serving import serve; serve(BY_NAME['consent'], '127.0.0.1', {port})"
        log = self.postgres.home.path / f"consent-{port}.log"
        with log.open("wb") as file:
            started = subprocess.Popen(
                [sys.executable, "-c", serve],
                cwd=ROOT,
                env=os.environ | told | {"WARDLINE_PEERS": json.dumps(self.settings(issuer, issuer_url).peers)},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/health/ready", started)
            yield started
        finally:
            started.kill()
            started.wait()


def migrated(server: Postgres) -> House:
    process = replace(BY_NAME["consent"], database=DATABASE)
    migrate.main(migrate.Cluster(str(server.socket_dir), server.home.path / "secrets"), [process], lambda _: None)
    return House(server)


def client(http: httpx2.AsyncClient, url: str, issuer: Issuer, scope: str = EVERYTHING, **bent) -> ConsentClient:
    return ConsentClient(http, url, Tokens(issuer, scope, **bent))


def _wait_until_ready(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(url, trust_env=False, verify=trust()).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("the process did not get ready")
