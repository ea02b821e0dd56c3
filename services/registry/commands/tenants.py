"""What a tenant's privacy contact does: sets and dates its own anonymisation times, and says what becomes of its data at the end.

Each change is a signed document of the tenant's own, which those who execute retention follow beside the book.
"""

from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from joserfc.jwk import OKPKey

from chassis import clock
from chassis.db import Database, Transaction
from chassis.ledger.canonical import canonical
from chassis.ledger.events import Event
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import Holdings, SimulationRequest
from services.registry.commands.book import LOCK, signature
from services.registry.contract import (
    Consequence,
    PolicyBook,
    TenantEnding,
    TenantPeriod,
    TenantPeriods,
    TenantPeriodsSet,
)
from services.registry.contract.pack import (
    ChoosablePeriods,
    EndContract,
    Ending,
    EndingCertificate,
    EndingChosen,
    EndingDone,
    EndingFixed,
    EndingOverdue,
    EndingUnknown,
    PeriodRefused,
    PeriodsPreview,
    SetPeriods,
)
from services.registry.contract.signed import ENDING, TENANT_PERIODS
from services.registry.queries import tenants
from services.registry.queries.book import book_of, version_in_force
from services.registry.rules.book import digest
from services.registry.rules.tenants import (
    before_ending,
    choices,
    refuse_unlawful,
    rows_of,
)

LAW_OF_ENDINGS = "GDPR Art. 28(3)(g)"

_LAST_KNOWN = "SELECT max(known_from) FROM tenant_periods"
_STORE = "INSERT INTO tenant_periods (tenant, known_from, jws) VALUES ($1, $2, $3)"
_END = """
INSERT INTO tenant_ending (tenant, wish, ends_on, deadline, state, chosen_by, chosen_at) VALUES ($1, $2, $3, $4, 'chosen', $5, $6)
ON CONFLICT (tenant) DO NOTHING RETURNING true"""
_COUNTED = "UPDATE tenant_ending SET remaining = $1, counted_at = $2 WHERE state <> 'done'"
_OVERDUE = """
UPDATE tenant_ending SET overdue_at = $1 WHERE overdue_at IS NULL AND state <> 'done' RETURNING deadline, state, remaining"""
_DONE = "UPDATE tenant_ending SET state = 'done', certificate = $1 WHERE state <> 'done' RETURNING true"
_HANDED_OVER = "SELECT handed_over FROM tenant_ending"
_DELETED = """
INSERT INTO tenant_deletion (tenant, event, number, at, store, rule, action, count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING"""


async def set_periods(tx: Transaction, by: str, wish: SetPeriods, book: PolicyBook, key: OKPKey) -> ChoosablePeriods:
    """Raises PeriodRefused, EndingFixed."""
    await tx.connection.execute(LOCK)
    if await _is_ending(tx):
        raise EndingFixed("The contract is ending; its times are set.")
    rows = _wished(tx.tenant, by, wish, book, await tenants.own_periods(tx))
    await _say(tx, by, rows, key)
    return told(book, tx.tenant, rows)


async def preview(
    database: Database, anonymizer: AnonymizerClient, tenant: UUID, by: str, wish: SetPeriods, book: PolicyBook
) -> PeriodsPreview:
    """What the wish would change for the tenant's records, on the first day on which all of it applies. Raises PeriodRefused."""
    async with database.transaction(tenant) as tx:
        rows = _wished(tenant, by, wish, book, await tenants.own_periods(tx))
    first = max((_midnight(row, book) for row in rows), default=clock.now())
    as_of = max(clock.now(), first)
    return PeriodsPreview(
        as_of=as_of, consequences=await _consequences(database, anonymizer, book, tenant, rows, as_of)
    )


def told(book: PolicyBook, tenant: UUID, own: list[TenantPeriod]) -> ChoosablePeriods:
    today = clock.now().astimezone(book.tz).date()
    return ChoosablePeriods(policy_version=book.version, items=choices(book.on(today), tenant, own, today))


async def end_contract(tx: Transaction, by: str, wish: EndContract, book: PolicyBook, key: OKPKey) -> Ending:
    """The tenant's choice, once; from the day after, nothing keeps its data. Raises EndingFixed, PeriodRefused."""
    today = clock.now().astimezone(book.tz).date()
    if wish.ends_on < today:
        raise PeriodRefused(
            "A contract ends today or later.", errors=[{"path": "ends_on", "problem": "That day is over."}]
        )
    await tx.connection.execute(LOCK)
    deadline = book.on(today).period("ending_deadline").last_day(wish.ends_on)
    row = (tx.tenant, wish.wish, wish.ends_on, deadline, by, clock.now())
    if not await tx.connection.fetchval(_END, *row):
        raise EndingFixed
    fact = EndingChosen(wish=wish.wish, ends_on=wish.ends_on, deadline=deadline, by=by)
    await tx.emit("contract.ending", fact.model_dump(mode="json"))
    if wish.wish == "delete":
        await end_now(tx, by, book, key)
    return await tenants.ending(tx)


