"""The internal edge: authorities and staff. It listens elsewhere and has no operation in common with the public one."""

from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from chassis import clock, telemetry
from chassis.bodies import BodyReader
from chassis.contract import Contract
from chassis.errors import NotFound
from gateway import edge
from gateway.routes import INTERNAL

_TEN_YEARS = 10 * 366 * 86_400.0


class SetClock(Contract):
    """PUT /v1/clock: business time of every process is the machine's plus this many seconds. Development only."""

    offset_seconds: Annotated[float, Field(ge=-_TEN_YEARS, le=_TEN_YEARS)]


_read = BodyReader(SetClock)


async def set_clock(scope: Scope, receive: Receive, send: Send) -> None:
    """In production there is no such thing: the settings refuse a clock file there."""
    request = Request(scope, receive)
    settings = request.app.state.settings
    if settings.clock_file is None:
        raise NotFound
    wish = await _read(request)
    clock.set_offset(settings.clock_file, timedelta(seconds=wish.offset_seconds))
    telemetry.log().warning("business time moved", offset_seconds=wish.offset_seconds)
    await JSONResponse({"now": clock.now().isoformat()})(scope, receive, send)


def create_app() -> FastAPI:
    return edge.create_app("internal", INTERNAL, own={"/v1/clock": set_clock})
