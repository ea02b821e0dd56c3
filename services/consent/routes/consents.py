"""The HTTP of the consent service. Decisions, and consents given, come here only when they are not plain; see `short_road`."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from chassis import telemetry
from chassis.auth import Anyone, Caller, Requires
from chassis.bodies import Body
from chassis.db import Tx
from chassis.errors import Forbidden
from chassis.idempotency import Once, Sent
from services.consent import decisions, queries
from services.consent.commands import duties, notices, people, standing, statements
from services.consent.contract import (
    AskConsent,
    Configuration,
    Consequence,
    Decision,
    Decisions,
    Duty,
    EndConsent,
    EndGuardian,
    Evaluation,
    Evaluations,
    GiveConsent,
    Guardian,
    GuardianEnded,
    NoSignal,
    Notice,
    Notices,
    NoWords,
    PublishNotice,
    Receipt,
    Recorded,
    Records,
    RefuseConsent,
    SetDuty,
    SetGuardian,
    SetObjection,
    SetRestriction,
    Signalled,
    Standing,
    WithdrawConsent,
)
from services.consent.routes import terms
from services.consent.routes.terms import AsOf, ConsentReader, ConsentWriter, Key, Limit, NoticePublisher, Version

router = APIRouter()

DecisionAsker = Annotated[Caller, Requires(decisions.SCOPE)]


# --- notices -------------------------------------------------------------------------------------------------------------


@router.post("/v1/notices", status_code=201, response_model=Notice)
async def publish_notice(caller: NoticePublisher, notice: Body[PublishNotice], request: Request, tx: Tx, once: Once):
    return await once(notices.publish, tx, terms.desk(request, caller), notice)


@router.get("/v1/notices", response_model=Notices)
async def list_notices(caller: ConsentReader, tx: Tx):
    return await queries.notices_in_force(tx)


@router.get("/v1/notices/{notice}/versions/{version}", response_model=Notice)
async def read_notice(caller: ConsentReader, notice: Key, version: Version, tx: Tx):
    return await queries.notice(tx, notice, version)


# --- what people say -----------------------------------------------------------------------------------------------------


@router.post("/v1/consents", status_code=201, response_model=Recorded)
async def give_consent(caller: ConsentWriter, wish: Body[GiveConsent], request: Request, sent: Sent):
    return await _recorded(request, caller, sent, wish)


@router.post("/v1/withdrawals", status_code=201, response_model=Recorded)
async def withdraw_consent(caller: ConsentWriter, wish: Body[WithdrawConsent], request: Request, sent: Sent):
    """Answers when no decision point can say yes any more; 503 `consent.not_yet_everywhere` if that takes too long."""
    return await _told_everywhere(request, await _recorded(request, caller, sent, wish))


@router.post("/v1/refusals", status_code=201, response_model=Recorded)
async def refuse_consent(caller: ConsentWriter, wish: Body[RefuseConsent], request: Request, sent: Sent):
    """Answers when no decision point can say yes any more, like a withdrawal."""
    return await _told_everywhere(request, await _recorded(request, caller, sent, wish))


async def _recorded(
    request: Request, caller: Caller, sent: Sent, wish: GiveConsent | RefuseConsent | WithdrawConsent
) -> Response:
    principal = wish.principal or caller.own(None)
    said = statements.Said(terms.desk(request, caller), principal, wish, telemetry.traceparent())
    state = request.app.state
    return (await statements.say(state.database, state.together, sent, said)).response()


async def _told_everywhere(request: Request, reply: Response) -> Response:
    # Also for an old answer said again: the first may have been cut off while it waited.
    for event in terms.events_of(reply):
        await request.app.state.barrier.passed(event)
    return reply


@router.post("/v1/asks", status_code=201, response_model=Recorded)
async def ask_consent(caller: ConsentWriter, wish: Body[AskConsent], request: Request, tx: Tx, once: Once):
    terms.not_a_person(caller)
    return await once(statements.ask_consent, tx, terms.desk(request, caller), wish)


@router.post("/v1/invalidations", status_code=201, response_model=Recorded)
async def end_consent(caller: NoticePublisher, wish: Body[EndConsent], request: Request, tx: Tx, once: Once):
    """Answers when no decision point can say yes any more, like a withdrawal."""
    reply = await once(statements.end_consent, tx, terms.desk(request, caller), wish)
    return terms.effective_everywhere(request, tx, reply)


@router.post("/v1/signals", response_model=Signalled)
async def signal(caller: ConsentWriter, _body: Body[NoWords], request: Request, tx: Tx, once: Once):
    """`Sec-GPC: 1` of her browser, as an objection to what the policy book maps it to; effective everywhere when answered. Of several
    such headers one that is 1 is enough, in whatever order they come."""
    if "1" not in request.headers.getlist("sec-gpc"):
        raise NoSignal("Send the browser's header along.")
    reply = await once(people.signalled, tx, terms.desk(request, caller), caller.own(None))
    return terms.effective_everywhere(request, tx, reply)


@router.put("/v1/guardians/{principal}", response_model=Guardian)
async def set_guardian(
    caller: ConsentWriter, principal: UUID, wish: Body[SetGuardian], request: Request, tx: Tx, once: Once
):
    terms.not_a_person(caller)
    return await once(people.set_guardian, tx, terms.desk(request, caller), principal, wish)


@router.post("/v1/guardians/{principal}/end", response_model=GuardianEnded)
async def end_guardian(
    caller: ConsentWriter, principal: UUID, wish: Body[EndGuardian], request: Request, tx: Tx, once: Once
):
    terms.not_a_person(caller)
    return await once(people.end_guardian, tx, terms.desk(request, caller), principal, wish)


@router.get("/v1/consequences/{purpose}", response_model=Consequence)
async def consequence(caller: ConsentReader, purpose: Key, request: Request, tx: Tx, principal: UUID | None = None):
    """What she is shown before she withdraws."""
    principal = await terms.speaks_for(tx, caller, principal)
    return await queries.consequence(tx, request.app.state.policy.current(), principal, purpose)


@router.get("/v1/consents", response_model=Records)
async def list_records(
    caller: ConsentReader, tx: Tx, principal: UUID | None = None, after: str | None = None, limit: Limit = 100
):
    return await queries.records(tx, await terms.speaks_for(tx, caller, principal), after, limit)


@router.get("/v1/receipts/{record}", response_model=Receipt)
async def read_receipt(caller: ConsentReader, record: UUID, request: Request):
    """503 `consent.not_yet_in_ledger` in the first moments; the receipt says how long that may last."""
    state = request.app.state
    async with state.database.transaction(caller.tenant) as tx:
        statement = await queries.statement(tx, record)
        await terms.speaks_for(tx, caller, statement.principal)
        receipt = await queries.receipt(tx, statement, state.receipt_key)
    return Receipt(receipt=receipt, proof=await queries.proof(state.database, statement))


@router.get("/v1/standing/{principal}", response_model=Standing)
async def read_standing(caller: ConsentReader, principal: UUID, tx: Tx, as_of: AsOf = None):
    return await queries.standing(tx, await terms.speaks_for(tx, caller, principal), as_of)


@router.put("/v1/standing/{principal}/objections/{purpose}", response_model=Recorded)
async def set_objection(
    caller: ConsentWriter,
    principal: UUID,
    purpose: Key,
    objection: Body[SetObjection],
    request: Request,
    tx: Tx,
    once: Once,
):
    """Answers when every decision point knows it, like a withdrawal."""
    if objection.state == "overruled":
        terms.not_by_herself(caller)
    desk, principal = terms.desk(request, caller), caller.own(principal)
    reply = await once(standing.set_objection, tx, desk, principal, purpose, objection)
    return terms.effective_everywhere(request, tx, reply)


@router.put("/v1/standing/{principal}/restriction", response_model=Recorded)
async def set_restriction(
    caller: ConsentWriter,
    principal: UUID,
    restriction: Body[SetRestriction],
    request: Request,
    tx: Tx,
    once: Once,
):
    """Answers when every decision point knows it, like a withdrawal."""
    desk, principal = terms.desk(request, caller), caller.own(principal)
    reply = await once(standing.set_restriction, tx, desk, principal, restriction)
    return terms.effective_everywhere(request, tx, reply)


@router.put("/v1/duties/{purpose}", response_model=Duty)
async def set_duty(caller: NoticePublisher, purpose: Key, duty: Body[SetDuty], request: Request, tx: Tx, once: Once):
    """Answers when every decision point knows it, like a withdrawal."""
    reply = await once(duties.set_duty, tx, terms.desk(request, caller), purpose, duty)
    return terms.effective_everywhere(request, tx, reply)


# --- decisions -----------------------------------------------------------------------------------------------------------


def _asked(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


_UNREAD: dict[int | str, dict[str, Any]] = {
    400: {"description": "Not a question AuthZEN knows; a sentence says why", "model": str}
}


@router.post(decisions.PATH, response_model=Decision, openapi_extra=_asked(Evaluation), responses=_UNREAD)
async def evaluate(caller: DecisionAsker, request: Request):
    return await _decided(caller, request, request.app.state.decisions.answer)


@router.post(
    decisions.PATH_OF_MANY,
    response_model=Decisions | Decision,
    openapi_extra=_asked(Evaluations),
    responses=_UNREAD,
)
async def evaluate_many(caller: DecisionAsker, request: Request):
    """An item that cannot be read is answered no, with the reason; a batch that cannot be read is 400."""
    return await _decided(caller, request, request.app.state.decisions.answer_many)


async def _decided(caller: Caller, request: Request, answer: Callable[..., tuple[int, bytes]]) -> Response:
    if caller.tenant is None:
        raise Forbidden("This call names no customer organisation.")
    content_type = request.headers.get("content-type", "").encode("latin-1")
    status, body = answer(caller, content_type, await request.body())
    return Response(body, status, media_type="application/json")


@router.get("/.well-known/authzen-configuration", response_model=Configuration)
async def configuration(_: Anyone, request: Request):
    base = request.app.state.settings.issuer.rstrip("/")
    return Configuration(
        policy_decision_point=base,
        access_evaluation_endpoint=base + decisions.PATH,
        access_evaluations_endpoint=base + decisions.PATH_OF_MANY,
    )
