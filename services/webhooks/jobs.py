"""Sending: one job is one try. The try is made outside any transaction, and recorded under its fence in one.

A receiver that answers slowly or not at all holds up nobody else: of its own deliveries few are under way at once, and one only
after another had no answer.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chassis import strangers
from chassis.addresses import NotPublic
from chassis.db import Database
from chassis.durable import Job
from chassis.sealing import Sealer
from services.webhooks import commands, queries, rules
from services.webhooks.rules import Verdict

PATIENCE = 15
AT_ONCE = 4  # tries under way at one endpoint
_TURN = 1.0  # seconds for which a try waits that others end
_APART = 0.02  # seconds between those that come back because they had no turn
_FACT = "SELECT type, body FROM public_fact WHERE event = $1"
_WANTED_BY = "SELECT DISTINCT tenant FROM endpoint WHERE state = 'active' AND $1 = ANY (types)"


async def spread(database: Database, job: Job) -> None:
    """A public fact of the house to every tenant with an endpoint that names it; done again, nothing is sent twice."""
    async with database.system() as connection:
        fact = await connection.fetchrow(_FACT, job.id)
        tenants = [row["tenant"] for row in await connection.fetch(_WANTED_BY, fact["type"])]
    for tenant in tenants:
        async with database.transaction(tenant) as tx:
            await commands.deliver_named(tx, job.id, fact["type"], fact["body"])


class Line:
    """The tries of one endpoint, as this process makes them. silent: the last one had no answer."""

    def __init__(self) -> None:
        self.silent = False
        self._room = asyncio.Semaphore(AT_ONCE)
        self._begun: list[float] = []
        self._back = 0.0

    @property
    def under_way(self) -> bool:
        return bool(self._begun)

    async def has_room(self) -> bool:
        """Whether it is this one's turn, and `trying` follows. Where one has waited for its answer too long already, none will be soon."""
        if self._room.locked() and self._begun and time.monotonic() - self._begun[0] > _TURN:
            return False
        try:
            async with asyncio.timeout(_TURN):
                return await self._room.acquire()
        except TimeoutError:
            return False

    @contextmanager
    def trying(self) -> Iterator[None]:
        began = time.monotonic()
        self._begun.append(began)
        try:
            yield
        finally:
            self._begun.remove(began)
            self._room.release()

    def back_in(self) -> timedelta:
        """When one that had no turn comes again: behind the others, and not all at once."""
        now = time.monotonic()
        self._back = max(self._back + _APART, now + _TURN)
        return timedelta(seconds=self._back - now)


@dataclass(frozen=True)
class Sender:
    """Delivers from this process. `http` follows no redirect and believes no proxy variable."""

    database: Database
    sealer: Sealer
    key: Ed25519PrivateKey
    http: httpx2.AsyncClient
    loopback: bool
    lines: defaultdict[UUID, Line] = field(default_factory=lambda: defaultdict(Line))

    async def deliver(self, job: Job) -> None:
        async with self.database.transaction(job.tenant) as tx:
            fence = await commands.begin_try(tx, job.id)
            if fence is None:
                return
            sending = await queries.to_send(tx, job.id)
            secrets = await queries.secrets(tx, self.sealer, sending["endpoint"])
        line, verdict, problem, wait = self.lines[sending["endpoint"]], Verdict.again, "timeout", None
        # One that is tried meanwhile says whether it answers again; what comes beside that one has no answer either.
        if not (line.silent and line.under_way):
            if not await line.has_room():
                async with self.database.transaction(job.tenant) as tx:
                    return await commands.put_off(tx, job.id, fence, line.back_in())
            with line.trying():
                verdict, problem, wait = await self._post(job.id, sending["url"], sending["body"], secrets)
            line.silent = problem == "timeout"
        async with self.database.transaction(job.tenant) as tx:
            await commands.record_try(tx, job.id, fence, verdict, problem, wait)

    async def _post(
        self, delivery: UUID, url: str, body: bytes, secrets: list[str]
    ) -> tuple[Verdict, str | None, timedelta | None]:
        """What the receiver said: verdict, problem, and how long it asks us to wait."""
        # The wall clock: receivers refuse what is five minutes off theirs.
        now, id = datetime.now(UTC), f"msg_{delivery}"
        try:
            headers = {
                "content-type": "application/cloudevents+json",
                "user-agent": "Wardline-Webhooks/1",
                "webhook-id": id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": rules.signatures(id, now, body, secrets, self.key),
            }
            how = {"content": body, "headers": headers, "loopback": self.loopback}
            async with strangers.asking_at(self.http, "POST", url, PATIENCE, **how) as answer:
                # Its body is nobody's business, and may be endless.
                verdict = rules.judge(answer.status_code)
                wait = rules.retry_after(answer.headers.get("retry-after"))
                return verdict, None if verdict is Verdict.delivered else f"http.{answer.status_code}", wait
        except NotPublic:
            return Verdict.again, "address_refused", None
        except (httpx2.TimeoutException, TimeoutError):
            return Verdict.again, "timeout", None
        except (httpx2.HTTPError, OSError):
            return Verdict.again, "unreachable", None
