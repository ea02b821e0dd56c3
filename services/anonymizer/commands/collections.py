"""A store read for a person's access, or for an approved task, as a stream of lines."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from uuid import UUID

from chassis import clock
from chassis.crowd import Crowd
from chassis.db import Database
from chassis.streams import joined
from services.anonymizer.commands.people import People
from services.anonymizer.contract import (
    CollectionRequest,
    CollectionsRequest,
    DataCollected,
    DataReturned,
    DisclosureRequest,
    IdentifierType,
    OfStore,
    StoreUnavailable,
    Subject,
    VerbUnsupported,
)
from services.anonymizer.house import House
from services.anonymizer.rules.person import Known, Person, normalised
from services.registry.contract import PolicyBook

NOBODY = UUID(int=0)


class Collections:
    def __init__(self, database: Database, house: House, people: People) -> None:
        self.database, self.house, self.people = database, house, people
        # The stores of one request are read at the same moment: that they were is one transaction.
        self._note = Crowd(self._noted)

    async def alone(self, tenant: UUID, wish: CollectionRequest, book: PolicyBook) -> AsyncGenerator[bytes]:
        """Raises before the first byte whatever is wrong; a store that fails later cuts the stream before its last line."""
        person = await self.people.person(tenant, wish.principal)
        wanted = OfStore(store=wish.store, of=[Subject(step=wish.step, principal=wish.principal)])
        return await _begun(self._read(tenant, wanted, [person], book, wish.portable))

    async def together(self, tenant: UUID, wish: CollectionsRequest, book: PolicyBook) -> AsyncGenerator[bytes]:
        """Raises PrincipalUnknown and whatever else stands in the way of all; what a store says is in its own stream."""
        named = dict.fromkeys(one.principal for wanted in wish.stores for one in wanted.of)
        known = dict(zip(named, await self.people.persons(tenant, list(named)), strict=True))
        return joined(
            [
                self._read(tenant, wanted, [known[one.principal] for one in wanted.of], book, wish.portable)
                for wanted in wish.stores
            ]
        )

    async def _read(
        self, tenant: UUID, wanted: OfStore, persons: Sequence[Person], book: PolicyBook, portable: bool
    ) -> AsyncGenerator[bytes]:
        """It is noted while the store is looked through, and before anybody is given anything."""
        connector = self.house.connector(wanted.store)
        noting = asyncio.ensure_future(self._note(tenant, wanted))
        try:
            async with aclosing(connector.collect(persons, book, portable)) as stream:
                async for chunk in stream:
                    await noting
                    yield chunk
        finally:
            await asyncio.wait({noting})

    async def _noted(self, tenant: UUID, several: Sequence[OfStore]) -> Sequence[None]:
        async with self.database.transaction(tenant) as tx:
            for wanted in several:
                for one in wanted.of:
                    read = DataCollected(step=one.step, store=wanted.store)
                    await tx.emit("data.collected", read.model_dump(mode="json"), subject=one.principal)
        return [None] * len(several)


async def give_back(
    database: Database, house: House, tenant: UUID, store: str, book: PolicyBook
) -> AsyncGenerator[bytes]:
    """Everything of one organisation, for itself, once at a time; raises like `Collections.alone`."""
    connector = house.connector(store)
    if "give_back" not in connector.verbs:
        raise VerbUnsupported("People have to hand over what this store holds.")
    what = (tenant, store)
    if what in house.returning:
        raise StoreUnavailable(f"What {store} holds is being fetched just now; try again when that has ended.")
    house.returning.add(what)
    try:
        async with database.transaction(tenant) as tx:
            await tx.emit("data.returned", DataReturned(store=store).model_dump(mode="json"))
        return await _begun(_returning(connector.give_back(tenant, book), house, what))
    except BaseException:
        house.returning.discard(what)
        raise


async def _returning(stream: AsyncGenerator[bytes], house: House, what: tuple[UUID, str]) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(stream):
            async for chunk in stream:
                yield chunk
    finally:
        house.returning.discard(what)


async def disclose(house: House, tenant: UUID, wish: DisclosureRequest, book: PolicyBook) -> AsyncGenerator[bytes]:
    """By exactly one identifier. Nothing is minted, linked or written: an order leaves no trace here.

    In billing rows hang on a customer, so there the customer whose number it was in the period is looked up; nowhere else, since a
    customer has other numbers, which nobody asked for.
    """
    connector = house.connector(wish.store)
    named, known = wish.identifiers[0], []
    asked = Known(named.type, normalised(named.type, named.value), wish.period.from_, wish.period.to)
    if connector is house.connectors[house.map.billing.store]:
        customers = await house.billing.people(None, [asked], clock.now())
        known = [one for customer in customers for one in customer if one.type == IdentifierType.customer]
    return await _begun(connector.disclose(asked, Person(NOBODY, tenant, (asked, *known)), wish, book))


async def _begun(stream: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    first = await anext(stream)

    async def whole() -> AsyncGenerator[bytes]:
        async with aclosing(stream):
            yield first
            async for chunk in stream:
                yield chunk

    return whole()
