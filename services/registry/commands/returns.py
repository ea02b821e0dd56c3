"""A customer organisation's data go back to it, Art. 28(3)(g): store by store, past the registry, which keeps the digest and no record.

They go only once both sides said the same digests: what was sent to the last byte is noted here, and the organisation says what it has.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from datetime import date
from uuid import UUID

import orjson
from joserfc.jwk import OKPKey
from pydantic import ValidationError

from chassis import clock
from chassis.db import Database, Transaction
from chassis.errors import Unavailable
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import EndLine, Holdings
from services.registry.commands.book import LOCK
from services.registry.commands.tenants import end_now
from services.registry.contract import PolicyBook
from services.registry.contract.pack import Ending, Given, HandOver, NothingToReturn, NotReturned, Receipt, Returnable
from services.registry.queries import tenants
from services.registry.rules.tenants import refuse_early, returnable, unreturned

_GIVEN = """
INSERT INTO tenant_return (tenant, store, given_at, given_to, sha256, length, records) VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_HANDED = "UPDATE tenant_ending SET state = 'handed_over', handed_over_at = $1, handed_over = $2"
# The longest last line of a stream; it counts tables.
_LAST = 1 << 16


async def told(tx: Transaction, held: Holdings, book: PolicyBook) -> Returnable:
    """What there is to take home, and what was taken. Raises EndingUnknown, NothingToReturn."""
    found = await _open(tx)
    return Returnable(ends_on=found.ends_on, items=returnable(held.items, await _given(tx, found, book)))


async def give_back(
    database: Database, anonymizer: AnonymizerClient, tenant: UUID, by: str, store: str, book: PolicyBook
) -> AsyncGenerator[bytes]:
    """Raises before the first byte: EndingUnknown, NothingToReturn, ContractRuns, StoreUnknown, StoreUnavailable, VerbUnsupported."""
    async with database.transaction(tenant) as tx:
        refuse_early(await _open(tx), _today(book))
    async with AsyncExitStack() as stack:
        pieces = await stack.enter_async_context(anonymizer.give_back(store, tenant=tenant))
        return _past(stack.pop_all(), pieces, database, tenant, by, store)


async def _past(
    sent: AsyncExitStack, pieces: AsyncIterator[bytes], database: Database, tenant: UUID, by: str, store: str
) -> AsyncGenerator[bytes]:
    """Noted once the last byte was taken: who went away before has not got it, and no digest says so."""
    digest, length, last = hashlib.sha256(), 0, b""
    async with sent:
        async for piece in pieces:
            digest.update(piece)
            length, last = length + len(piece), (last + piece)[-_LAST:]
            yield piece
    row = (store, clock.now(), by, digest.hexdigest(), length, _counted(last))
    async with database.transaction(tenant) as tx:
        await tx.connection.execute(_GIVEN, tenant, *row)


def _counted(last: bytes) -> int:
    try:
        return sum(EndLine.model_validate_json(last.rstrip(b"\n").rpartition(b"\n")[2]).counts.values())
    except ValidationError:
        raise Unavailable("The store stopped before its last line.") from None


async def receive(tx: Transaction, by: str, wish: Receipt, held: Holdings, book: PolicyBook, key: OKPKey) -> Ending:
    """The organisation has everything; only now may it go here. Raises EndingUnknown, NothingToReturn, ContractRuns, NotReturned."""
    await tx.connection.execute(LOCK)
    found = await _open(tx, lock=True)
    refuse_early(found, _today(book))
    if wrong := unreturned(held.items, await _given(tx, found, book), wish.stores):
        raise NotReturned(f"{len(wrong)} store(s); see errors.", errors=wrong)
    said = {"stores": wish.stores, "received_by": by}
    await tx.connection.execute(_HANDED, clock.now(), orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode())
    await end_now(tx, by, book, key)
    return await tenants.ending(tx)


async def hand_over(tx: Transaction, by: str, wish: HandOver, book: PolicyBook, key: OKPKey) -> Ending:
    """Operations returned the data some other way: paper, a carrier, a store that no program reads. Raises EndingUnknown, NothingToReturn."""
    await tx.connection.execute(LOCK)
    await _open(tx, lock=True)
    await tx.connection.execute(_HANDED, clock.now(), f"{wish.receipt} sha256:{wish.sha256}")
    await end_now(tx, by, book, key)
    return await tenants.ending(tx)


async def _open(tx: Transaction, lock: bool = False) -> Ending:
    found = await tenants.ending(tx, lock=lock)
    if found.wish != "return" or found.state != "chosen":
        raise NothingToReturn
    return found


async def _given(tx: Transaction, found: Ending, book: PolicyBook) -> dict[str, Given]:
    """Of each store the last time, if that was after the contract's last day: before it, records still came."""
    given = await tenants.given_back(tx)
    return {store: one for store, one in given.items() if one.given_at.astimezone(book.tz).date() > found.ends_on}


def _today(book: PolicyBook) -> date:
    return clock.now().astimezone(book.tz).date()
