"""HTTP of changes of sub-processors: the operator proposes, announces and answers, its customers read and object."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from chassis import auth, clock
from chassis.bodies import Body
from chassis.db import Transaction, Tx
from chassis.errors import Forbidden
from chassis.idempotency import Idempotent, Once, Sent
from services.registry.commands import changes as commands
from services.registry.contract.register import (
    ChangeRecord,
    Changes,
    ChangeTold,
    ObjectionTold,
    ProposeChange,
    RaiseObjection,
    ResolveObjection,
)
from services.registry.queries import changes, register
from services.registry.queries.register import Moment
from services.registry.routes.asking import (
    HouseOnce,
    HouseTx,
    KnownAt,
    RegistryWriter,
    database,
    instants,
    is_of_the_operator,
    of_the_operator,
)

router = APIRouter(tags=["changes of sub-processors"])
# Nobody but the operator proposes, announces and answers: a role of the same name in a customer organisation is that one's own.
OPERATOR_ONLY = [Depends(of_the_operator)]

Contact = Annotated[auth.Caller, auth.Requires("pack.manage")]
# Of a change a customer organisation reads what concerns itself, and whoever reads the register how it stands.
ChangeReader = Annotated[auth.Caller, auth.Requires("registry.read", "registry.write", "pack.manage")]


async def _now(request: Request) -> Moment:
    instant = clock.now()
    return await register.moment(database(request), instant, instant)


# Read before a transaction opens.
Now = Annotated[Moment, Depends(_now)]


@router.get("/v1/subprocessor-changes")
async def list_changes(request: Request, caller: ChangeReader, known_at: KnownAt = None) -> Changes:
    """Every change as it stands, newest first; for a customer organisation those it was told of."""
    asked = await register.as_written(database(request), *instants(None, known_at))
    found = [change async for change in register.changes(database(request), asked)]
    if (customer := _customer(caller)) is not None:
        mine = await changes.told_of(database(request), customer)
        found = [change for change in found if change.change in mine]
    return Changes(items=sorted(found, key=lambda change: change.proposed_at, reverse=True))


@router.post("/v1/subprocessor-changes", status_code=201, response_model=ChangeRecord, dependencies=OPERATOR_ONLY)
async def propose_change(
    caller: RegistryWriter, wish: Body[ProposeChange], asked: Now, tx: HouseTx, once: HouseOnce
) -> Response:
    """Nobody is told yet; a correction of facts takes effect at once."""
    return await once(commands.propose, tx, caller, asked, wish)


@router.get("/v1/subprocessor-changes/{change}")
async def read_change(request: Request, caller: ChangeReader, change: UUID) -> ChangeTold:
    """With its notices, their proofs, and what was objected: all of them for who keeps the register, a customer's own for itself."""
    return await changes.told(database(request), change, _customer(caller), whole=await _keeps_it(request, caller))


@router.post("/v1/subprocessor-changes/{change}/notice", response_model=ChangeRecord, dependencies=OPERATOR_ONLY)
async def announce_change(caller: RegistryWriter, change: UUID, asked: Now, tx: HouseTx, once: HouseOnce) -> Response:
    """Tells every customer organisation it concerns; the window of each agreement begins with its notice."""
    return await once(commands.announce, tx, caller, asked, change)


@router.post("/v1/subprocessor-changes/{change}/objections", status_code=201, response_model=ObjectionTold)
async def raise_objection(_: Contact, change: UUID, wish: Body[RaiseObjection], tx: Tx, once: Once) -> Response:
    """By a customer organisation, until its own window is over."""
    return await once(commands.raise_objection, tx, change, wish)


async def _customer_transaction(request: Request, _: RegistryWriter, customer: UUID) -> AsyncIterator[Transaction]:
    """An objection belongs to the customer that raised it: it is resolved in that tenant."""
    async with database(request).transaction(customer) as tx:
        yield tx


CustomerTx = Annotated[Transaction, Depends(_customer_transaction, scope="function")]


@router.post(
    "/v1/objections/{customer}/{objection}/resolution", response_model=ObjectionTold, dependencies=OPERATOR_ONLY
)
async def resolve_objection(
    caller: RegistryWriter, objection: UUID, wish: Body[ResolveObjection], tx: CustomerTx, sent: Sent
) -> Response:
    """One that is upheld rejects the change."""
    return await Idempotent(tx, sent)(commands.resolve_objection, tx, caller, objection, wish)


async def _keeps_it(request: Request, caller: auth.Caller) -> bool:
    """Whether somebody keeps the register, and so may know which customer said what; the house's own call names no organisation."""
    if "registry.write" not in caller.scopes:
        return False
    return caller.tenant is None or await is_of_the_operator(database(request), caller)


def _customer(caller: auth.Caller) -> UUID | None:
    """The organisation a caller speaks for, unless it reads the whole register."""
    if {"registry.read", "registry.write"} & caller.scopes:
        return None
    if caller.tenant is None:
        raise Forbidden("This call names no customer organisation.")
    return caller.tenant
