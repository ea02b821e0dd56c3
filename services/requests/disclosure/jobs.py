"""Durable work: collect for an approved order, let go of what a hold kept; and the tick that minds the holds' time."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid5

from joserfc.jwk import ECKey

from chassis import clock
from chassis.db import Database
from chassis.durable import Job, Jobs
from chassis.ids import new_id
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import DisclosureRequest, Identifier, IdentifierType, Period, VerbUnsupported
from services.requests.disclosure import package as packages
from services.requests.disclosure.commands import collections, holds
from services.requests.disclosure.commands.collections import Claim, Wanted
from services.requests.disclosure.desk import Desk
from services.requests.disclosure.extracts import Extract, extracted
from services.requests.disclosure.package import Item

TICK = 1.0


@dataclass
class Found:
    """What was found for each task, and which stores cannot be asked by an order."""

    rows: dict[UUID, int]
    items: list[Item] = field(default_factory=list)
    not_asked: set[str] = field(default_factory=set)


class Work:
    def __init__(self, database: Database, desk: Desk, anonymizer: AnonymizerClient) -> None:
        self.database, self.desk, self.anonymizer = database, desk, anonymizer

    def register(self, jobs: Jobs) -> None:
        # The anonymizer or a store may be away for days; an order waits for them as long as it takes.
        jobs.on("disclosure.collect", self.collect, deliveries=None)
        jobs.on("disclosure.release_hold", self.release_hold, deliveries=None)
        jobs.every("disclosure.clock", TICK, self.tick)

    async def collect(self, job: Job) -> None:
        """Counts, then collects and seals. Killed anywhere, it begins its stage again: it writes at its end only."""
        claim = await self._claim(job)
        if claim and claim.stage == "counting":
            found = await self._found(job.tenant, claim, keep=False)
            async with self.database.transaction(job.tenant) as tx:
                go_on = await collections.counted(tx, claim, found.rows)
            claim = await self._claim(job) if go_on else None
        if claim and claim.stage == "collecting":
            await self._seal(job.tenant, claim, await self._found(job.tenant, claim, keep=True))

    async def release_hold(self, job: Job) -> None:
        async with self.database.transaction(job.tenant) as tx:
            if not await holds.to_release(tx, job.id):
                return
        done = await self.anonymizer.release(job.id, tenant=job.tenant)
        async with self.database.transaction(job.tenant) as tx:
            await holds.released(tx, job.id, done.erased)

    async def tick(self) -> None:
        async with self.database.system() as connection:
            over = await holds.over(connection, clock.now())
        for hold, tenant in over:
            async with self.database.transaction(tenant) as tx:
                await holds.expire(tx, hold)

    async def _claim(self, job: Job) -> Claim | None:
        async with self.database.transaction(job.tenant) as tx:
            return await collections.claim(tx, self.desk, job.id)

    async def _found(self, tenant: UUID, claim: Claim, *, keep: bool) -> Found:
        found = Found({wanted.task: 0 for wanted in claim.wanted})
        stores = (await self.anonymizer.stores(tenant=tenant)).items
        for number, wanted in enumerate(claim.wanted, start=1):
            for store in stores if wanted.known else ():
                try:
                    extracts = await self._ask(tenant, claim, wanted, store.store, keep)
                except VerbUnsupported:
                    found.not_asked.add(store.store)
                    continue
                found.rows[wanted.task] += sum(extract.rows for extract in extracts)
                if keep:
                    found.items += [_item(number, wanted, store.store, extract) for extract in extracts]
        return found

    async def _ask(self, tenant: UUID, claim: Claim, wanted: Wanted, store: str, keep: bool) -> list[Extract]:
        type, value = wanted.known
        asked = DisclosureRequest(
            step=uuid5(wanted.task, store),
            store=store,
            identifiers=[Identifier(type=IdentifierType(type), value=value)],
            categories=[wanted.category],
            period=_period(wanted.query["period"]),
            copies=list(claim.copies),
            holds=list(claim.holds),
        )
        async with self.anonymizer.disclose(asked, tenant=tenant) as stream:
            return await extracted(stream, wanted.category, wanted.subtype, keep=keep)

    async def _seal(self, tenant: UUID, claim: Claim, found: Found) -> None:
        package, recipient = new_id(), ECKey.import_key(dict(claim.encryption_key))
        about = {
            "package": str(package),
            "order": str(claim.order),
            "authority": claim.authority,
            "instrument": claim.instrument,
            "reference": claim.reference,
            "sealed_at": clock.now().isoformat(),
            "nothing_found": [dict(one.query) for one in claim.wanted if not found.rows[one.task]],
            "stores_not_asked": sorted(found.not_asked),
        }
        manifest = packages.manifest_of(about, claim.order_hash, found.items)
        sealed = await asyncio.to_thread(packages.seal, manifest, found.items, self.desk.signing, recipient)
        async with self.database.transaction(tenant) as tx:
            await collections.sealed(tx, claim, package, sealed, recipient.kid, found.rows)


def _period(said: Mapping[str, str]) -> Period:
    return Period(from_=datetime.fromisoformat(said["from"]), to=datetime.fromisoformat(said["to"]))


def _item(number: int, wanted: Wanted, store: str, extract: Extract) -> Item:
    return Item(
        path=f"{number:03}-{wanted.category}/{store}.{extract.table}.jsonl",
        content=extract.content,
        query=wanted.query,
        store=store,
        table=extract.table,
        rows=extract.rows,
        extracted_at=clock.now(),
    )
