"""Reads of endpoints and deliveries."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chassis.db import Transaction
from chassis.sealing import Sealer
from services.webhooks.contract import Deliveries, Delivery, DeliveryUnknown, Endpoint, Endpoints, EndpointUnknown

# Of one client, or (NULL, for who is on call) of all of the organisation's.
_OF_CLIENT = "($2::text IS NULL OR client = $2)"
_ENDPOINT = (
    "SELECT id AS endpoint, url, types, subjects, state, problem, created_at FROM endpoint "
    f"WHERE tenant = $1 AND {_OF_CLIENT}"
)
_DELIVERY = (
    "SELECT id AS delivery, endpoint, event, type, state, tries, problem, next_at, created_at, delivered_at "
    "FROM delivery WHERE tenant = $1"
)


async def endpoints(tx: Transaction, client: str | None) -> Endpoints:
    rows = await tx.connection.fetch(f"{_ENDPOINT} ORDER BY id", tx.tenant, client)
    return Endpoints(items=[Endpoint(**row) for row in rows])


async def endpoint(tx: Transaction, id: UUID, client: str | None = None) -> Endpoint:
    row = await tx.connection.fetchrow(f"{_ENDPOINT} AND id = $3", tx.tenant, client, id)
    if row is None:
        raise EndpointUnknown
    return Endpoint(**row)


async def delivery(tx: Transaction, id: UUID) -> Delivery:
    row = await tx.connection.fetchrow(f"{_DELIVERY} AND id = $2", tx.tenant, id)
    if row is None:
        raise DeliveryUnknown
    return Delivery(**row)


async def deliveries(
    tx: Transaction, client: str | None, state: str | None, endpoint: UUID | None, after: UUID | None, limit: int
) -> Deliveries:
    """Newest first; ids sort by the time they were made."""
    rows = await tx.connection.fetch(
        f"{_DELIVERY} AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR endpoint = $3) "
        "AND ($4::uuid IS NULL OR id < $4) AND ($6::text IS NULL OR EXISTS (SELECT FROM endpoint e "
        "WHERE (e.tenant, e.id) = (delivery.tenant, delivery.endpoint) AND e.client = $6)) ORDER BY id DESC LIMIT $5",
        tx.tenant,
        state,
        endpoint,
        after,
        limit,
        client,
    )
    items = [Delivery(**row) for row in rows]
    return Deliveries(items=items, next=str(items[-1].delivery) if len(items) == limit else None)


async def is_of(tx: Transaction, client: str, id: UUID) -> bool:
    """Whether this client registered the endpoint."""
    return await tx.connection.fetchval(
        "SELECT EXISTS (SELECT FROM endpoint WHERE tenant = $1 AND id = $2 AND client = $3)", tx.tenant, id, client
    )


async def secrets(tx: Transaction, sealer: Sealer, id: UUID) -> list[str]:
    """The secrets that sign now, newest first. Raises EndpointUnknown."""
    row = await tx.connection.fetchrow(
        "SELECT secret, older_secret, older_until FROM endpoint WHERE tenant = $1 AND id = $2", tx.tenant, id
    )
    if row is None:
        raise EndpointUnknown
    sealed = [row["secret"]]
    if row["older_until"] and row["older_until"] > datetime.now(UTC):
        sealed.append(row["older_secret"])
    key = await sealer.key(tx.connection, tx.tenant, id)
    return [key.open("endpoint", "secret", each).decode() for each in sealed]


async def to_send(tx: Transaction, id: UUID) -> dict[str, Any]:
    """What a try needs: endpoint, url, event and body of a delivery."""
    row = await tx.connection.fetchrow(
        "SELECT e.id AS endpoint, e.url, d.body FROM delivery d JOIN endpoint e ON (e.tenant, e.id) = (d.tenant, d.endpoint) "
        "WHERE d.tenant = $1 AND d.id = $2",
        tx.tenant,
        id,
    )
    return dict(row)