async def end_now(tx: Transaction, by: str, book: PolicyBook, key: OKPKey) -> None:
    """From the day after the contract's last, and from today at the earliest, the sweeps take what was processed for the tenant."""
    found = await tenants.ending(tx)
    first = max(found.ends_on + timedelta(days=1), clock.now().astimezone(book.tz).date())
    kept = before_ending(await tenants.own_periods(tx), first - timedelta(days=1))
    await _say(tx, by, kept, key, TenantEnding(tenant=tx.tenant, valid_from=first, source=LAW_OF_ENDINGS))


async def conclude(database: Database, anonymizer: AnonymizerClient, key: OKPKey) -> None:
    """The tick: looks for what the stores still hold of tenants whose contracts ended, and certifies what is gone."""
    async with database.system() as connection:
        ending = await tenants.unfinished(connection)
    for tenant in ending:
        await _conclude(database, anonymizer, key, tenant)


async def note_deletion(tx: Transaction, event: Event) -> None:
    """An erasure of one of the tenant's people, by the anonymizer's feed: how much, where and by which rule; never whose."""
    for number, outcome in enumerate(event.data["outcomes"]):
        if outcome["action"] != "keep":
            row = (event.data["store"], outcome["rule"], outcome["action"], outcome["count"])
            await tx.connection.execute(_DELETED, tx.tenant, event.id, number, event.time, *row)


async def _conclude(database: Database, anonymizer: AnonymizerClient, key: OKPKey, tenant: UUID) -> None:
    now = clock.now()
    version = await version_in_force(database, now, now)
    book = book_of(version.jws)
    async with database.transaction(tenant) as tx:
        found = await tenants.ending(tx)
    today, waits = now.astimezone(book.tz).date(), found.wish == "return" and found.state == "chosen"
    if today > found.deadline and found.overdue_at is None:
        await _tell_overdue(database, tenant, now)
    if waits or today <= found.ends_on:
        return
    held = await anonymizer.holdings(tenant=tenant)
    remaining = sum(one.count or 0 for one in held.items)
    async with database.transaction(tenant) as tx:
        await tx.connection.execute(_COUNTED, remaining, now)
        if remaining == 0:
            await _certify(tx, found, held, book, key)


async def _tell_overdue(database: Database, tenant: UUID, now: datetime) -> None:
    async with database.transaction(tenant) as tx:
        if row := await tx.connection.fetchrow(_OVERDUE, now):
            await tx.emit("contract.overdue", EndingOverdue(**row).model_dump(mode="json"))


async def _certify(tx: Transaction, found: Ending, held: Holdings, book: PolicyBook, key: OKPKey) -> None:
    certificate = EndingCertificate(
        tenant=tx.tenant,
        wish=found.wish,
        ended_on=found.ends_on,
        done_at=clock.now(),
        policy_version=book.version,
        stores=[one.store for one in held.items if one.count is not None],
        by_hand=[one.store for one in held.items if one.count is None],
        remaining=0,
        handed_over=await tx.connection.fetchval(_HANDED_OVER),
    )
    body = canonical(certificate.model_dump(mode="json"))
    if await tx.connection.fetchval(_DONE, signature(body, key, ENDING)):
        await tx.emit("contract.ended", EndingDone(sha256=digest(body)).model_dump(mode="json"))


async def _is_ending(tx: Transaction) -> bool:
    try:
        await tenants.ending(tx)
    except EndingUnknown:
        return False
    return True


async def _say(
    tx: Transaction, by: str, rows: list[TenantPeriod], key: OKPKey, ending: TenantEnding | None = None
) -> None:
    """One after the other, each known later than the last: whoever follows asks for what came after it."""
    last = await tx.connection.fetchval(_LAST_KNOWN)
    known_from = max(clock.now(), last + timedelta(microseconds=1)) if last else clock.now()
    document = TenantPeriods(tenant=tx.tenant, known_from=known_from, periods=rows, ending=ending)
    body = canonical(document.model_dump(mode="json"))
    await tx.connection.execute(_STORE, tx.tenant, known_from, signature(body, key, TENANT_PERIODS))
    fact = TenantPeriodsSet(by=by, sha256=digest(body), periods=rows)
    await tx.emit("policy.tenant_periods", fact.model_dump(mode="json"))


async def _consequences(
    database: Database,
    anonymizer: AnonymizerClient,
    book: PolicyBook,
    tenant: UUID,
    rows: list[TenantPeriod],
    as_of: datetime,
) -> list[Consequence]:
    """The same book with another word of this tenant: nobody else's records can meet another fate by it."""
    async with database.system() as connection:
        others = [row for row in await tenants.every_tenant_s(connection) if row.tenant != tenant]
    proposed = book.model_copy(update={"tenant_periods": (*others, *rows)})
    simulation = await anonymizer.simulate(SimulationRequest(proposed=proposed, as_of=as_of))
    return [Consequence.model_validate(change.model_dump()) for change in simulation.changes]


def _wished(
    tenant: UUID, by: str, wish: SetPeriods, book: PolicyBook, standing: list[TenantPeriod]
) -> list[TenantPeriod]:
    rows = rows_of(tenant, wish.periods, source=f"tenant: set by {by}")
    refuse_unlawful(book, rows, standing, clock.now().astimezone(book.tz).date())
    return rows


def _midnight(row: TenantPeriod, book: PolicyBook) -> datetime:
    return datetime.combine(row.valid_from, time.min, book.tz).astimezone(UTC) if row.valid_from else clock.now()
