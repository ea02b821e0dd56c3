"""What is read: the stores, and what a sweep would take."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfoNotFoundError

from chassis import clock
from services.anonymizer.contract import (
    BookMisfits,
    Drifts,
    HeldFor,
    Holdings,
    MappedField,
    MappedFields,
    Simulation,
    SimulationRequest,
    Store,
    Stores,
    StoreUnavailable,
)
from services.anonymizer.house import House
from services.anonymizer.rules.drift import drifts
from services.registry.contract import PolicyBook, faults


def stores(house: House, book: PolicyBook) -> Stores:
    return Stores(
        items=[
            Store(
                store=store.store,
                label=store.label,
                kind=store.kind,
                controller=store.controller,
                categories=sorted({book.category_of(element).key for element in store.elements}),
                elements=sorted(store.holds),
                verbs=["erase", "verify", "correct", "freeze", "unfreeze"]
                if store.manual
                else sorted(house.connectors[store.store].verbs),
            )
            for store in house.map.stores.values()
        ]
    )


def fields(house: House) -> MappedFields:
    """What the data map says of each store, papers and mailboxes included."""
    found = [
        MappedField(store=store.store, table=name, column=column, element=held.element)
        for store in house.map.stores.values()
        for name, table in store.tables.items()
        for column, held in table.shown.items()
    ]
    by_hand = [
        MappedField(store=store.store, table=store.store, column=element, element=element)
        for store in house.map.stores.values()
        for element in (store.elements if store.manual else ())
    ]
    # A row as a whole is kept as an element that need not stand in any one column of it.
    whole = [
        MappedField(store=store.store, table=name, column="*", element=table.element)
        for store in house.map.stores.values()
        for name, table in store.tables.items()
    ]
    return MappedFields(items=[*found, *by_hand, *whole])


async def holdings(house: House, tenant: UUID, book: PolicyBook) -> Holdings:
    """Raises StoreUnavailable: what cannot be looked into may hold anything."""
    items = []
    for name, store in house.map.stores.items():
        theirs = any(table.for_tenants(book) for table in store.tables.values())
        if not theirs and not (store.manual and store.controller == "tenant"):
            continue
        connector = None if store.manual else house.connector(name)
        count = await connector.held_for(tenant, book) if connector else None
        can_return = connector is not None and "give_back" in connector.verbs
        items.append(HeldFor(store=name, label=store.label, count=count, can_return=can_return))
    return Holdings(items=items)


async def drift(house: House) -> Drifts:
    """Every store that answers is compared with the data map."""
    items, unread = [], []
    for name, connector in house.connectors.items():
        try:
            items += drifts(connector.store, await connector.discover())
        except StoreUnavailable:
            unread.append(name)
    return Drifts(items=items, unread=unread)


async def simulate(house: House, wish: SimulationRequest, book: PolicyBook) -> Simulation:
    """Raises StoreUnknown, StoreUnavailable, BookMisfits."""
    now = wish.as_of or clock.now()
    proposed = _fitting(house, wish.proposed, book, now) if wish.proposed else None
    terms = await house.terms(book, now)
    names = list(house.connectors) if wish.stores is None else wish.stores
    connectors = [house.connector(name) for name in names]
    items = [expected for connector in connectors for expected in await connector.simulate(terms)]
    if proposed is None:
        return Simulation(as_of=now, policy_version=book.version, items=items)
    then = await house.terms(proposed, now)
    changes = [change for connector in connectors for change in await connector.compare(terms, then)]
    return Simulation(
        as_of=now, policy_version=book.version, items=items, proposed_version=proposed.version, changes=changes
    )


def _fitting(house: House, proposed: PolicyBook, today: PolicyBook, now: datetime) -> PolicyBook:
    """The proposed book with the rows that would apply then, and with what tenants have set, where it says nothing of them. Raises BookMisfits."""
    try:
        periods = proposed.tenant_periods or today.tenant_periods
        own = {"tenant_periods": periods, "tenant_endings": today.tenant_endings}
        book = proposed.model_copy(update=own).on(now.astimezone(proposed.tz).date())
    except (ZoneInfoNotFoundError, ValueError):
        raise BookMisfits("The proposed book names no known time zone.") from None
    wrong = [{"path": fault.where, "problem": fault.what} for fault in faults(proposed)]
    wrong += [{"path": "data map", "problem": misfit} for misfit in house.map.check(book)]
    if wrong:
        raise BookMisfits(f"{len(wrong)} fault(s); see errors.", errors=wrong)
    return book
