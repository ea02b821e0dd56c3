"""What is read: the stores, and what a sweep would take."""

from chassis import clock
from services.anonymizer.contract import Simulation, SimulationRequest, Store, Stores
from services.anonymizer.house import House
from services.registry.contract import PolicyBook


def stores(house: House, book: PolicyBook) -> Stores:
    return Stores(
        items=[
            Store(
                store=store.store,
                label=store.label,
                kind=store.kind,
                controller=store.controller,
                categories=sorted({book.category_of(table.element).key for table in store.tables.values()}),
                verbs=["collect", "preview", "erase", "verify", "sweep"],
            )
            for store in house.map.stores.values()
        ]
    )


async def simulate(house: House, wish: SimulationRequest, book: PolicyBook) -> Simulation:
    """Raises StoreUnknown, StoreUnavailable."""
    now = wish.as_of or clock.now()
    terms = await house.terms(book, now)
    names = list(house.connectors) if wish.stores is None else wish.stores
    items = [expected for name in names for expected in await house.connector(name).simulate(terms)]
    return Simulation(as_of=now, policy_version=book.version, items=items)
