"""HTTP of the book's life: a changed file is proposed, looked at, approved by somebody else, or rejected. Staff only."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from chassis.bodies import Body
from services.registry.books import BookRefused, parsed
from services.registry.commands import proposals as commands
from services.registry.contract import (
    ApproveBook,
    BookFaulty,
    PolicyBook,
    Proposal,
    Proposals,
    ProposeBook,
    RejectBook,
    faults,
)
from services.registry.queries import proposals as queries
from services.registry.routes.asking import (
    HouseOnce,
    HouseTx,
    PolicyApprover,
    PolicyDecider,
    PolicyReader,
    PolicyWriter,
    of_the_operator,
    signing_key,
)

router = APIRouter(tags=["policy book"], dependencies=[Depends(of_the_operator)])

Wish = Body[ProposeBook]


async def _readable(request: Request, _: PolicyWriter, wish: Wish) -> PolicyBook:
    """The book of the file that was sent, without any fault; read and compared with the stores before a transaction opens."""
    try:
        book = await asyncio.to_thread(parsed, wish.file)
    except BookRefused as refused:
        raise _faulty(refused.faults) from None
    if book.tenant_periods or book.tenant_endings:
        raise _faulty([("tenant_periods", "No book states what tenants set for themselves.")])
    if not book.known_zone:
        raise _faulty([("zone", "There is no such time zone."), *((fault.where, fault.what) for fault in faults(book))])
    await commands.fits(request.app.state.anonymizer, book)
    return book


@router.post("/v1/policy/proposals", status_code=201, response_model=Proposal)
async def propose(
    caller: PolicyWriter, wish: Wish, book: Annotated[PolicyBook, Depends(_readable)], tx: HouseTx, once: HouseOnce
):
    """Refused with all its faults at once, or a proposed version with its differences; its consequences follow."""
    return await once(commands.propose, tx, caller.subject, wish, book)


@router.get("/v1/policy/proposals")
async def listed(
    _: PolicyReader, tx: HouseTx, after: UUID | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Proposals:
    return await queries.page(tx, after, limit)


@router.get("/v1/policy/proposals/{proposal}")
async def read(_: PolicyReader, tx: HouseTx, proposal: UUID) -> Proposal:
    return await queries.one(tx, proposal)


@router.post("/v1/policy/proposals/{proposal}/simulation", status_code=202, response_model=Proposal)
async def ask_again(_: PolicyDecider, tx: HouseTx, once: HouseOnce, proposal: UUID):
    """Counts the consequences once more; `simulated_at` changes when that is done."""
    return await once(commands.ask_again, tx, proposal)


@router.post("/v1/policy/proposals/{proposal}/approval", response_model=Proposal)
async def approve(
    request: Request, caller: PolicyApprover, wish: Body[ApproveBook], tx: HouseTx, once: HouseOnce, proposal: UUID
):
    """By somebody else than its author: the book is signed, and in force from its first day."""
    return await once(commands.approve, tx, caller.subject, proposal, wish, signing_key(request))


@router.post("/v1/policy/proposals/{proposal}/rejection", response_model=Proposal)
async def reject(caller: PolicyDecider, wish: Body[RejectBook], tx: HouseTx, once: HouseOnce, proposal: UUID):
    return await once(commands.reject, tx, caller.subject, proposal, wish)


def _faulty(found: list[tuple[str, str]]) -> BookFaulty:
    return BookFaulty(
        f"{len(found)} fault(s); see errors.", errors=[{"path": where, "problem": what} for where, what in found]
    )
