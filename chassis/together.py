"""Writes of one kind that come at the same moment share one transaction: each waits for one commit, and the database makes fewer.

    together = Together(database, record)
    reply = await together(caller.tenant, sent, wish)        # in a route; `sent: Sent` is the write's Idempotency-Key

While some groups are being written the next one gathers, so a lone write waits for nobody and a crowd shares the work evenly. Every
member has its own outcome: what the rules refuse leaves nothing, and its neighbours stand.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import asyncpg

from chassis.db import Database, Transaction
from chassis.errors import Forbidden, Problem
from chassis.idempotency import Reply, Write

MOST = 200
# Groups of one tenant under way: while one waits for the database, another is prepared.
_AT_ONCE = 2
# So few are not shared out among groups.
_FEW = 8
# Of the event loop, for which a group waits: those who were answered a moment ago and ask again come along.
_TURNS = 3

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


class Made(NamedTuple):
    """What was made of one item. body: of the reply · kept: what of it is kept under the Idempotency-Key, and told to who asks again."""

    body: bytes
    kept: bytes


Item = TypeVar("Item")
Record = Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Made | Problem]]]


class _Told(NamedTuple):
    """A reply as it is kept. For what was made in this very group: who sent it, and the body of the first reply."""

    body_hash: bytes
    kept: bytes
    status: int
    first: Write | None = None
    body: bytes = b""

    def to(self, sent: Write) -> Reply:
        if self.first is sent:
            return Reply(self.status, self.body)
        return sent.reply_again(self.body_hash, self.kept, self.status)


Outcomes = dict[tuple[str, str], _Told | Problem]


@dataclass(slots=True)
class _Member(Generic[Item]):
    sent: Write
    item: Item
    answered: "asyncio.Future[_Told | Problem]"


Members = Sequence[_Member[Item]]


@dataclass(eq=False)
class _Queue(Generic[Item]):
    """One tenant's. waiting: in their order · begun: whether a group is on its way to take of them · under_way: how many are being
    written · turn: which a group takes while it is written."""

    waiting: list[_Member[Item]] = field(default_factory=list)
    begun: bool = False
    under_way: int = 0
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    def next_group(self) -> Members[Item]:
        """An equal share of all who are here: a group of nearly all leaves the next one a handful, which costs as much as many."""
        share = (len(self.waiting) + self.under_way + _AT_ONCE - 1) // _AT_ONCE
        size = min(max(_FEW, share), MOST)
        self.begun, group = False, self.waiting[:size]
        del self.waiting[:size]
        return group


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
        self._queues: WeakValueDictionary[UUID, _Queue[Item]] = WeakValueDictionary()
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, tenant: UUID | None, sent: Write, item: Item) -> Reply:
        """Does it, or answers what was answered before. Raises the Problem of this item alone, or KeyReused."""
        if tenant is None:
            raise Forbidden("This call names no customer organisation.")
        queue = self._queues.get(tenant)
        if queue is None:
            queue = self._queues[tenant] = _Queue()
        # Each waits for its own: a caller that hangs up takes nobody's write with it.
        answered = asyncio.get_running_loop().create_future()
        queue.waiting.append(_Member(sent, item, answered))
        self._begin(tenant, queue)
        outcome = await answered
        if isinstance(outcome, Problem):
            raise outcome
        return outcome.to(sent)

    def _begin(self, tenant: UUID, queue: _Queue[Item]) -> None:
        if queue.waiting and not queue.begun:
            queue.begun = True
            writing = asyncio.create_task(self._write_in_turn(tenant, queue), name="together")
            self._under_way.add(writing)
            writing.add_done_callback(self._under_way.discard)

    async def _write_in_turn(self, tenant: UUID, queue: _Queue[Item]) -> None:
        async with queue.turn:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            group = queue.next_group()
            self._begin(tenant, queue)
            queue.under_way += len(group)
            await self._settle(tenant, group)
            queue.under_way -= len(group)

    async def _settle(self, tenant: UUID, group: Members[Item], look: bool = False) -> None:
        """Every member is answered, whatever happens."""
        try:
            outcomes = await self._write(tenant, group, look)
        except asyncio.CancelledError:
            for each in group:
                each.answered.cancel()
            raise
        except Exception as fault:  # noqa: BLE001 - it is for those who wait
            if isinstance(fault, asyncpg.UniqueViolationError) and not look:
                await self._settle(tenant, group, look=True)
            elif isinstance(fault, _ONES_FAULT) and len(group) > 1:
                await asyncio.gather(*(self._settle(tenant, [each], look=True) for each in group))
            else:
                for each in _waiting(group):
                    each.answered.set_exception(fault)
        else:
            for each in _waiting(group):
                each.answered.set_result(outcomes[each.sent.name])

    async def _write(self, tenant: UUID, members: Members[Item], look: bool) -> Outcomes:
        """look: whether to look first for what was answered before. Nearly all keys are new; the table refuses one that is not."""
        lock = [f"key {tenant} {each.sent.client} {each.sent.key}" for each in members]
        if self._names:
            lock += [self._names(tenant, each.item) for each in members]
        share = [self._shares(tenant)] if self._shares else []
        async with self._database.transaction(tenant, lock, share) as tx:
            outcomes = await _told_before(tx, members) if look else {}
            fresh: dict[tuple[str, str], _Member[Item]] = {}
            for each in members:
                if each.sent.name not in outcomes:
                    fresh.setdefault(each.sent.name, each)
            if fresh:
                recorded = await self._record(tx, [each.item for each in fresh.values()])
                outcomes |= _stored(tx, [each.sent for each in fresh.values()], recorded)
            refused = [] if look else [each for each in members if isinstance(outcomes[each.sent.name], Problem)]
            if refused:
                # What is refused now may have been done before.
                outcomes |= await _told_before(tx, refused)
        return outcomes


def _waiting(members: Members[Item]) -> list[_Member[Item]]:
    """Without those who hung up."""
    return [each for each in members if not each.answered.done()]


async def _told_before(tx: Transaction, members: Members[Item]) -> Outcomes:
    names = zip(*(each.sent.name for each in members), strict=True)
    found = await tx.connection.fetch(_STORED, tx.tenant, *names)
    return {(client, key): _Told(*told) for client, key, *told in found}


def _stored(tx: Transaction, sent: Sequence[Write], recorded: Sequence[Made | Problem]) -> Outcomes:
    outcomes: Outcomes = {}
    for each, outcome in zip(sent, recorded, strict=True):
        if not isinstance(outcome, Problem):
            outcome = _Told(each.body_hash, outcome.kept, each.status, each, outcome.body)
        outcomes[each.name] = outcome
    rows = [
        (*name, told.body_hash, told.kept, told.status) for name, told in outcomes.items() if isinstance(told, _Told)
    ]
    if rows:
        tx.write(_STORE, tx.tenant, *zip(*rows, strict=True))
    return outcomes
