"""A third person releases, the authority's own client fetches: each time is an event of custody, of one same file."""

from uuid import UUID

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.errors import Forbidden
from chassis.ids import new_id
from services.requests.disclosure import contract
from services.requests.disclosure.commands import duties
from services.requests.disclosure.commands.orders import move
from services.requests.disclosure.contract import (
    AcknowledgePackage,
    DigestDiffers,
    OrderStatus,
    StateForbidden,
    TaskStatus,
)
from services.requests.disclosure.custody import note
from services.requests.disclosure.queries import (
    content,
    delivery_status,
    package_told,
    tasks_of,
    visible_order,
    visible_package,
)
from services.requests.disclosure.rules import states
from services.requests.disclosure.tables import Delivery, PackageRelease


async def release_package(tx: Transaction, caller: Caller, package: UUID) -> contract.Package:
    found = await visible_package(tx, caller, package)
    row = await visible_order(tx, caller, found.order_id, lock=True)
    if row.status != OrderStatus.Approved or row.order_hash != found.order_hash:
        raise StateForbidden("Its order is not in force any more.")
    row.stage = states.stage_after(row.stage, "release")
    await duties.take(tx, caller, row.id, "releaser")
    release = {"collected_by": found.collected_by, "released_by": caller.subject, "at": clock.now()}
    tx.session.add(PackageRelease(tenant=tx.tenant, package=package, **release))
    for task in await tasks_of(tx, row.id):
        if task.status == TaskStatus.AwaitingDisclosure:
            await move(tx, task, "disclose")
    await note(tx, "package.released", caller, order=row.id, package=package, sha256=found.sha256)
    return await package_told(tx, found)


async def deliver(tx: Transaction, caller: Caller, package: UUID) -> bytes:
    """The encrypted file, for the authority it is encrypted to and nobody else."""
    if caller.kind != "client":
        raise Forbidden("A package is handed to its authority's own client only.")
    found = await visible_package(tx, caller, package)
    await _said(tx, caller, package, "delivered")
    await note(tx, "package.delivered", caller, order=found.order_id, package=package, sha256=found.sha256)
    return await content(tx, package)


async def acknowledge(tx: Transaction, caller: Caller, package: UUID, wish: AcknowledgePackage) -> contract.Package:
    found = await visible_package(tx, caller, package)
    if wish.sha256 != found.sha256:
        raise DigestDiffers
    # Two words at the same moment queue at the order's row.
    await visible_order(tx, caller, found.order_id, lock=True)
    states.delivery_after(await delivery_status(tx, package), wish.status)
    await _said(tx, caller, package, wish.status)
    await note(tx, "package.acknowledged", caller, order=found.order_id, package=package, status=wish.status)
    return await package_told(tx, found)


async def _said(tx: Transaction, caller: Caller, package: UUID, what: str) -> None:
    client = caller.original_client
    tx.session.add(Delivery(tenant=tx.tenant, id=new_id(), package=package, what=what, client=client, at=clock.now()))
