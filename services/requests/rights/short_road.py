"""Requests that come in great number: the ordinary route of the same path asks the same code."""

from starlette.datastructures import State

from chassis import telemetry
from chassis.auth import Caller
from chassis.hot import Hot, created
from chassis.idempotency import Reply, Write
from services.requests.rights.commands.asking import Asked
from services.requests.rights.contract import OpenRequest

OPEN = "/v1/requests"
ASKS = ("rights.request", "rights.handle")


async def _opened(state: State, caller: Caller, wish: OpenRequest, sent: Write) -> Reply:
    return await state.intake(caller.tenant, sent, Asked(caller, wish, telemetry.traceparent()))


PATHS = {("POST", OPEN): Hot(ASKS, created(OPEN, OpenRequest, _opened))}
