"""Reads: orders with their tasks and reviews, packages with their deliveries, authorities. Never another's."""

from uuid import UUID

from sqlmodel import func, select

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.errors import Malformed
from services.requests.disclosure import contract
from services.requests.disclosure.contract import (
    AuthMismatch,
    DeliveryStatus,
    Order,
    OrderFile,
    OrderLine,
    Orders,
    OrderUnknown,
    Package,
    Packages,
    PackageUnknown,
    Period,
    PlaceOrder,
)
from services.requests.disclosure.desk import Desk
from services.requests.disclosure.tables import (
    Authority,
    AuthorityClient,
    Delivery,
    DisclosureOrder,
    OrderVersion,
    PackageRelease,
    Review,
    SealedPackage,
    Task,
)

# --- authorities ------------------------------------------------------------------------------------------------------


async def authority_of(tx: Transaction, caller: Caller) -> Authority:
    """The authority a client speaks for: confirmed by a second person, not expired. Raises AuthMismatch."""
    known = await tx.session.get(AuthorityClient, (tx.tenant, caller.original_client))
    found = await tx.session.get(Authority, (tx.tenant, known.authority)) if known else None
    if found is None or not usable(found):
        raise AuthMismatch
    return found


async def _own_authority(tx: Transaction, caller: Caller) -> str | None:
    """For a client, the authority it speaks for; asked before anything is looked up, so that a refusal never tells what exists."""
    return (await authority_of(tx, caller)).id if caller.kind == "client" else None


def usable(authority: Authority) -> bool:
    return authority.confirmed_by is not None and authority.expires_at > clock.now()


async def authorities(tx: Transaction) -> contract.Authorities:
    rows = (await tx.session.execute(select(Authority).order_by(Authority.id))).scalars()
    return contract.Authorities(items=[authority_told(row) for row in rows])


def authority_told(row: Authority) -> contract.Authority:
    told = row.model_dump(exclude={"encryption_key", "jwks", "callback_number"})
    return contract.Authority(**told, encryption_kid=row.encryption_key["kid"])


# --- orders -----------------------------------------------------------------------------------------------------------


async def visible_order(tx: Transaction, caller: Caller, order: UUID, *, lock: bool = False) -> DisclosureOrder:
    """The order, if it is there for this caller; an authority sees its own only. Raises OrderUnknown."""
    own = await _own_authority(tx, caller)
    found = select(DisclosureOrder).where(DisclosureOrder.id == order)
    row = (await tx.session.execute(found.with_for_update() if lock else found)).scalar_one_or_none()
    if row is None or own not in (None, row.authority):
        raise OrderUnknown
    return row


async def content_of(tx: Transaction, desk: Desk, row: DisclosureOrder) -> PlaceOrder:
    """What the version in force says."""
    version = await tx.session.get(OrderVersion, (tx.tenant, row.id, row.generation))
    opened = await desk.sealer.open(tx.connection, tx.tenant, row.id, "order_version", "sealed", version.sealed)
    return PlaceOrder.model_validate_json(opened)


async def tasks_of(tx: Transaction, order: UUID) -> list[Task]:
    found = select(Task).where(Task.order_id == order).order_by(Task.target, Task.id)
    return list((await tx.session.execute(found)).scalars())


async def reviews_of(tx: Transaction, order: UUID) -> list[Review]:
    found = select(Review).where(Review.order_id == order).order_by(Review.at)
    return list((await tx.session.execute(found)).scalars())


async def order_state(tx: Transaction, row: DisclosureOrder) -> Order:
    return Order(**await _told(tx, row))


async def order_file(tx: Transaction, desk: Desk, row: DisclosureOrder) -> OrderFile:
    return OrderFile(**await _told(tx, row), content=await content_of(tx, desk, row))


