"""Past decisions, asked again."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from chassis import clock
from chassis.auth import Caller, Requires
from chassis.bodies import Body
from chassis.errors import Forbidden, Malformed, Unavailable
from services.consent import decisions, replay
from services.consent.contract import AskAgain, Decision, InTheFuture
from services.consent.questions import BadQuestion, read_one

router = APIRouter()

DecisionAsker = Annotated[Caller, Requires(decisions.SCOPE)]


@router.post("/v1/replays", response_model=Decision)
async def ask_again(caller: DecisionAsker, asked: Body[AskAgain], request: Request):
    """What the decision point answered then. It changes nothing and needs no lease: the past is the same everywhere."""
    if caller.tenant is None:
        raise Forbidden("This call names no customer organisation.")
    if asked.as_of > clock.now():
        raise InTheFuture("Only what was decided can be asked again.")
    try:
        question = read_one(b"application/json", orjson.dumps(asked.evaluation))
    except BadQuestion as fault:
        raise Malformed(str(fault)) from None
    state = request.app.state
    try:
        book = state.policy.at(asked.as_of)
    except Unavailable:
        book = None  # without one every answer was no
    answer = await replay.replayed(state.database, book, caller, question, asked.as_of, asked.state_version)
    return Response(answer, media_type="application/json")
