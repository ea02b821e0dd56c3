"""HTTP of a tenant's own pack: its privacy contact sees, previews, sets, downloads, and chooses what becomes of its data."""

from contextlib import aclosing
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from chassis import auth, clock
from chassis.bodies import Body
from chassis.db import Tx
from chassis.errors import Forbidden
from chassis.idempotency import Idempotent, Once, Sent
from services.anonymizer.contract import Holdings
from services.registry.commands import returns
from services.registry.commands import tenants as commands
from services.registry.contract import HOUSE, PolicyBook, SubProcessors
from services.registry.contract.breaches import BreachLetters
from services.registry.contract.pack import (
    ChoosablePeriods,
    EndContract,
    Ending,
    HandOver,
    PeriodsPreview,
    Receipt,
    Returnable,
    SetPeriods,
)
from services.registry.contract.register import ContractUnknown
from services.registry.export.sources import Sources
from services.registry.pack import Told, packed
from services.registry.queries import access, breach_letters, register
from services.registry.queries import tenants as queries
from services.registry.queries.book import book_of, version_in_force
from services.registry.routes.asking import database, of_the_operator, signing_key

router = APIRouter(tags=["tenant pack"])

Contact = Annotated[auth.Caller, auth.Requires("pack.manage")]
Returner = Annotated[auth.Caller, auth.Requires("pack.return")]


async def _in_force(request: Request) -> PolicyBook:
    now = clock.now()
    return book_of((await version_in_force(database(request), now, now)).jws)


# All rows of the book in force. Named before Tx, so that it is read before a transaction opens.
InForce = Annotated[PolicyBook, Depends(_in_force)]


async def processors_of(request: Request, tenant: UUID | None) -> SubProcessors:
    """Those of the services in the tenant's agreements; every one while the register has no agreement with it."""
    now = clock.now()
    sources = Sources(database(request), await register.as_written(database(request), now, now))
    try:
        return await sources.processors_of(customer=tenant)
    except ContractUnknown:
        return await sources.processors_of()


async def _told(request: Request, caller: Contact) -> Told:
    tenant = _tenant(caller)
    async with database(request).system() as connection:
        audits = await access.audits(connection, clock.now(), tenant)
        breaches = await breach_letters.letters(connection, tenant=tenant)
    return Told(await processors_of(request, tenant), audits, breaches)


AllTold = Annotated[Told, Depends(_told)]


@router.get("/v1/pack", response_class=Response, responses={200: {"content": {"application/zip": {}}}})
async def pack(request: Request, caller: Contact, book: InForce, about: AllTold, tx: Tx) -> Response:
    """The tenant's Art. 28 pack as it stands now, signed."""
    made = await packed(tx, book, about, _tenant(caller), clock.now(), signing_key(request))
    named = {"content-disposition": f'attachment; filename="art28-{clock.now():%Y%m%d}.zip"'}
    return Response(made, media_type="application/zip", headers=named)


@router.get("/v1/pack/breaches")
async def breaches(request: Request, caller: Contact) -> BreachLetters:
    """What the organisation was told of breaches of its data, in the words it was told, with the proofs."""
    async with database(request).system() as connection:
        return BreachLetters(items=await breach_letters.letters(connection, tenant=_tenant(caller)))


@router.get("/v1/pack/periods")
async def periods(caller: Contact, book: InForce, tx: Tx) -> ChoosablePeriods:
    return commands.told(book, _tenant(caller), await queries.own_periods(tx))


@router.post("/v1/pack/periods/preview")
async def preview(request: Request, caller: Contact, wish: Body[SetPeriods], book: InForce) -> PeriodsPreview:
    """How many records of the tenant would meet another fate. Nothing changes."""
    state = request.app.state
    tenant = _tenant(caller)
    return await commands.preview(state.database, state.anonymizer, tenant, caller.subject, wish, book)


@router.put("/v1/pack/periods", response_model=ChoosablePeriods)
async def set_periods(request: Request, caller: Contact, wish: Body[SetPeriods], book: InForce, tx: Tx, once: Once):
    _tenant(caller)
    return await once(commands.set_periods, tx, caller.subject, wish, book, signing_key(request))


@router.get("/v1/pack/ending")
async def ending(_: Contact, tx: Tx) -> Ending:
    return await queries.ending(tx)


@router.post("/v1/pack/ending", status_code=201, response_model=Ending)
async def end_contract(request: Request, caller: Contact, wish: Body[EndContract], book: InForce, tx: Tx, once: Once):
    """Return or delete, once and for all."""
    _tenant(caller)
    return await once(commands.end_contract, tx, caller.subject, wish, book, signing_key(request))


async def _held(request: Request, caller: Contact) -> Holdings:
    return await request.app.state.anonymizer.holdings(tenant=_tenant(caller))


# What the stores hold for the tenant. Named before Tx: nobody is asked inside a transaction.
Held = Annotated[Holdings, Depends(_held)]


@router.get("/v1/pack/return")
async def returnable(_: Contact, book: InForce, held: Held, tx: Tx) -> Returnable:
    """What there is to take home at the contract's end, store by store."""
    return await returns.told(tx, held, book)


@router.get(
    "/v1/pack/return/{store}",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
async def give_back(request: Request, caller: Contact, store: str, book: InForce) -> Response:
    """Everything that one store holds for the tenant. Without the last line it is not all, and it counts as not fetched."""
    state, tenant = request.app.state, _tenant(caller)
    return Lines(await returns.give_back(state.database, state.anonymizer, tenant, caller.subject, store, book))


@router.post("/v1/pack/return/receipt", response_model=Ending)
async def receive(
    request: Request, caller: Contact, wish: Body[Receipt], book: InForce, held: Held, tx: Tx, once: Once
):
    """The tenant has everything as it was sent: now its data go here."""
    return await once(returns.receive, tx, caller.subject, wish, held, book, signing_key(request))


@router.post("/v1/pack/endings/{tenant}/handover", response_model=Ending, dependencies=[Depends(of_the_operator)])
async def hand_over(
    request: Request, caller: Returner, tenant: UUID, wish: Body[HandOver], book: InForce, sent: Sent
) -> Response:
    """By operations, whose own organisation is another one: what no program can send was returned to this tenant."""
    async with database(request).transaction(tenant) as tx:
        once = Idempotent(tx, sent)
        return await once(returns.hand_over, tx, caller.subject, wish, book, signing_key(request))


class Lines(StreamingResponse):
    """A reader that goes away in mid-stream must not leave a store's transaction open behind it."""

    media_type = "application/x-ndjson"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)


def _tenant(caller: auth.Caller) -> UUID:
    """The organisation the contact acts for. The house itself has no pack."""
    if caller.tenant is None or caller.tenant == HOUSE:
        raise Forbidden("This is for customer organisations.")
    return caller.tenant
