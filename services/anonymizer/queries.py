"""What is read: the stores, and what a sweep would take."""

from datetime import datetime
from zoneinfo import ZoneInfoNotFoundError

from chassis import clock
from services.anonymizer.contract import (
    BookMisfits,
    Drifts,
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
from services.registry.contract import PolicyBook, TenantPeriod, faults


def stores(house: House, book: PolicyBook) -> Stores:
    return Stores(
        items=[
            Store(
                store=store.store,
                label=store.label,
                kind=store.kind,
                controller=store.controller,
                categories=sorted({book.category_of(element).key for element in store.elements}),
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
    proposed = _fitting(house, wish.proposed, book.tenant_periods, now) if wish.proposed else None
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


def _fitting(house: House, proposed: PolicyBook, tenants: tuple[TenantPeriod, ...], now: datetime) -> PolicyBook:
    """The proposed book with the rows that would apply then, and with what tenants have set, where it says nothing of them. Raises BookMisfits."""
    try:
        own = proposed if proposed.tenant_periods else proposed.model_copy(update={"tenant_periods": tenants})
        book = own.on(now.astimezone(proposed.tz).date())
    except (ZoneInfoNotFoundError, ValueError):
        raise BookMisfits("The proposed book names no known time zone.") from None
    wrong = [{"path": fault.where, "problem": fault.what} for fault in faults(proposed)]
    wrong += [{"path": "data map", "problem": misfit} for misfit in house.map.check(book)]
    if wrong:
        raise BookMisfits(f"{len(wrong)} fault(s); see errors.", errors=wrong)
    return book
