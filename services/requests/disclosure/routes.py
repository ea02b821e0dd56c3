"""The HTTP of disclosure: authorities and staff through the internal edge, and the anonymizer about holds."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from chassis.auth import Caller, Requires
from chassis.bodies import Body
from chassis.db import Tx
from chassis.errors import Forbidden
from chassis.idempotency import Once
from services.registry.contract import Transparency
from services.requests.disclosure import leases, queries
from services.requests.disclosure.commands import authorities, collections, deliveries, holds, orders, reviews
from services.requests.disclosure.contract import (
    AcknowledgePackage,
    AskHolds,
    Authorities,
    Authority,
    CancelOrder,
    ChangeOrder,
    CollectOrder,
    Holds,
    Order,
    OrderFile,
    Orders,
    Package,
    Packages,
    PlaceOrder,
    RegisterAuthority,
    ReviewOrder,
    Settled,
    SettleHolds,
)
from services.requests.disclosure.custody import note
from services.requests.disclosure.desk import EVERYBODY, TheDesk
from services.requests.disclosure.leases import AfterBarrier
from services.requests.disclosure.transparency import of_the_year

router = APIRouter()

Submitter = Annotated[Caller, Requires("order.submit", "order.intake")]
OwnClient = Annotated[Caller, Requires("order.submit")]
Intake = Annotated[Caller, Requires("order.intake")]
Approver = Annotated[Caller, Requires("order.approve")]
Collector = Annotated[Caller, Requires("order.collect")]
Releaser = Annotated[Caller, Requires("order.release")]
Reader = Annotated[Caller, Requires("order.read")]
HoldsAsker = Annotated[Caller, Requires("holds.ask")]

AuthorityName = Annotated[str, Path(pattern=r"^[A-Z]{2}-[a-z0-9-]{2,40}$")]
Limit = Annotated[int, Query(ge=1, le=500)]


# --- authorities ------------------------------------------------------------------------------------------------------


@router.post("/v1/authorities", status_code=201, response_model=Authority)
async def register_authority(caller: Intake, wish: Body[RegisterAuthority], tx: Tx, once: Once):
    return await once(authorities.register_authority, tx, caller, wish)


@router.post("/v1/authorities/{authority}/confirmation", response_model=Authority)
async def confirm_authority(caller: Approver, authority: AuthorityName, tx: Tx, once: Once):
    return await once(authorities.confirm_authority, tx, caller, authority)


@router.get("/v1/authorities", response_model=Authorities)
async def list_authorities(caller: Reader, tx: Tx):
    if caller.kind != "staff":
        raise Forbidden
    found = await queries.authorities(tx)
    await note(tx, "authorities.listed", caller, count=len(found.items))
    return found


# --- orders -----------------------------------------------------------------------------------------------------------


@router.post("/v1/orders", status_code=201, response_model=Order)
async def place_order(caller: Submitter, wish: Body[PlaceOrder], desk: TheDesk, tx: Tx, once: Once, told: AfterBarrier):
    """A refused order is answered, too: status Rejected, and every fault in `errors`."""
    return await once(orders.place_order, tx, desk, caller, wish)


@router.get("/v1/orders", response_model=Orders)
async def list_orders(caller: Reader, tx: Tx, after: str | None = None, limit: Limit = 50):
    found = await queries.orders(tx, caller, after, limit)
    await note(tx, "orders.listed", caller, count=len(found.items))
    return found


@router.get("/v1/orders/{order}", response_model=OrderFile)
async def read_order(caller: Reader, order: UUID, desk: TheDesk, tx: Tx):
    row = await queries.visible_order(tx, caller, order)
    await note(tx, "order.read", caller, order=order, generation=row.generation)
    return await queries.order_file(tx, desk, row)


@router.get("/v1/transparency/{year}", response_model=Transparency)
async def transparency(caller: Reader, year: Annotated[int, Path(ge=2000, le=2200)], desk: TheDesk, tx: Tx):
    """What may be published of the orders of a year: small numbers hidden, and what would give them away."""
    if caller.kind != "staff":
        raise Forbidden
    told = await of_the_year(tx, desk.book, year)
    await note(tx, "transparency.counted", caller, year=year)
    return told


@router.put("/v1/orders/{order}", response_model=Order)
async def change_order(
    caller: Submitter, order: UUID, wish: Body[ChangeOrder], desk: TheDesk, tx: Tx, once: Once, told: AfterBarrier
):
    return await once(orders.change_order, tx, desk, caller, order, wish)


@router.post("/v1/orders/{order}/reviews", status_code=201, response_model=Order)
async def review_order(
    caller: Approver, order: UUID, wish: Body[ReviewOrder], desk: TheDesk, tx: Tx, once: Once, told: AfterBarrier
):
    return await once(reviews.review_order, tx, desk, caller, order, wish)


@router.post("/v1/orders/{order}/cancellation", response_model=Order)
async def cancel_order(caller: Submitter, order: UUID, wish: Body[CancelOrder], tx: Tx, once: Once):
    return await once(orders.cancel_order, tx, caller, order, wish)


@router.post("/v1/orders/{order}/collection", status_code=202, response_model=Order)
async def collect_order(caller: Collector, order: UUID, wish: Body[CollectOrder], tx: Tx, once: Once):
    return await once(collections.collect_order, tx, caller, order, wish)


# --- packages ---------------------------------------------------------------------------------------------------------


@router.get("/v1/orders/{order}/packages", response_model=Packages)
async def list_packages(caller: Reader, order: UUID, tx: Tx):
    found = await queries.packages(tx, caller, order)
    await note(tx, "packages.listed", caller, order=order, count=len(found.items))
    return found


@router.get("/v1/packages/{package}", response_model=Package)
async def read_package(caller: Reader, package: UUID, tx: Tx):
    row = await queries.visible_package(tx, caller, package)
    await note(tx, "package.read", caller, order=row.order_id, package=package)
    return await queries.package_told(tx, row)


@router.post("/v1/packages/{package}/release", response_model=Package)
async def release_package(caller: Releaser, package: UUID, tx: Tx, once: Once):
    return await once(deliveries.release_package, tx, caller, package)


@router.get("/v1/packages/{package}/content", response_class=Response)
async def deliver_package(caller: Reader, package: UUID, tx: Tx) -> Response:
    """The encrypted file; every time it is fetched stands in the ledger before the first byte leaves."""
    return Response(await deliveries.deliver(tx, caller, package), media_type="application/jose")


@router.post("/v1/packages/{package}/acknowledgement", response_model=Package)
async def acknowledge_package(caller: OwnClient, package: UUID, wish: Body[AcknowledgePackage], tx: Tx, once: Once):
    return await once(deliveries.acknowledge, tx, caller, package, wish)


# --- holds ------------------------------------------------------------------------------------------------------------


@router.post("/v1/holds/query", response_model=Holds)
async def ask_holds(caller: HoldsAsker, question: Body[AskHolds], request: Request, desk: TheDesk):
    """Answered across tenants; a question without a tenant is noted as the house's own."""
    _only_the_anonymizer(caller)
    database = request.app.state.database
    lease = await leases.lend(database, caller.tenant, question.step) if question.step else None
    async with database.system() as system, database.transaction(caller.tenant or EVERYBODY) as tx:
        found = await holds.held(tx, system, desk, caller, question)
    return found.model_copy(update={"lease_seconds": lease})


@router.post("/v1/holds/settlements", response_model=Settled)
async def settle_holds(caller: HoldsAsker, wish: Body[SettleHolds], request: Request):
    _only_the_anonymizer(caller)
    database = request.app.state.database
    async with database.system() as system, database.transaction(caller.tenant or EVERYBODY) as tx:
        settled = await holds.settle(tx, system, caller, wish)
        await leases.end(tx, wish.step)
        return settled


def _only_the_anonymizer(caller: Caller) -> None:
    """The edge may call this service, but nobody gets here through it, whatever scope the token names."""
    if caller.client != "anonymizer" or caller.kind != "client":
        raise Forbidden
