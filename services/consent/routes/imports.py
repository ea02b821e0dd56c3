"""Taking over consents that an operator already has; `python -m services.consent.importing` sends a file."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.responses import Response, StreamingResponse

from chassis.auth import Caller
from chassis.bodies import Body
from chassis.db import Database, Tx
from chassis.idempotency import Idempotent, Once, Sent
from services.anonymizer.client import AnonymizerClient
from services.anonymizer.contract import FindPeople, Identifier, IdentifierType
from services.consent.commands import imports
from services.consent.commands.imports import Named
from services.consent.contract import Import, ImportChunk, NoWords, StartImport
from services.consent.routes import terms
from services.consent.routes.terms import NoticePublisher

router = APIRouter()

Number = Annotated[int, Path(ge=0, lt=10_000_000)]
_PAGE = 5_000


@router.post("/v1/imports", status_code=201, response_model=Import)
async def start_import(caller: NoticePublisher, wish: Body[StartImport], request: Request, tx: Tx, once: Once):
    return await once(imports.start, tx, terms.desk(request, caller), wish)


@router.get("/v1/imports/{name}", response_model=Import)
async def read_import(caller: NoticePublisher, name: UUID, tx: Tx):
    return await imports.read(tx, name)


@router.put("/v1/imports/{name}/chunks/{number}", response_model=Import)
async def take_chunk(
    caller: NoticePublisher, name: UUID, number: Number, chunk: Body[ImportChunk], request: Request, sent: Sent
):
    """At most two thousand rows. The chunks come in their order; one that came before changes nothing."""
    state = request.app.state
    # Before the transaction: no service is called inside one.
    people = await _people(request, caller, imports.named(chunk))
    async with state.database.transaction(caller.tenant) as tx:
        once = Idempotent(tx, sent)
        return await once(imports.take, tx, terms.desk(request, caller), name, number, chunk, people)


async def _people(request: Request, caller: Caller, named: list[Named]) -> dict[Named, UUID]:
    """Who was known by each identifier at its instant, as far as the operator's stores know."""
    if not named:
        return {}
    state = request.app.state
    anonymizer = AnonymizerClient(state.http, state.settings.peers["anonymizer"], state.tokens)
    asked = [Identifier(type=IdentifierType(type), value=value, **{"from": at}) for type, value, at in named]
    found = await anonymizer.known(FindPeople(identifiers=asked), tenant=caller.tenant)
    return {each: principal for each, principal in zip(named, found.principals, strict=True) if principal}


@router.post("/v1/imports/{name}/end", response_model=Import)
async def end_import(caller: NoticePublisher, name: UUID, _body: Body[NoWords], request: Request, tx: Tx, once: Once):
    """Answered when every decision point knows all that was taken."""
    reply = await once(imports.end, tx, terms.desk(request, caller), name)
    return terms.effective_everywhere(request, tx, reply)


@router.get(
    "/v1/imports/{name}/refused",
    response_class=Response,
    responses={200: {"description": "CSV", "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def read_refused(caller: NoticePublisher, name: UUID, request: Request):
    """Every refused row: its number in the file, counted from 1, and why."""
    database = request.app.state.database
    async with database.transaction(caller.tenant) as tx:
        await imports.read(tx, name)
    headers = {"content-disposition": f'attachment; filename="refused-{name}.csv"'}
    return StreamingResponse(_report(database, caller.tenant, name), media_type="text/csv", headers=headers)


async def _report(database: Database, tenant: UUID, name: UUID) -> AsyncIterator[str]:
    yield "row,code,reason\r\n"
    after = 0
    while True:
        async with database.transaction(tenant) as tx:
            found = await imports.refusals(tx, name, after, _PAGE)
        if not found:
            return
        # Codes and reasons are our own words, without quotation marks.
        yield "".join(f'{each.row},{each.code},"{each.reason}"\r\n' for each in found)
        after = found[-1].row
