"""Endpoints and deliveries over HTTP: a system manages its own, who is on call sees all of the organisation's."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request

from chassis.auth import Caller, Requires
from chassis.bodies import Body
from chassis.db import Tx
from chassis.idempotency import Once
from services.webhooks import commands, queries
from services.webhooks.contract import Deliveries, Delivery, Endpoint, Endpoints, RegisterEndpoint, Secrets

router = APIRouter(tags=["webhooks"])
Manager = Annotated[Caller, Requires("webhooks.manage")]


def _whose(caller: Caller) -> str | None:
    return None if caller.kind == "staff" else caller.original_client


@router.post("/v1/endpoints", status_code=201, response_model=Endpoint)
async def register_endpoint(caller: Manager, wish: Body[RegisterEndpoint], request: Request, tx: Tx, once: Once):
    """Needs the right to hear what is subscribed to, too: a scope `hear.…` for each subject."""
    state = request.app.state
    return await once(commands.register_endpoint, tx, state.sealer, caller, wish, state.settings.loopback)


@router.get("/v1/endpoints")
async def list_endpoints(caller: Manager, tx: Tx) -> Endpoints:
    return await queries.endpoints(tx, _whose(caller))


@router.get("/v1/endpoints/{endpoint}/secrets")
async def read_secrets(caller: Manager, endpoint: UUID, request: Request, tx: Tx) -> Secrets:
    return await commands.read_secrets(tx, request.app.state.sealer, caller.original_client, endpoint)


@router.post("/v1/endpoints/{endpoint}/rotation", status_code=201, response_model=Endpoint)
async def rotate_secret(caller: Manager, endpoint: UUID, request: Request, tx: Tx, once: Once):
    return await once(commands.rotate_secret, tx, request.app.state.sealer, caller.original_client, endpoint)


@router.post("/v1/endpoints/{endpoint}/disable", response_model=Endpoint)
async def disable_endpoint(caller: Manager, endpoint: UUID, tx: Tx, once: Once):
    return await once(commands.disable_endpoint, tx, endpoint, _whose(caller))


@router.get("/v1/deliveries")
async def list_deliveries(
    caller: Manager,
    tx: Tx,
    state: Literal["pending", "delivered", "dead"] | None = None,
    endpoint: UUID | None = None,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Deliveries:
    return await queries.deliveries(tx, _whose(caller), state, endpoint, after, limit)


@router.post("/v1/deliveries/{delivery}/replay", response_model=Delivery)
async def replay_delivery(caller: Manager, delivery: UUID, tx: Tx, once: Once):
    return await once(commands.replay_delivery, tx, delivery, _whose(caller))
