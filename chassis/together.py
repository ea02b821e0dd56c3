"""Writes of one kind that come at the same moment share one transaction: each waits for one commit, and the database makes fewer.

    together = Together(database, record)
    reply = await together(caller.tenant, sent, wish)        # in a route; `sent: Sent` is the write's Idempotency-Key

While some groups are being written the next one gathers, so a lone write waits for nobody and a crowd shares the work. Every
member has its own outcome: what the rules refuse leaves nothing, and its neighbours stand.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import asyncpg
from pydantic import BaseModel

from chassis.db import Database, Transaction
from chassis.errors import Forbidden, Problem
from chassis.idempotency import Reply, Write

MOST = 200
# Groups of one tenant under way: while one waits for the database, another is prepared.
_AT_ONCE = 2

# `OFFSET 0` keeps each a look-up by the key, however many there are of one tenant.
_STORED = """
SELECT told.* FROM unnest($2::text[], $3::text[]) sent(client, key), LATERAL (
    SELECT client, key, body_hash, reply, status FROM idempotency
    WHERE tenant = $1 AND client = sent.client AND key = sent.key OFFSET 0
) told"""
_STORE = """
INSERT INTO idempotency (tenant, client, key, body_hash, reply, status)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::int[])"""

# What one member can do to the others; they are then written one by one.
_ONES_FAULT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)

Item = TypeVar("Item")
Record = Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[BaseModel | Problem]]]


@dataclass(frozen=True, slots=True)
class _Told:
    """A reply. first: who sent what it answers, where that is a member of this very group."""

    body_hash: bytes
    body: bytes
    status: int
    first: Write | None = None

    def to(self, sent: Write) -> Reply:
        if self.first is sent:
            return Reply(self.status, self.body)
        return sent.reply_again(self.body_hash, self.body, self.status)


Members = Sequence[tuple[Write, Item]]
Outcomes = dict[tuple[str, str], _Told | Problem]


@dataclass
class _Group(Generic[Item]):
    members: list[tuple[Write, Item]] = field(default_factory=list)
    written: "asyncio.Task[Outcomes] | None" = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Together(Generic[Item]):
    """record: writes all items in one transaction and gives the outcome of each, a Problem for one that it refused untouched; what
    it leaves due is written together with the replies. names: what `record` locks for an item, so that all is locked at once.
    shares: what it shares with every other group of the tenant.
    """

    def __init__(
        self,
        database: Database,
        record: Record[Item],
        names: Callable[[UUID, Item], str] | None = None,
        shares: Callable[[UUID], str] | None = None,
    ) -> None:
        self._database, self._record, self._names, self._shares = database, record, names, shares
        self._gathering: dict[UUID, _Group[Item]] = {}
        self._turns: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, tenant: UUID | None, sent: Write, item: Item) -> Reply:
        """Does it, or answers what was answered before. Raises the Problem of this item alone, or KeyReused."""
        if tenant is None:
            raise Forbidden("This call names no customer organisation.")
        group = self._gathering.get(tenant)
        if group is None or len(group.members) >= MOST:
            group = self._gathering[tenant] = _Group()
            group.written = asyncio.create_task(self._write_in_turn(tenant, group), name="together")
            group.written.add_done_callback(lambda _: group.over.set())
        group.members.append((sent, item))
        # Not for the task itself: a caller that hangs up would take everybody's write with it.
        await group.over.wait()
        try:
            outcomes = group.written.result()
        except _ONES_FAULT:
            if len(group.members) == 1:
                raise
            outcomes = await self._write(tenant, [(sent, item)], look=True)
        outcome = outcomes[sent.name]
        if isinstance(outcome, Problem):
            raise outcome
        return outcome.to(sent)

    async def _write_in_turn(self, tenant: UUID, group: _Group[Item]) -> Outcomes:
        turn = self._turns.setdefault(tenant, asyncio.Semaphore(_AT_ONCE))
        async with turn:
            if self._gathering.get(tenant) is group:
                del self._gathering[tenant]
            try:
                return await self._write(tenant, group.members)
            except asyncpg.UniqueViolationError:
                return await self._write(tenant, group.members, look=True)

    async def _write(self, tenant: UUID, members: Members[Item], look: bool = False) -> Outcomes:
        """look: whether to look first for what was answered before. Nearly all keys are new; the table refuses one that is not."""
        lock = [f"key {tenant} {sent.client} {sent.key}" for sent, _ in members]
        if self._names:
            lock += [self._names(tenant, item) for _, item in members]
        share = [self._shares(tenant)] if self._shares else []
        async with self._database.transaction(tenant, lock, share) as tx:
            outcomes = await _told_before(tx, members) if look else {}
            fresh: dict[tuple[str, str], tuple[Write, Item]] = {}
            for sent, item in members:
                if sent.name not in outcomes:
                    fresh.setdefault(sent.name, (sent, item))
            if fresh:
                recorded = await self._record(tx, [item for _, item in fresh.values()])
                outcomes |= _stored(tx, [sent for sent, _ in fresh.values()], recorded)
            refused = [] if look else [each for each in members if isinstance(outcomes[each[0].name], Problem)]
            if refused:
                # What is refused now may have been done before.
                outcomes |= await _told_before(tx, refused)
        return outcomes


async def _told_before(tx: Transaction, members: Members[Item]) -> Outcomes:
    names = zip(*(sent.name for sent, _ in members), strict=True)
    found = await tx.connection.fetch(_STORED, tx.tenant, *names)
    return {(client, key): _Told(*told) for client, key, *told in found}


def _stored(tx: Transaction, sent: Sequence[Write], recorded: Sequence[BaseModel | Problem]) -> Outcomes:
    outcomes: Outcomes = {}
    for each, outcome in zip(sent, recorded, strict=True):
        if not isinstance(outcome, Problem):
            outcome = _Told(each.body_hash, outcome.model_dump_json().encode(), each.status, each)
        outcomes[each.name] = outcome
    rows = [
        (*name, told.body_hash, told.body, told.status) for name, told in outcomes.items() if isinstance(told, _Told)
    ]
    if rows:
        tx.insert(_STORE, tx.tenant, *zip(*rows, strict=True))
    return outcomes