async def _told(tx: Transaction, row: DisclosureOrder) -> dict:
    await tx.session.flush()
    reviews = await reviews_of(tx, row.id)
    found = select(SealedPackage.id).where(SealedPackage.order_id == row.id, SealedPackage.order_hash == row.order_hash)
    return row.model_dump(exclude={"errors"}) | {
        "order": row.id,
        "errors": [contract.Fault(**fault) for fault in row.errors],
        "approvals": approvals(reviews, row.order_hash),
        "tasks": [_task(task) for task in await tasks_of(tx, row.id)],
        "reviews": [contract.Review(**review.model_dump()) for review in reviews],
        "package": (await tx.session.execute(found)).scalar_one_or_none(),
    }


def approvals(reviews: list[Review], order_hash: str) -> int:
    """How many persons approved exactly this version."""
    return sum(review.verdict == "approve" and review.order_hash == order_hash for review in reviews)


def _task(row: Task) -> contract.Task:
    period = Period(from_=row.period_from, to=row.period_to)
    return contract.Task(**row.model_dump(), task=row.id, period=period)


async def orders(tx: Transaction, caller: Caller, after: str | None, limit: int) -> Orders:
    """Newest first; an authority's own."""
    found = select(DisclosureOrder).order_by(DisclosureOrder.id.desc()).limit(limit)
    if caller.kind == "client":
        found = found.where(DisclosureOrder.authority == (await authority_of(tx, caller)).id)
    if after is not None:
        found = found.where(DisclosureOrder.id < _cursor(after))
    rows = list((await tx.session.execute(found)).scalars())
    items = [OrderLine(**row.model_dump(), order=row.id) for row in rows]
    return Orders(items=items, next=str(rows[-1].id) if len(rows) == limit else None)


def _cursor(after: str) -> UUID:
    # Orders are UUIDv7, so they sort by when they came.
    try:
        return UUID(after)
    except ValueError:
        raise Malformed("`after` is not a cursor of this listing.") from None


# --- packages ---------------------------------------------------------------------------------------------------------


async def visible_package(tx: Transaction, caller: Caller, package: UUID) -> SealedPackage:
    """For an authority: its own, once a third person released it. Raises PackageUnknown."""
    own = await _own_authority(tx, caller)
    row = await tx.session.get(SealedPackage, (tx.tenant, package))
    if row is None:
        raise PackageUnknown
    if own is not None:
        order = await tx.session.get(DisclosureOrder, (tx.tenant, row.order_id))
        if order.authority != own or await release_of(tx, package) is None:
            raise PackageUnknown
    return row


async def release_of(tx: Transaction, package: UUID) -> PackageRelease | None:
    return await tx.session.get(PackageRelease, (tx.tenant, package))


async def package_told(tx: Transaction, row: SealedPackage) -> Package:
    await tx.session.flush()
    counted = select(func.count()).where(Delivery.package == row.id, Delivery.what == "delivered")
    return Package(
        **row.model_dump(exclude={"order_id"}),
        package=row.id,
        order=row.order_id,
        delivery=await delivery_status(tx, row.id),
        deliveries=(await tx.session.execute(counted)).scalar_one(),
    )


async def delivery_status(tx: Transaction, package: UUID) -> DeliveryStatus | None:
    if await release_of(tx, package) is None:
        return None
    said = (await tx.session.execute(select(Delivery.what).where(Delivery.package == package))).scalars().all()
    reached = [status for status in (DeliveryStatus.Received, DeliveryStatus.Acknowledged) if status in said]
    return reached[0] if reached else DeliveryStatus.Available


async def packages(tx: Transaction, caller: Caller, order: UUID) -> Packages:
    await visible_order(tx, caller, order)
    rows = list((await tx.session.execute(select(SealedPackage).where(SealedPackage.order_id == order))).scalars())
    if caller.kind == "client":
        rows = [row for row in rows if await release_of(tx, row.id)]
    return Packages(items=[await package_told(tx, row) for row in rows])


async def content(tx: Transaction, package: UUID) -> bytes:
    """The encrypted file."""
    return await tx.connection.fetchval("SELECT content FROM sealed_package WHERE id = $1", package)
