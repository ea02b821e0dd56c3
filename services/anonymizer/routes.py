"""The HTTP of the anonymizer. Only services call it; staff reach simulations and sweeps through the internal edge."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from chassis import clock
from chassis.auth import Caller, Requires
from chassis.bodies import Body
from chassis.db import Tx
from chassis.errors import Forbidden
from chassis.idempotency import Once
from services.anonymizer import queries
from services.anonymizer.commands import backups, byhand, collections, schedules, sweeps
from services.anonymizer.contract import (
    Attest,
    CollectionRequest,
    CollectionsRequest,
    DisclosureRequest,
    Drifts,
    FindPeople,
    FindPrincipal,
    Forget,
    Forgotten,
    FoundPeople,
    Holdings,
    InBackups,
    MappedFields,
    Principal,
    Release,
    SetSchedules,
    Simulation,
    SimulationRequest,
    StepRequest,
    StepResult,
    Stores,
    Sweep,
    SweepRequest,
    SweepSchedules,
    WaitingSteps,
)
from services.anonymizer.picture import drawn
from services.registry.client import CurrentBook

router = APIRouter()

Resolver = Annotated[Caller, Requires("data.resolve")]
Worker = Annotated[Caller, Requires("data.work")]
Discloser = Annotated[Caller, Requires("data.disclose")]
Attester = Annotated[Caller, Requires("data.work", "data.attest")]
Sweeping = Annotated[Caller, Requires("data.sweep")]
Reader = Annotated[Caller, Requires("data.read", "data.work", "data.sweep", "data.disclose")]
DriftReader = Annotated[Caller, Requires("data.read")]
Returner = Annotated[Caller, Requires("data.return")]
Simulator = Annotated[Caller, Requires("data.read", "data.sweep")]


@router.post("/v1/principals", response_model=Principal)
async def principal(caller: Resolver, wish: Body[FindPrincipal], request: Request):
    """Finds the person of these identifiers, or mints a principal for them. Repeating it finds the same."""
    return Principal(principal=await request.app.state.people.principal(_tenant(caller), wish))


@router.post("/v1/principals/lookup", response_model=Principal)
async def lookup(caller: Resolver, wish: Body[FindPrincipal], request: Request):
    return Principal(principal=await request.app.state.people.lookup(_tenant(caller), wish))


@router.post("/v1/principals/known", response_model=FoundPeople)
async def known(caller: Resolver, wish: Body[FindPeople], request: Request):
    """Many at once, for taking over what the operator recorded about them elsewhere."""
    return FoundPeople(principals=await request.app.state.people.known(_tenant(caller), wish))


@router.put("/v1/principals/{principal}/forgotten", response_model=Forgotten)
async def forget(caller: Worker, principal: UUID, wish: Body[Forget], request: Request):
    """After the last step for a person: nobody is known by this principal any more. Repeating it says when that was."""
    return await request.app.state.people.forget(_tenant(caller), principal, wish)


@router.get("/v1/stores", response_model=Stores)
async def stores(caller: Reader, request: Request, book: CurrentBook):
    return queries.stores(request.app.state.house, book)


@router.get("/v1/datamap", response_model=MappedFields)
async def data_map(_: Reader, request: Request):
    return queries.fields(request.app.state.house)


@router.get("/v1/drift", response_model=Drifts)
async def drift(caller: DriftReader, request: Request):
    """Where the stores are no longer what the data map says: samples are looked at, none is shown."""
    return await queries.drift(request.app.state.house)


@router.post("/v1/collections")
async def collect(caller: Worker, wish: Body[CollectionRequest], request: Request, book: CurrentBook):
    return Lines(await request.app.state.collections.alone(_tenant(caller), wish, book))


@router.post("/v1/collections/together")
async def collect_together(caller: Worker, wish: Body[CollectionsRequest], request: Request, book: CurrentBook):
    return Streams(await request.app.state.collections.together(_tenant(caller), wish, book))


@router.get("/v1/holdings", response_model=Holdings)
async def holdings(caller: DriftReader, request: Request, book: CurrentBook):
    """How much is processed for the organisation of the token, and where."""
    return await queries.holdings(request.app.state.house, _tenant(caller), book)


@router.get("/v1/returns/{store}")
async def give_back(caller: Returner, store: str, request: Request, book: CurrentBook):
    """All of that, as lines; the registry passes it on to an organisation whose contract ended."""
    state = request.app.state
    return Lines(await collections.give_back(state.database, state.house, _tenant(caller), store, book))


@router.put("/v1/steps/{step}", response_model=StepResult)
async def step(caller: Worker, step: UUID, wish: Body[StepRequest], request: Request, book: CurrentBook):
    """Idempotent by the step's id: call again while it is `running`, and after any failure."""
    return await request.app.state.steps.take(_tenant(caller), step, wish, book)


