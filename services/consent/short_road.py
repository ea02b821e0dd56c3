"""What is too hot for FastAPI: decisions, and consents given. The ordinary routes of the same paths ask the same code."""

from uuid import UUID

from fastapi import FastAPI
from starlette.datastructures import State

from chassis import telemetry
from chassis.auth import Caller
from chassis.hot import Answer, Headers, Hot, created
from chassis.idempotency import Reply, Write
from services.consent import decisions
from services.consent.commands.desk import Desk
from services.consent.commands.statements import Said, say
from services.consent.contract import GiveConsent

GIVE = "/v1/consents"


async def decide(app: FastAPI, caller: Caller, headers: Headers, raw: bytes) -> Answer:
    return Answer(*app.state.decisions.answer(caller, headers.get(b"content-type", b""), raw))


async def decide_many(app: FastAPI, caller: Caller, headers: Headers, raw: bytes) -> Answer:
    return Answer(*app.state.decisions.answer_many(caller, headers.get(b"content-type", b""), raw))


async def _given(state: State, caller: Caller, wish: GiveConsent, sent: Write) -> Reply:
    desk = Desk(state.policy.current(), state.receipt_key, state.settings.issuer, caller)
    principal: UUID = wish.principal or caller.own(None)
    said = Said(desk, principal, wish, telemetry.traceparent())
    return await say(state.database, state.together, sent, said)


PATHS = {
    ("POST", decisions.PATH): Hot((decisions.SCOPE,), decide),
    ("POST", decisions.PATH_OF_MANY): Hot((decisions.SCOPE,), decide_many, largest=1 << 20),
    ("POST", GIVE): Hot(("consent.write",), created(GIVE, GiveConsent, _given)),
}
