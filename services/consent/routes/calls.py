"""What a call server tells and asks."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request

from chassis.auth import Caller, Requires
from chassis.bodies import Body
from chassis.db import Tx
from chassis.idempotency import Once
from services.consent.commands import calls
from services.consent.contract import Call, EndCall, Indicate, StartCall
from services.consent.routes import terms

router = APIRouter()

CallServer = Annotated[Caller, Requires("call.write")]


@router.post("/v1/calls", status_code=201, response_model=Call)
async def start_call(caller: CallServer, wish: Body[StartCall], request: Request, tx: Tx, once: Once):
    return await once(calls.start, tx, terms.desk(request, caller), wish)


@router.get("/v1/calls/{call}", response_model=Call)
async def read_call(caller: CallServer, call: UUID, tx: Tx):
    return await calls.read(tx, call)


@router.post("/v1/calls/{call}/indications", status_code=201, response_model=Call)
async def indicate(caller: CallServer, call: UUID, said: Body[Indicate], request: Request, tx: Tx, once: Once):
    """Answers when every decision point knows it, like a withdrawal."""
    reply = await once(calls.indicate, tx, terms.desk(request, caller), call, said)
    return terms.effective_everywhere(request, tx, reply)


@router.post("/v1/calls/{call}/end", response_model=Call)
async def end_call(caller: CallServer, call: UUID, wish: Body[EndCall], request: Request, tx: Tx, once: Once):
    return await once(calls.end, tx, terms.desk(request, caller), call, wish)