@router.get("/v1/steps/waiting", response_model=WaitingSteps)
async def waiting_steps(caller: Attester, tx: Tx):
    return await byhand.waiting(tx)


@router.post("/v1/steps/{step}/attestation", response_model=StepResult)
async def attest(caller: Attester, step: UUID, wish: Body[Attest], tx: Tx, once: Once):
    """What a person did by hand, with where the scanned result is filed. Nothing else completes such a step."""
    return await once(byhand.attest, tx, caller.subject, step, wish)


@router.post("/v1/simulations", response_model=Simulation)
async def simulate(caller: Simulator, wish: Body[SimulationRequest], request: Request):
    state = request.app.state
    return await queries.simulate(state.house, wish, state.policy.at(wish.as_of or clock.now()))


@router.post(
    "/v1/simulations/picture",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {"schema": {"type": "string"}}}}},
)
async def picture(caller: Simulator, wish: Body[SimulationRequest], request: Request) -> Response:
    """The same as a picture: records by month and rule, and of a proposed book what it would change."""
    state = request.app.state
    simulated = await queries.simulate(state.house, wish, state.policy.at(wish.as_of or clock.now()))
    return Response(await drawn(simulated), media_type="image/svg+xml")


@router.post("/v1/sweeps", status_code=202, response_model=Sweep)
async def sweep(caller: Sweeping, wish: Body[SweepRequest], request: Request, tx: Tx, once: Once):
    return await once(sweeps.ask_sweep, tx, request.app.state.house, wish)


@router.get("/v1/sweeps/{sweep}", response_model=Sweep)
async def swept(caller: Sweeping, sweep: UUID, tx: Tx):
    return await sweeps.read_sweep(tx, sweep)


@router.get("/v1/sweep-schedules", response_model=SweepSchedules)
async def sweep_schedules(caller: Sweeping, tx: Tx):
    return await schedules.read_schedules(tx)


@router.put("/v1/sweep-schedules", response_model=SweepSchedules)
async def set_sweep_schedules(
    caller: Sweeping, wish: Body[SetSchedules], request: Request, tx: Tx, once: Once, book: CurrentBook
):
    return await once(schedules.set_schedules, tx, request.app.state.house, book.tz, wish)


@router.get("/v1/backups", response_model=InBackups)
async def in_backups(caller: Reader, tx: Tx):
    """What is gone from the stores, and until when a backup may still bring it back."""
    return await backups.left(tx)


@router.post("/v1/disclosures/collections")
async def disclose(caller: Discloser, wish: Body[DisclosureRequest], request: Request, book: CurrentBook):
    """For an approved task, over every tenant's rows where the operator is controller. Leaves no event here."""
    state = request.app.state
    return Lines(await collections.disclose(state.house, _tenant(caller), wish, book))


@router.put("/v1/holds/{hold}/release", response_model=Release)
async def release(caller: Discloser, hold: UUID, request: Request):
    """The erasures that this hold deferred are finished in every store. Leaves no event here."""
    connectors = request.app.state.house.connectors
    return Release(hold=hold, erased={name: await connector.release(hold) for name, connector in connectors.items()})


def _tenant(caller: Caller) -> UUID:
    if caller.tenant is None:
        raise Forbidden("This call names no customer organisation.")
    return caller.tenant


class Lines(StreamingResponse):
    """A reader that goes away in mid-stream must not leave a store's transaction open behind it."""

    media_type = "application/x-ndjson"

    def __init__(self, lines: AsyncGenerator[bytes]) -> None:
        super().__init__(lines)
        self.lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.lines):
            await super().__call__(scope, receive, send)


class Streams(Lines):
    media_type = "application/octet-stream"
