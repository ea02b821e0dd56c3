"""What is too hot for FastAPI: decisions, and consents given. The ordinary routes of the same paths ask the same code."""

from uuid import UUID

from fastapi import FastAPI

from chassis import bodies, idempotency, telemetry
from chassis.auth import Caller
from chassis.hot import Answer, Headers, Hot, carried, text, written
from services.consent import decisions
from services.consent.commands.desk import Desk
from services.consent.commands.statements import Said
from services.consent.contract import GiveConsent

GIVE = "/v1/consents"


async def decide(app: FastAPI, caller: Caller, headers: Headers, raw: bytes) -> Answer:
    return Answer(*app.state.decisions.answer(caller, headers.get(b"content-type", b""), raw))


async def decide_many(app: FastAPI, caller: Caller, headers: Headers, raw: bytes) -> Answer:
    return Answer(*app.state.decisions.answer_many(caller, headers.get(b"content-type", b""), raw))


async def give_consent(app: FastAPI, caller: Caller, headers: Headers, raw: bytes) -> Answer:
    state = app.state
    with telemetry.span(f"consent POST {GIVE}", carried(headers)):
        bodies.must_be_json(text(headers, b"content-type"))
        wish = bodies.read(GiveConsent, raw)
        key = text(headers, b"idempotency-key")
        sent = idempotency.write(state.settings, caller, key, f"POST {GIVE}", raw, status=201)
        desk = Desk(state.policy.current(), state.receipt_key, state.settings.issuer, caller)
        principal: UUID = wish.principal or caller.own(None)
        said = Said(desk, principal, wish, telemetry.traceparent())
        return written(await state.together(caller.tenant, sent, said))


PATHS = {
    ("POST", decisions.PATH): Hot((decisions.SCOPE,), decide),
    ("POST", decisions.PATH_OF_MANY): Hot((decisions.SCOPE,), decide_many, largest=1 << 20),
    ("POST", GIVE): Hot(("consent.write",), give_consent),
}
