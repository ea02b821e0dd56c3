"""What comes by itself: a consent lapses, a child comes of age, another policy book comes into force. Each has its effect in a
transaction of its tenant, once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from chassis import clock, durable
from chassis.db import Database
from chassis.trouble import Trouble
from services.consent import rules
from services.consent.commands import people, recordings, statements
from services.consent.commands.desk import Desk
from services.consent.contract import Kind, Regulation
from services.consent.rules import Matter

TICK, BOOK_TICK = 30.0, 1.0
_BOOK_SETTLES = 10.0  # seconds: whoever had begun by another book has ended
_AT_ONCE = 500
_LAPSING = """
SELECT tenant, principal, regulation, purpose, valid_until FROM standing
WHERE kind = 'consent' AND state IN ('given', 'renewed_given') AND valid_until <= $1 ORDER BY valid_until LIMIT $2"""
# Long enough that somebody who comes late is told so.
_KEPT = timedelta(days=1)
_OVER = "DELETE FROM capture WHERE expires_at < $1"
_BY_ANOTHER_BOOK = "SELECT DISTINCT tenant FROM call WHERE recording AND book_rows <> $1"
# What one of the staff alone says of a child's day of birth counts where nothing else is known of it.
_CHILDREN = """
SELECT * FROM (SELECT DISTINCT ON (tenant, principal) tenant, principal, born FROM guardianship
               ORDER BY tenant, principal, waiting, born) child WHERE born <= $1"""
_OVER_GUARDIANS = "SELECT DISTINCT tenant, principal FROM guardianship WHERE ended_at IS NULL AND until <= $1"


@dataclass
class Clockwork:
    """desk: who signs and by which book; asked anew each time, since the book changes · rows: those of the book that open calls are
    looked at by, until when · failed: what this tick could not record; the next one tries again · behind: whether
    some call could not be looked at by this book; all are until it can."""

    database: Database
    desk: Callable[[], Desk]
    rows: tuple[str, float] = "", 0.0
    failed: set[tuple[Any, ...]] = field(default_factory=set)
    behind: bool = False
    trouble: Trouble = field(default_factory=lambda: Trouble("what comes by itself could not be recorded"))

    async def tick(self) -> None:
        until = time.monotonic() + TICK
        self.failed.clear()
        await self._lapse_all()
        await self._come_of_age()
        await self._end_guardianships()
        async with self.database.system() as connection:
            await connection.execute(_OVER, clock.now() - _KEPT)
        # What lapses before the next tick is told at its own instant: a call may be recorded by it.
        while (left := await self._next_lapse()) is not None and time.monotonic() < until:
            await asyncio.sleep(left)
            await self._lapse_all()
        if not self.failed and not self.behind:
            self.trouble.over()

    async def _next_lapse(self) -> float | None:
        """In how many seconds; None if not before the next tick."""
        now = clock.now()
        found = await self._lapsing(now + timedelta(seconds=TICK), 1)
        return max((found[0]["valid_until"] - now).total_seconds(), 0.05) if found else None

    async def _lapsing(self, by: datetime, most: int) -> list[asyncpg.Record]:
        """The first ones that lapse by an instant and have not failed."""
        async with self.database.system() as connection:
            found = await connection.fetch(_LAPSING, by, most + len(self.failed))
        return [row for row in found if tuple(row)[:4] not in self.failed][:most]

    async def _lapse_all(self) -> None:
        while await self._lapse() == _AT_ONCE:
            pass

    async def follow_book(self) -> None:
        """A decision point answers by the book of today from the day's first instant on; call servers are told of open calls."""
        desk = self.desk()
        rows = rules.rows_of(desk.book)
        anew = rows != self.rows[0]
        if not anew and time.monotonic() > self.rows[1]:
            return
        async with self.database.system() as connection:
            found = await connection.fetch(_BY_ANOTHER_BOOK, rows)
        done = [await self._done(row["tenant"], recordings.review_book, desk.book) for row in found]
        self.behind = not all(done)
        if self.behind:
            self.rows = "", 0.0
        elif anew:
            self.rows = rows, time.monotonic() + _BOOK_SETTLES

    async def _lapse(self) -> int:
        """A decision point says no from the very instant on; this is what subscribers and the record are told."""
        lapsed = await self._lapsing(clock.now(), _AT_ONCE)
        of_tenants: dict[UUID, list[tuple[UUID, Matter]]] = {}
        for tenant, principal, regulation, purpose, _ in lapsed:
            matter = Matter(Kind.consent, Regulation(regulation), purpose)
            of_tenants.setdefault(tenant, []).append((principal, matter))
        desk = self.desk()
        for tenant, theirs in of_tenants.items():
            if await self._done(tenant, statements.expire_all, desk, theirs):
                continue
            for principal, matter in theirs:
                if not await self._done(tenant, statements.expire_all, desk, [(principal, matter)]):
                    self.failed.add((tenant, principal, matter.regulation.value, matter.purpose))
        return len(lapsed)

    async def _come_of_age(self) -> None:
        book = self.desk().book
        today = clock.now().astimezone(book.tz).date()
        async with self.database.system() as connection:
            children: list[tuple[UUID, UUID]] = [
                (tenant, child)
                for tenant, child, born in await connection.fetch(_CHILDREN, today)
                if rules.of_age_on(book, born) <= today
            ]
        for tenant, child in children:
            if not await self._done(tenant, people.forget_guardians, child):
                self.failed.add((tenant, child))

    async def _end_guardianships(self) -> None:
        """Whoever's last day is over speaks no more from the day's end on; this is what others are told."""
        async with self.database.system() as connection:
            over = await connection.fetch(_OVER_GUARDIANS, clock.now())
        for tenant, child in over:
            if not await self._done(tenant, people.end_what_is_over, child):
                self.failed.add((tenant, child))

    async def _done(self, tenant: UUID, command: Callable[..., Awaitable[None]], *about: Any) -> bool:
        return await durable.alone(self.trouble, self.database, tenant, command, *about)
