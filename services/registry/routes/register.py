"""HTTP of those who keep the register: one more dated row each time, in the house's own transaction."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from chassis import clock
from chassis.bodies import Body
from services.registry.commands import register as commands
from services.registry.contract.register import KeepActivity, KeepContract, KeepTransfer, Kept, Transparency
from services.registry.queries import register
from services.registry.queries.register import Moment
from services.registry.routes.asking import HouseOnce, HouseTx, RegistryWriter, database, of_the_operator

router = APIRouter(tags=["register"], dependencies=[Depends(of_the_operator)])


@router.post("/v1/activities", status_code=201, response_model=Kept)
async def keep_activity(
    request: Request, caller: RegistryWriter, wish: Body[KeepActivity], tx: HouseTx, once: HouseOnce
) -> Response:
    """How a purpose of the book is carried out, Art. 30(1)."""
    return await once(commands.keep_activity, tx, caller, (await now(request)).book, wish)


@router.post("/v1/contracts", status_code=201, response_model=Kept)
async def keep_contract(
    request: Request, caller: RegistryWriter, wish: Body[KeepContract], tx: HouseTx, once: HouseOnce
) -> Response:
    """An agreement with a customer organisation, Art. 28 and 30(2), with how long it may object to changes."""
    return await once(commands.keep_contract, tx, caller, (await now(request)).book, wish)


@router.post("/v1/transfers", status_code=201, response_model=Kept)
async def keep_transfer(
    request: Request, caller: RegistryWriter, wish: Body[KeepTransfer], tx: HouseTx, once: HouseOnce
) -> Response:
    """What makes a transfer to a third country lawful, Chapter V."""
    return await once(commands.keep_transfer, tx, caller, (await now(request)).book, wish)


@router.put("/v1/transparency-reports/{year}", response_model=Kept)
async def keep_report(
    request: Request,
    caller: RegistryWriter,
    year: Annotated[int, Path(ge=2000, le=2200)],
    wish: Body[Transparency],
    tx: HouseTx,
    once: HouseOnce,
) -> Response:
    """How many orders of authorities came in a year, as disclosure counted and hid them; published by the profile `transparency`."""
    return await once(commands.keep_report, tx, caller, (await now(request)).book, year, wish)


async def now(request: Request) -> Moment:
    """Book and register of this instant."""
    instant = clock.now()
    return await register.moment(database(request), instant, instant)
