"""HTTP of the breach, DPIA and LIA registers; they are the operator's own."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import PlainTextResponse
from starlette.responses import Response

from chassis import auth
from chassis.bodies import Body
from chassis.clock import now
from chassis.contract import Page
from services.registry.commands import assessments as assessing
from services.registry.commands import breach_letters as letters
from services.registry.commands import breaches as commands
from services.registry.contract import Language
from services.registry.contract.assessments import Assess, Assessment, AssessmentKind
from services.registry.contract.breaches import (
    Breach,
    BreachLetters,
    CloseBreach,
    Form,
    ReportBreach,
    Statement,
    TellBreach,
)
from services.registry.queries import assessments, breaches
from services.registry.queries import breach_letters as reading
from services.registry.routes.asking import CurrentBook, HouseOnce, HouseTx, Versions, database, of_the_operator
from services.registry.rules.breaches import form

BreachReader = Annotated[auth.Caller, auth.Requires("breach.read")]
BreachWriter = Annotated[auth.Caller, auth.Requires("breach.write")]
AssessmentReader = Annotated[auth.Caller, auth.Requires("assessment.read")]
AssessmentWriter = Annotated[auth.Caller, auth.Requires("assessment.write")]
Reference = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

router = APIRouter(tags=["registers"], dependencies=[Depends(of_the_operator)])


@router.post("/v1/breaches", status_code=201, response_model=Breach)
async def report_breach(
    caller: BreachWriter, wish: Body[ReportBreach], versions: Versions, tx: HouseTx, once: HouseOnce
) -> Response:
    return await once(commands.report_breach, tx, caller.subject, wish, versions)


@router.get("/v1/breaches")
async def list_breaches(
    request: Request,
    _: BreachReader,
    versions: Versions,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Page[Breach]:
    """Oldest first."""
    async with database(request).system() as connection:
        found = await breaches.page(connection, versions, now(), after, limit)
    return Page(items=found, next=str(found[-1].id) if len(found) == limit else None)


@router.get("/v1/breaches/{breach}")
async def read_breach(request: Request, _: BreachReader, versions: Versions, breach: UUID) -> Breach:
    async with database(request).system() as connection:
        return await breaches.breach(connection, versions, breach)


@router.post("/v1/breaches/{breach}/statements", response_model=Breach)
async def state_breach(
    caller: BreachWriter, breach: UUID, wish: Body[Statement], versions: Versions, tx: HouseTx, once: HouseOnce
) -> Response:
    return await once(commands.state_breach, tx, caller.subject, breach, wish, versions)


@router.post("/v1/breaches/{breach}/notices", response_model=Breach)
async def tell_breach(
    caller: BreachWriter, breach: UUID, wish: Body[TellBreach], versions: Versions, tx: HouseTx, once: HouseOnce
) -> Response:
    return await once(commands.tell_breach, tx, caller.subject, breach, wish, versions)


@router.post("/v1/breaches/{breach}/letters", status_code=202, response_model=Breach)
async def announce_breach(
    caller: BreachWriter, breach: UUID, versions: Versions, tx: HouseTx, once: HouseOnce
) -> Response:
    """Tells each customer organisation that the last statement names; their clocks are met when a letter is proven to have arrived."""
    return await once(letters.announce, tx, caller.subject, breach, versions)


@router.get("/v1/breaches/{breach}/letters")
async def breach_letters(request: Request, _: BreachReader, versions: Versions, breach: UUID) -> BreachLetters:
    async with database(request).system() as connection:
        await breaches.breach(connection, versions, breach)
        return BreachLetters(items=await reading.letters(connection, breach=breach))


@router.post("/v1/breaches/{breach}/closing", response_model=Breach)
async def close_breach(
    caller: BreachWriter, breach: UUID, wish: Body[CloseBreach], versions: Versions, tx: HouseTx, once: HouseOnce
) -> Response:
    return await once(commands.close_breach, tx, caller.subject, breach, wish, versions)


@router.get(
    "/v1/breaches/{breach}/forms/{clock}",
    response_model=Form,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def breach_form(
    request: Request,
    _: BreachReader,
    versions: Versions,
    breach: UUID,
    clock: str,
    tenant: UUID | None = None,
    lang: Language = "sv",
    format: Literal["json", "text"] = "json",
) -> Response | Form:
    """The notice to whom this clock is about, filled in as far as the register knows."""
    async with database(request).system() as connection:
        known = await breaches.breach(connection, versions, breach)
    filled = form(breaches.book_of_its_time(versions, known.aware_at), known, clock, tenant, lang)
    return PlainTextResponse(filled.as_text()) if format == "text" else filled


@router.put("/v1/assessments/{reference}", response_model=Assessment)
async def assess(
    caller: AssessmentWriter, reference: Reference, wish: Body[Assess], book: CurrentBook, tx: HouseTx, once: HouseOnce
) -> Response:
    return await once(assessing.assess, tx, caller.subject, reference, wish, book)


@router.get("/v1/assessments")
async def list_assessments(
    request: Request, _: AssessmentReader, book: CurrentBook, kind: AssessmentKind | None = None
) -> Page[Assessment]:
    async with database(request).system() as connection:
        return Page(items=await assessments.assessments(connection, book, now(), kind=kind))


@router.get("/v1/assessments/{reference}")
async def read_assessment(request: Request, _: AssessmentReader, book: CurrentBook, reference: Reference) -> Assessment:
    async with database(request).system() as connection:
        return await assessments.assessment(connection, book, reference, now())
