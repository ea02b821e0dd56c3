"""Where the rows of each sheet come from: book and register of one moment, read a few rows at a time."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any
from uuid import UUID

from chassis.contract import Contract
from chassis.db import Database
from services.registry.contract.register import SubProcessors, SubProcessorTold, TransferTold, TransparencyRow
from services.registry.queries import access, book, breaches, findings, register
from services.registry.queries.register import Moment
from services.registry.rules.counting import Count
from services.registry.rules.records import Records, about

Rows = AsyncIterator[dict[str, Any]]
_PAGE = 500
_FIGURES = ("year", "least", *(name for name in TransparencyRow.model_fields if name != "instrument"))
_ANY_KIND = {"label": {"sv": "Alla", "en": "All"}, "country": "", "issuers": [], "legal_ref": ""}


class Sources:
    """The rows of one moment, whose book is as written. `count` is filled while the records are read."""

    def __init__(self, database: Database, asked: Moment) -> None:
        self.database, self.asked, self.about = database, asked, about(asked.book)
        self.count = Count()

    def rows(self, sheet: str) -> Rows:
        return _SOURCES[sheet](self)

    async def activities(self) -> Rows:
        """Each activity of the register, then what the book's purposes do beside them."""
        records = await self._records()
        async for kept in register.activities(self.database, self.asked):
            if (told := records.activity(kept)) is not None:
                yield told
        for told in records.beside():
            yield told

    async def counted(self) -> Rows:
        self.count = Count()
        async for told in self.activities():
            self.count.add(told)
            yield told

    async def bases(self) -> Rows:
        async for told in self.activities():
            for data in told["data"]:
                yield data | {"activity": told["key"], "name": told["label"], "purpose": told["purpose"]}

    async def processor_records(self) -> Rows:
        records = await self._records()
        async for contract in register.contracts(self.database, self.asked):
            yield _json(records.processor_record(contract))

    async def _records(self) -> Records:
        """An activity names everybody who takes part in it, so the whole register of sub-processors is needed at once."""
        return Records(await register.laid_over(self.database, self.asked), self.asked.day)

    async def subprocessors(self) -> Rows:
        using = Counter([frozenset(each.services) async for each in register.contracts(self.database, self.asked)])
        async for told in self._serving((), using):
            yield _json(told)

    async def _serving(
        self, services: Collection[str], using: Counter[frozenset[str]]
    ) -> AsyncIterator[SubProcessorTold]:
        async for keys, chain in register.chains(self.database, self.asked, "subprocessor"):
            for told in chain.told(keys, services, using):
                yield told

    async def processors_of(self, services: Collection[str] = (), customer: UUID | None = None) -> SubProcessors:
        """Who concerns a user of these services, or those of the customer's agreements. Raises ContractUnknown."""
        contracts = [contract async for contract in register.contracts(self.database, self.asked)]
        used = set(services)
        if customer is not None:
            used |= register.services_of(contracts, customer)
        return SubProcessors(
            policy_version=self.asked.version,
            as_of=self.asked.day,
            services=sorted(used),
            items=[told async for told in self._serving(used, Counter(frozenset(each.services) for each in contracts))],
        )

    async def changes(self) -> Rows:
        async for change in register.changes(self.database, self.asked):
            yield _json(change)

    async def transfers(self) -> Rows:
        async for told in self.transfers_told():
            yield _json(told)

    async def transfers_told(self) -> AsyncIterator[TransferTold]:
        async for keys, chain in register.chains(self.database, self.asked, "transfer"):
            for told in chain.transfers(keys):
                yield told

    async def measures(self) -> Rows:
        for row in self.asked.book.measures:
            yield _json(row)

    async def findings(self) -> Rows:
        async with self.database.system() as connection:
            told = await findings.told(connection, self.asked.book, self.asked.day, self.asked.known_at)
        for row in told:
            yield _json(row)

    async def completeness(self) -> Rows:
        """After the records: what was counted while they were read."""
        for told in self.count.answered():
            yield _json(told)

    async def order_kinds(self) -> Rows:
        """Each year's report by instrument; while none was filed, the instruments of the book with nothing said of them."""
        kinds = {
            row.key: row.model_dump(mode="json", include={"key", "label", "country", "issuers", "legal_ref"})
            for row in self.asked.book.instruments
        }
        filed = [report async for report in register.reports(self.database, self.asked)]
        for report in filed:
            for row in report.rows:
                said = row.model_dump(exclude={"instrument"}) | {"year": report.year, "least": report.least}
                yield kinds.get(row.instrument, _ANY_KIND | {"key": row.instrument}) | said
        for kind in () if filed else kinds.values():
            yield kind | dict.fromkeys(_FIGURES)

    async def breaches(self) -> Rows:
        labels = {row.key: row.label.model_dump() for row in self.asked.book.categories}
        async for breach in self._breaches():
            said = breach["statement"]
            named = [labels.get(key, {"sv": key, "en": key}) for key in said["categories"]]
            yield breach | said | {"categories": named}

    async def clocks(self) -> Rows:
        async for breach in self._breaches():
            for told in breach["clocks"]:
                yield told | {"breach": breach["id"]}

    async def _breaches(self) -> Rows:
        known = [each for each in await book.versions(self.database) if each.known_from <= self.asked.known_at]
        async with self.database.system() as connection:
            after = None
            while page := await breaches.page(connection, known, self.asked.known_at, after, _PAGE):
                for breach in page:
                    yield _json(breach)
                after = page[-1].id

    async def reviews(self) -> Rows:
        async with self.database.system() as connection:
            for review in await access.reviews(connection, self.asked.known_at):
                yield _json(review)

    async def reviewed(self) -> Rows:
        """What was decided about each grant; a campaign asks about every one there is."""
        async with self.database.system() as connection:
            for review in await access.reviews(connection, self.asked.known_at):
                async for item in access.items(connection, review.id, self.asked.known_at):
                    yield _json(item) | {"review": str(review.id)}

    async def grants(self) -> Rows:
        after = None
        async with self.database.system() as connection:
            while page := await access.grants(connection, self.asked.known_at, after=after, limit=_PAGE):
                for grant in page:
                    yield _json(grant)
                after = page[-1].id


_SOURCES: dict[str, Callable[[Sources], Rows]] = {
    "processing-records": Sources.counted,
    "processing-data": Sources.bases,
    "processor-records": Sources.processor_records,
    "sub-processors": Sources.subprocessors,
    "sub-processor-changes": Sources.changes,
    "transfers": Sources.transfers,
    "measures": Sources.measures,
    "findings": Sources.findings,
    "completeness": Sources.completeness,
    "breaches": Sources.breaches,
    "breach-notices": Sources.clocks,
    "access-reviews": Sources.reviews,
    "access-review-decisions": Sources.reviewed,
    "access-grants": Sources.grants,
    "transparency": Sources.order_kinds,
}


def _json(row: Contract) -> dict[str, Any]:
    return row.model_dump(mode="json")
