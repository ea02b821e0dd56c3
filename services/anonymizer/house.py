"""The stores, each behind its connector, and the facts about people and invoices that only the billing store has."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from services.anonymizer import datamap
from services.anonymizer.connectors.apart import Apart, Elsewhere
from services.anonymizer.connectors.files import Files
from services.anonymizer.connectors.mysql import MySQL
from services.anonymizer.connectors.postgresql import PostgreSQL
from services.anonymizer.connectors.protocol import Connector
from services.anonymizer.contract import IdentifierType, StoreUnavailable, StoreUnknown, VerbUnsupported
from services.anonymizer.datamap import DataMap, Store
from services.anonymizer.rules.facts import Invoices, OpenInvoice, Terms
from services.anonymizer.rules.joins import DEVICE, LEADING, Sighting, followed
from services.anonymizer.rules.person import Known, normalised
from services.anonymizer.settings import Settings
from services.anonymizer.text.vocabularies import Told, gather, nobody, telling
from services.registry.contract import PolicyBook

_CONNECTORS: dict[str, Callable[[Store, Settings], Connector]] = {"postgresql": PostgreSQL, "mysql": MySQL}
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER, _SINCE, _UNTIL = "wardline_number", "wardline_since", "wardline_until"


class House:
    def __init__(self, settings: Settings) -> None:
        """Raises DataMapFault."""
        self.map: DataMap = datamap.load(settings.data_map)
        self.connectors: dict[str, Connector] = {}
        # Stores that may have come back from a backup: opened once whom we had erased is gone from them again.
        self.closed: set[str] = set()
        # Which organisation is fetching what it has in which store: much of it lies on our disk until it is taken.
        self.returning: set[tuple[UUID, str]] = set()
        connectors = _CONNECTORS | {
            "parquet": partial(Apart, elsewhere=Elsewhere(settings.lake_rest, settings.lake_rest_large))
        }
        for name, store in self.map.stores.items():
            if not store.manual:
                self.connectors[name] = connectors.get(store.kind, Files)(store, settings)
        self.closed |= self.connectors.keys()
        billing = self.connectors[self.map.billing.store]
        if not isinstance(billing, PostgreSQL):
            raise datamap.DataMapFault(f"{billing.store.store}: customers, numbers and invoices are read by SQL")
        self.billing = Billing(billing)

    def connector(self, store: str) -> Connector:
        """Raises StoreUnknown, StoreUnavailable, and VerbUnsupported for a manual source, which only people can reach."""
        if store in self.closed:
            raise StoreUnavailable(f"{store} is being brought up to date.")
        if store in self.connectors:
            return self.connectors[store]
        if store in self.map.stores:
            raise VerbUnsupported("Only a person can do this, by a step.")
        raise StoreUnknown

    def manual(self, store: str) -> Store | None:
        """The store, where its work is done by hand."""
        found = self.map.stores.get(store)
        return found if found and found.manual else None

    async def terms(self, book: PolicyBook, now: datetime, invoices: set[int] | None = None) -> Terms:
        """What decisions are made by. `invoices`: only these matter (one person's); None: all that are open."""
        return Terms(book, now, Invoices(await self.billing.open_invoices(book, now, invoices), LONG_AGO))

    async def followed(self, tenant: UUID, people: list[list[Known]]) -> list[list[Known]]:
        """What else stands beside each one's identifiers where a record is one person's. Raises StoreUnavailable."""
        joining = [each for each in self.connectors.values() if any(t.one_person for t in each.store.tables.values())]
        wanted = {one.value for known in people for one in known if one.type in (DEVICE, *LEADING)}
        asked, seen = set[str](), list[Sighting]()
        while new := wanted - asked:
            seen += [one for each in joining for one in await each.sightings(tenant, new)]
            asked |= new
            wanted |= {one.value for known in people for one in followed(known, seen)}
        return [followed(known, seen) for known in people]

    async def known(self) -> Told:
        """Whom each tenant knows: what a text is cleaned of."""
        return await self.billing.known()

    async def close(self) -> None:
        for connector in self.connectors.values():
            await connector.close()


class Billing:
    def __init__(self, connector: PostgreSQL) -> None:
        self.store, self.connections = connector.store, connector.connections

    async def open_invoices(self, book: PolicyBook, now: datetime, only: set[int] | None) -> dict[int, OpenInvoice]:
        """Those not paid, and those paid so lately that some rule still counts from it."""
        periods = [row.keep for row in book.retention if row.anchor == "invoice_paid"]
        since = min((period.cutoff(now, book.tz) for period in periods), default=now)
        table, invoice = self.store.invoices
        select = (
            f"SELECT {invoice.id} AS id, {invoice.paid_at} AS paid_at, {invoice.claim_until} AS claim_until FROM {table} "
            f"WHERE ({invoice.paid_at} IS NULL OR {invoice.paid_at} >= $1) AND ($2::bigint[] IS NULL OR {invoice.id} = ANY($2))"
        )
        rows = await self.connections.fetch(select, since, None if only is None else sorted(only))
        return {row["id"]: OpenInvoice(row["paid_at"], row["claim_until"]) for row in rows}

    async def known(self) -> Told:
        """Customers and their numbers, by tenant."""
        people, numbers = self.store.tables[self.store.people or ""], self.store.numbers
        told, columns = nobody(), telling(people)
        async with self.connections.reading() as connection:
            async for row in connection.cursor(
                f"SELECT t.{people.tenant} AS tenant, {', '.join(columns)} FROM {self.store.people} t", prefetch=5000
            ):
                gather(told, row["tenant"], columns, [row])
            async for row in connection.cursor(
                f"SELECT t.{people.tenant} AS tenant, n.{numbers.number} AS number FROM {numbers.table} n "
                f"JOIN {self.store.people} t ON t.{people.key[0]} = n.{numbers.holder}",
                prefetch=5000,
            ):
                gather(told, row["tenant"], {"number": "numbers"}, [row])
        return told

    async def people(self, tenant: UUID | None, known: list[Known], now: datetime) -> list[list[Known]]:
        """The customers that these values belong to (a number: to whom it belonged in that time, or else now), each with all they are
        known by. `tenant` None: of whatever organisation."""
        people, numbers = self.store.tables[self.store.people or ""], self.store.numbers
        column = {what.type: name for name, what in people.identifying.items() if what.party == "owner"}
        values = {type: [one.value for one in known if one.type == type] for type in column}
        dialled = [one for one in known if one.type == IdentifierType.msisdn]
        key, named = people.key[0], f"SELECT c.{people.key[0]} FROM {self.store.people} c WHERE c"
        rows = await self.connections.fetch(
            f"SELECT t.*, n.{numbers.number} AS {_NUMBER}, n.{numbers.valid_from} AS {_SINCE}, n.{numbers.valid_to} AS {_UNTIL} "
            f"FROM {self.store.people} t LEFT JOIN {numbers.table} n ON n.{numbers.holder} = t.{key} "
            f"WHERE ($1::uuid IS NULL OR t.{people.tenant} = $1) AND t.{key} IN ("
            f"{named}.{column[IdentifierType.customer]} = ANY($2) UNION {named}.{column[IdentifierType.email]} = ANY($3) "
            f"UNION SELECT h.{numbers.holder} FROM {numbers.table} h "
            f"JOIN unnest($4::text[], $5::timestamptz[], $6::timestamptz[]) k(number, since, until) "
            f"ON h.{numbers.number} = k.number AND (h.{numbers.valid_from} <= k.since OR h.{numbers.valid_from} < k.until) "
            f"AND (h.{numbers.valid_to} IS NULL OR h.{numbers.valid_to} > k.since))",
            tenant,
            values[IdentifierType.customer],
            values[IdentifierType.email],
            [one.value for one in dialled],
            [one.from_ or now for one in dialled],
            [one.to for one in dialled],
        )
        customers: dict[object, list[Known]] = {}
        for row in rows:
            if row[key] not in customers:
                customers[row[key]] = [
                    Known(type, normalised(type, row[name])) for type, name in column.items() if row[name]
                ]
            if row[_NUMBER] is not None:
                customers[row[key]].append(Known(IdentifierType.msisdn, row[_NUMBER], row[_SINCE], row[_UNTIL]))
        return list(customers.values())
