"""What a tenant's privacy contact does: sets and dates its own anonymisation times, and says what becomes of its data at the end.

Each change is a signed document of the tenant's own, which those who execute retention follow beside the book.
"""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from joserfc.jwk import OKPKey

from chassis import clock
from chassis.db import Database, Transaction
from chassis.ledger.canonical import canonical
from chassis.ledger.events import Event
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import SimulationRequest
from services.registry.commands.book import LOCK, signature
from services.registry.contract import Consequence, PolicyBook, TenantPeriod, TenantPeriods, TenantPeriodsSet
from services.registry.contract.pack import (
    ChoosablePeriods,
    EndContract,
    Ending,
    EndingCertificate,
    EndingChosen,
    EndingDone,
    EndingFixed,
    EndingUnknown,
    HandOver,
    NothingToReturn,
    PeriodRefused,
    PeriodsPreview,
    SetPeriods,
)
from services.registry.contract.signed import ENDING, TENANT_PERIODS
from services.registry.queries import tenants
from services.registry.queries.book import book_of, version_in_force
from services.registry.rules.book import digest, on_the_day
from services.registry.rules.tenants import (
    before_ending,
    choices,
    choosable,
    ending_rows,
    lasting_for,
    refuse_unlawful,
    rows_of,
)

_LAST_KNOWN = "SELECT max(known_from) FROM tenant_periods"
_STORE = "INSERT INTO tenant_periods (tenant, known_from, jws) VALUES ($1, $2, $3)"
_END = """
INSERT INTO tenant_ending (tenant, wish, ends_on, deadline, state, chosen_by, chosen_at) VALUES ($1, $2, $3, $4, 'chosen', $5, $6)
ON CONFLICT (tenant) DO NOTHING RETURNING true"""
_HANDED = "UPDATE tenant_ending SET state = 'handed_over', handed_over_at = $1, handed_over = $2"
_COUNTED = "UPDATE tenant_ending SET remaining = $1, counted_at = $2 WHERE state <> 'done'"
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
    """The tenant's choice, once; from the day after, the shortest times count for its data. Raises EndingFixed, PeriodRefused."""
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
        await _shorten(tx, by, book, key)
    return await tenants.ending(tx)


async def hand_over(tx: Transaction, by: str, wish: HandOver, book: PolicyBook, key: OKPKey) -> Ending:
    """Operations returned the data; only now may they go. Raises EndingUnknown, NothingToReturn."""
    await tx.connection.execute(LOCK)
    found = await tenants.ending(tx, lock=True)
    if found.wish != "return" or found.state != "chosen":
        raise NothingToReturn
    await tx.connection.execute(_HANDED, clock.now(), f"{wish.receipt} sha256:{wish.sha256}")
    await _shorten(tx, by, book, key)
    return await tenants.ending(tx)


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
    waits = found.wish == "return" and found.state == "chosen"
    if waits or now.astimezone(book.tz).date() <= _last_day(found, on_the_day(book, now)):
        return
    # Whatever a rule would keep that lasts for ever, and goes by the shortest time, is still there.
    lasting = lasting_for(book, tenant, found.ends_on)
    told = await _consequences(database, anonymizer, lasting, tenant, list(lasting.tenant_periods), now)
    remaining = sum(one.count for one in told)
    async with database.transaction(tenant) as tx:
        await tx.connection.execute(_COUNTED, remaining, now)
        if remaining == 0:
            await _certify(tx, found, book, key)


async def _certify(tx: Transaction, found: Ending, book: PolicyBook, key: OKPKey) -> None:
    certificate = EndingCertificate(
        tenant=tx.tenant,
        wish=found.wish,
        ended_on=found.ends_on,
        done_at=clock.now(),
        policy_version=book.version,
        rules=[row.key for row in choosable(on_the_day(book, clock.now()))],
        remaining=0,
        handed_over=await tx.connection.fetchval(_HANDED_OVER),
    )
    body = canonical(certificate.model_dump(mode="json"))
    if await tx.connection.fetchval(_DONE, signature(body, key, ENDING)):
        await tx.emit("contract.ended", EndingDone(sha256=digest(body)).model_dump(mode="json"))


def _last_day(found: Ending, book: PolicyBook) -> date:
    """The last day on which a record of the contract's last day may be kept by the shortest times."""
    return max(rule.min.last_day(found.ends_on + timedelta(days=1)) for rule in choosable(book) if rule.min)


async def _is_ending(tx: Transaction) -> bool:
    try:
        await tenants.ending(tx)
    except EndingUnknown:
        return False
    return True


async def _shorten(tx: Transaction, by: str, book: PolicyBook, key: OKPKey) -> None:
    found = await tenants.ending(tx)
    first = max(found.ends_on, clock.now().astimezone(book.tz).date() - timedelta(days=1)) + timedelta(days=1)
    kept = before_ending(await tenants.own_periods(tx), first - timedelta(days=1))
    await _say(tx, by, [*kept, *ending_rows(book.on(first), tx.tenant, first)], key)


async def _say(tx: Transaction, by: str, rows: list[TenantPeriod], key: OKPKey) -> None:
    """One after the other, each known later than the last: whoever follows asks for what came after it."""
    last = await tx.connection.fetchval(_LAST_KNOWN)
    known_from = max(clock.now(), last + timedelta(microseconds=1)) if last else clock.now()
    body = canonical(TenantPeriods(tenant=tx.tenant, known_from=known_from, periods=rows).model_dump(mode="json"))
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
