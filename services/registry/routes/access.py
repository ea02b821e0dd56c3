"""HTTP of the access register: staff ask, decide and review; this platform asks what somebody may do this instant."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from chassis import auth, clock
from chassis.bodies import Body
from chassis.contract import Page
from services.registry.commands import access as commands
from services.registry.contract.access import (
    Clearance,
    ConfirmGrant,
    DecideGrant,
    Depart,
    Ended,
    EndGrant,
    Founded,
    FoundRegister,
    Grant,
    RecordClearance,
    RequestGrant,
    Review,
    ReviewDetail,
    Standing,
)
from services.registry.queries import access
from services.registry.routes.asking import CurrentBook, HouseOnce, HouseTx, database, of_the_operator

Founder = Annotated[auth.Caller, auth.Requires("access.found")]
Requester = Annotated[auth.Caller, auth.Requires("access.request")]
Decider = Annotated[auth.Caller, auth.Requires("access.decide")]
Reader = Annotated[auth.Caller, auth.Requires("access.read")]
Asker = Annotated[auth.Caller, auth.Requires("access.ask")]


asked = APIRouter(tags=["access register"])
router = APIRouter(tags=["access register"], dependencies=[Depends(of_the_operator)])


@asked.get("/v1/access/standing/{person}")
async def standing(request: Request, _: Asker, person: UUID, organisation: UUID) -> Standing:
    """Asked by the issuer at each login and by the edges at each request of staff."""
    async with database(request).system_look() as connection:
        return Standing(roles=await access.roles_held(connection, person, organisation, clock.now()))


@asked.post("/v1/access/founding", status_code=201, response_model=Founded)
async def found(
    caller: Founder, wish: Body[FoundRegister], book: CurrentBook, tx: HouseTx, once: HouseOnce
) -> Response:
    """The first people who may grant access, while there is nobody who may."""
    return await once(commands.found_register, tx, caller.subject, wish, book)


@router.post("/v1/access/grants", status_code=201, response_model=Grant)
async def request_grant(
    caller: Requester, wish: Body[RequestGrant], book: CurrentBook, tx: HouseTx, once: HouseOnce
) -> Response:
    return await once(commands.request_grant, tx, caller.subject, wish, book)


@router.get("/v1/access/grants")
async def grants(
    request: Request,
    _: Reader,
    person: UUID | None = None,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Page[Grant]:
    async with database(request).system() as connection:
        found = await access.grants(connection, clock.now(), person=person, after=after, limit=limit)
    return Page(items=found, next=str(found[-1].id) if len(found) == limit else None)


@router.get("/v1/access/grants/{grant}")
async def grant(request: Request, _: Reader, grant: UUID) -> Grant:
    async with database(request).system() as connection:
        return await access.grant(connection, grant, clock.now())


@router.post("/v1/access/grants/{grant}/decision", response_model=Grant)
async def decide_grant(
    caller: Decider, grant: UUID, wish: Body[DecideGrant], book: CurrentBook, tx: HouseTx, once: HouseOnce
) -> Response:
    return await once(commands.decide_grant, tx, caller.subject, grant, wish, book)


@router.post("/v1/access/grants/{grant}/end", response_model=Grant)
async def end_grant(caller: Decider, grant: UUID, wish: Body[EndGrant], tx: HouseTx, once: HouseOnce) -> Response:
    return await once(commands.end_grant, tx, caller.subject, grant, wish)


@router.post("/v1/access/departures", response_model=Ended)
async def depart(caller: Decider, wish: Body[Depart], tx: HouseTx, once: HouseOnce) -> Response:
    return await once(commands.depart, tx, caller.subject, wish)


@router.post("/v1/access/clearances", status_code=201, response_model=Clearance)
async def record_clearance(
    caller: Decider, wish: Body[RecordClearance], book: CurrentBook, tx: HouseTx, once: HouseOnce
) -> Response:
    return await once(commands.record_clearance, tx, caller.subject, wish, book)


@router.get("/v1/access/clearances")
async def clearances(request: Request, _: Reader, person: UUID) -> Page[Clearance]:
    async with database(request).system() as connection:
        return Page(items=await access.clearances(connection, clock.now(), person=person))


@router.post("/v1/access/clearances/{clearance}/end", response_model=Ended)
async def end_clearance(caller: Decider, clearance: UUID, tx: HouseTx, once: HouseOnce) -> Response:
    return await once(commands.end_clearance, tx, caller.subject, clearance)


@router.get("/v1/access/reviews")
async def reviews(request: Request, _: Reader) -> Page[Review]:
    async with database(request).system() as connection:
        return Page(items=await access.reviews(connection, clock.now()))


@router.get("/v1/access/reviews/{review}")
async def review(request: Request, _: Reader, review: UUID) -> ReviewDetail:
    async with database(request).system() as connection:
        return await access.review(connection, review, clock.now())


@router.post("/v1/access/reviews", status_code=201, response_model=ReviewDetail)
async def open_review(caller: Decider, book: CurrentBook, tx: HouseTx, once: HouseOnce) -> Response:
    """One more than the half-yearly ones, which open by themselves."""
    return await once(commands.open_review, tx, caller.subject, book)


@router.post("/v1/access/reviews/{review}/decisions", response_model=ReviewDetail)
async def confirm_grant(
    caller: Decider, review: UUID, wish: Body[ConfirmGrant], tx: HouseTx, once: HouseOnce
) -> Response:
    return await once(commands.confirm_grant, tx, caller.subject, review, wish)
