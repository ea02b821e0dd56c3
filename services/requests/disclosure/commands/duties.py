"""Four eyes: who did one thing with an order does no other. The primary key (order, person) decides."""

from uuid import UUID

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.errors import Forbidden
from services.requests.disclosure.contract import FourEyes

_TAKE = """
INSERT INTO order_duty (tenant, order_id, person, duty, at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, order_id, person) DO NOTHING"""
_HAS = "SELECT duty FROM order_duty WHERE tenant = $1 AND order_id = $2 AND person = $3"
_LAST = "SELECT person FROM order_duty WHERE tenant = $1 AND order_id = $2 AND duty = $3 ORDER BY at DESC LIMIT 1"


async def take(tx: Transaction, caller: Caller, order: UUID, duty: str) -> None:
    """The caller acts on the order in this duty, now and for good. Raises FourEyes where it acted in another."""
    if caller.kind != "staff":
        raise Forbidden("This is for a person of the operator's staff.")
    who = (tx.tenant, order, caller.subject)
    await tx.connection.execute(_TAKE, *who, duty, clock.now())
    if await tx.connection.fetchval(_HAS, *who) != duty:
        raise FourEyes


async def holder(tx: Transaction, order: UUID, duty: str) -> str:
    """Who took the duty last."""
    return await tx.connection.fetchval(_LAST, tx.tenant, order, duty)
