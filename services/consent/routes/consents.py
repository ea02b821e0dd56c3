"""The HTTP of the consent service. Decisions come here only when they are not plain; see `decisions.HotPath`."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from chassis import telemetry
from chassis.auth import Anyone, Caller, Requires
from chassis.bodies import Body
from chassis.db import Transaction, Tx
from chassis.errors import Forbidden, NotFound
from chassis.idempotency import Once, Sent
from services.consent import decisions, queries
from services.consent.commands import duties, notices, standing, statements
from services.consent.commands.desk import Desk
from services.consent.contract import (
    Configuration,
    Decision,
    Duty,
    Evaluation,
    GiveConsent,
    Notice,
    Notices,
    PublishNotice,
    Receipt,
    Recorded,
    Records,
    SetDuty,
    SetObjection,
    SetRestriction,
    Standing,
    WithdrawConsent,
)

router = APIRouter()

ConsentReader = Annotated[Caller, Requires("consent.read")]
ConsentWriter = Annotated[Caller, Requires("consent.write")]
NoticePublisher = Annotated[Caller, Requires("notice.publish")]
DecisionAsker = Annotated[Caller, Requires(decisions.SCOPE)]

Key = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Version = Annotated[int, Path(ge=1, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=500)]


# --- notices -------------------------------------------------------------------------------------------------------------


@router.post("/v1/notices", status_code=201, response_model=Notice)
async def publish_notice(caller: NoticePublisher, notice: Body[PublishNotice], request: Request, tx: Tx, once: Once):
    return await once(notices.publish, tx, _desk(request, caller), notice)


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
    reply = await _recorded(request, caller, sent, wish)
    # Also for an old answer said again: the first may have been cut off while it waited.
    await request.app.state.barrier.passed(_event(reply))
    return reply


async def _recorded(request: Request, caller: Caller, sent: Sent, wish: GiveConsent | WithdrawConsent) -> Response:
    said = statements.Said(_desk(request, caller), caller.own(wish.principal), wish, telemetry.traceparent())
    return await request.app.state.together(caller.tenant, sent, said)


@router.get("/v1/consents", response_model=Records)
async def list_records(
    caller: ConsentReader, tx: Tx, principal: UUID | None = None, after: str | None = None, limit: Limit = 100
):
    return await queries.records(tx, caller.own(principal), after, limit)


@router.get("/v1/receipts/{record}", response_model=Receipt)
async def read_receipt(caller: ConsentReader, record: UUID, request: Request):
    """503 `consent.not_yet_in_ledger` in the first moments; the receipt says how long that may last."""
    database = request.app.state.database
    async with database.transaction(caller.tenant) as tx:
        statement = await queries.statement(tx, record)
    caller.own(statement.principal)
    return await queries.receipt(database, statement)


@router.get("/v1/standing/{principal}", response_model=Standing)
async def read_standing(caller: ConsentReader, principal: UUID, tx: Tx):
    return await queries.standing(tx, caller.own(principal))


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
        _not_by_herself(caller)
    desk, principal = _desk(request, caller), caller.own(principal)
    reply = await once(standing.set_objection, tx, desk, principal, purpose, objection)
    return _effective_everywhere(request, tx, reply)


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
    desk, principal = _desk(request, caller), caller.own(principal)
    reply = await once(standing.set_restriction, tx, desk, principal, restriction)
    return _effective_everywhere(request, tx, reply)


@router.put("/v1/duties/{purpose}", response_model=Duty)
async def set_duty(caller: NoticePublisher, purpose: Key, duty: Body[SetDuty], request: Request, tx: Tx, once: Once):
    """Answers when every decision point knows it, like a withdrawal."""
    reply = await once(duties.set_duty, tx, _desk(request, caller), purpose, duty)
    return _effective_everywhere(request, tx, reply)


# --- decisions -----------------------------------------------------------------------------------------------------------


@router.post(
    decisions.PATH,
    response_model=Decision,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": Evaluation.model_json_schema()}}}
    },
    responses={400: {"description": "Not a question AuthZEN knows; a sentence says why", "model": str}},
)
async def evaluate(caller: DecisionAsker, request: Request):
    if caller.tenant is None:
        raise Forbidden("This call names no customer organisation.")
    content_type = request.headers.get("content-type", "").encode("latin-1")
    status, body = request.app.state.decisions.answer(caller, content_type, await request.body())
    return Response(body, status, media_type="application/json")


@router.get("/.well-known/authzen-configuration", response_model=Configuration)
async def configuration(_: Anyone, request: Request):
    base = request.app.state.settings.issuer.rstrip("/")
    return Configuration(policy_decision_point=base, access_evaluation_endpoint=base + decisions.PATH)


def _desk(request: Request, caller: Caller) -> Desk:
    state = request.app.state
    return Desk(state.policy.current(), state.receipt_key, state.settings.issuer, caller)


def _not_by_herself(caller: Caller) -> None:
    if caller.principal is not None:
        raise NotFound


def _effective_everywhere(request: Request, tx: Transaction, reply: Response) -> Response:
    """Before the answer goes out, also when it is an old answer said again: the first may have been cut off while waiting."""
    tx.after_commit(lambda: request.app.state.barrier.passed(_event(reply)))
    return reply


def _event(reply: Response) -> UUID:
    return UUID(orjson.loads(reply.body)["event"])
