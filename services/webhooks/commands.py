"""Everything that changes an endpoint or a delivery."""

import base64
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import orjson

from chassis import addresses
from chassis.addresses import NotPublic
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.ids import made_at, new_id
from chassis.ledger.events import Event
from chassis.sealing import Sealer
from services.registry import contract as registry
from services.webhooks import queries
from services.webhooks.contract import (
    EVENT_TYPES,
    PROVEN,
    PUBLIC_FACTS,
    SUBJECT_OF,
    SUBJECTS,
    URGENT,
    AddressRefused,
    Delivery,
    DeliveryMade,
    DeliveryUnknown,
    Endpoint,
    EndpointDisabled,
    EndpointUnknown,
    MayNotHear,
    RegisterEndpoint,
    Secrets,
    TooManyEndpoints,
    UnknownType,
)
from services.webhooks.rules import LARGEST_PAYLOAD, SECRET_PREFIX, Verdict, pause_before

DELIVER, DELIVER_NOW, SPREAD = "webhooks.deliver", "webhooks.deliver_now", "webhooks.spread"
OLDER_SECRET_FOR = timedelta(hours=24)
# A feed that is heard anew tells of years: an endpoint hears no more of what was before it than this.
BEFORE_IT = timedelta(hours=1)
# Of one client in one organisation: each event is sent to all of them.
MOST_ENDPOINTS = 20

_ENDPOINTS = "SELECT id, types, subjects FROM endpoint WHERE tenant = $1 AND state = 'active'"
_ACTIVE = "SELECT count(*) FROM endpoint WHERE tenant = $1 AND client = $2 AND state = 'active'"
_PUBLIC_FACT = "INSERT INTO public_fact (tenant, event, type, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
# When a try is due goes by the database's clock, as its job does: by a process's own, another one whose clock is behind would find
# nothing to do yet, and forget it.
_DELIVERY = """
INSERT INTO delivery (tenant, id, endpoint, event, type, body, state, tries, fence, next_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, 'pending', 0, 0, now(), $7) ON CONFLICT (tenant, endpoint, event) DO NOTHING"""


async def register_endpoint(
    tx: Transaction, sealer: Sealer, caller: Caller, wish: RegisterEndpoint, loopback: bool
) -> Endpoint:
    """Raises UnknownType, MayNotHear, AddressRefused or TooManyEndpoints. The secret is made here, and read by a call of its own, by the same client only."""
    if unknown := set(wish.types) - EVENT_TYPES:
        raise UnknownType(f"No event is called {', '.join(sorted(unknown))}.")
    may_hear = {subject for subject in SUBJECTS if f"hear.{subject}" in caller.scopes}
    missing = {SUBJECT_OF[type] for type in wish.types} - may_hear
    if missing or not may_hear:
        raise MayNotHear(f"Missing: {', '.join(f'hear.{each}' for each in sorted(missing or SUBJECTS))}.")
    try:
        addresses.check_shape(wish.url, loopback)
    except NotPublic:
        raise AddressRefused from None
    await tx.lock(f"endpoints {tx.tenant} {caller.original_client}")
    if await tx.connection.fetchval(_ACTIVE, tx.tenant, caller.original_client) >= MOST_ENDPOINTS:
        raise TooManyEndpoints
    id = new_id()
    await tx.connection.execute(
        "INSERT INTO endpoint (tenant, id, url, types, state, secret, created_at, client, subjects) "
        "VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, $8)",
        tx.tenant,
        id,
        wish.url,
        sorted(set(wish.types)),
        await _new_secret(tx, sealer, id),
        _now(),
        caller.original_client,
        sorted(may_hear),
    )
    await tx.emit("endpoint.registered", {"endpoint": str(id)})
    return await queries.endpoint(tx, id)


async def rotate_secret(tx: Transaction, sealer: Sealer, client: str, id: UUID) -> Endpoint:
    """A new secret signs from now on; the older one signs beside it until receivers had time to change. Raises EndpointUnknown."""
    changed = await tx.connection.execute(
        "UPDATE endpoint SET older_secret = secret, older_until = $3, secret = $4 "
        "WHERE tenant = $1 AND id = $2 AND client = $5",
        tx.tenant,
        id,
        _now() + OLDER_SECRET_FOR,
        await _new_secret(tx, sealer, id),
        client,
    )
    if changed == "UPDATE 0":
        raise EndpointUnknown
    await tx.emit("endpoint.secret_rotated", {"endpoint": str(id)})
    return await queries.endpoint(tx, id)


async def read_secrets(tx: Transaction, sealer: Sealer, client: str, id: UUID) -> Secrets:
    """For whoever registered the endpoint, and for no other client of its organisation. Reading a secret is an event too.
    Raises EndpointUnknown."""
    if not await queries.is_of(tx, client, id):
        raise EndpointUnknown
    found = await queries.secrets(tx, sealer, id)
    await tx.emit("endpoint.secret_read", {"endpoint": str(id)})
    return Secrets(secrets=found)


async def disable_endpoint(
    tx: Transaction, id: UUID, client: str | None = None, problem: str = "asked_for"
) -> Endpoint:
    """No more deliveries; those waiting become dead letters. client: whose it must be. Raises EndpointUnknown."""
    found = await queries.endpoint(tx, id, client)
    changed = await tx.connection.execute(
        "UPDATE endpoint SET state = 'disabled', problem = $3 WHERE tenant = $1 AND id = $2 AND state = 'active'",
        tx.tenant,
        id,
        problem,
    )
    if changed == "UPDATE 1":
        await tx.connection.execute(
            "UPDATE delivery SET state = 'dead', next_at = NULL, problem = 'endpoint_disabled' "
            "WHERE tenant = $1 AND endpoint = $2 AND state = 'pending'",
            tx.tenant,
            id,
        )
        await tx.emit("endpoint.disabled", {"endpoint": str(id)})
        found = await queries.endpoint(tx, id)
    return found


async def fan_out(tx: Transaction, *events: Event) -> None:
    """Events from a feed, all of one tenant: a delivery and a job for each endpoint that wants the type. A public fact of the house
    itself goes to every tenant's endpoints that name it: each in a transaction of its own, by a job."""
    endpoints = await tx.connection.fetch(_ENDPOINTS, tx.tenant)
    for event in events:
        if event.tenant == registry.HOUSE and event.type in PUBLIC_FACTS:
            await tx.connection.execute(_PUBLIC_FACT, tx.tenant, event.id, event.type, payload(event))
            await tx.enqueue(SPREAD, event.id)
        elif wanted_by := [row["id"] for row in endpoints if _hears(row, event.id, event.type)]:
            await _deliver(tx, event.id, event.type, payload(event), wanted_by)


async def deliver_named(tx: Transaction, event: UUID, type: str, body: bytes) -> None:
    """One delivery and one job for each of the tenant's endpoints that names the type."""
    endpoints = await tx.connection.fetch(_ENDPOINTS, tx.tenant)
    await _deliver(tx, event, type, body, [row["id"] for row in endpoints if row["types"] and _hears(row, event, type)])


def _hears(endpoint: asyncpg.Record, event: UUID, type: str) -> bool:
    return (
        SUBJECT_OF.get(type) in endpoint["subjects"]
        and (not endpoint["types"] or type in endpoint["types"])
        and made_at(event) >= made_at(endpoint["id"]) - BEFORE_IT
    )


async def _deliver(tx: Transaction, event: UUID, type: str, body: bytes, endpoints: list[UUID]) -> None:
    for endpoint in endpoints:
        id = new_id()
        made = await tx.connection.execute(_DELIVERY, tx.tenant, id, endpoint, event, type, body, _now())
        if made == "INSERT 0 1":
            await tx.enqueue(_job(type), id)


def _job(type: str) -> str:
    return DELIVER_NOW if type in URGENT else DELIVER


async def begin_try(tx: Transaction, id: UUID) -> int | None:
    """The fence of a try that may begin; None when nothing is due (a job that comes again after a kill finds it recorded)."""
    return await tx.connection.fetchval(
        "UPDATE delivery SET fence = fence + 1 "
        "WHERE tenant = $1 AND id = $2 AND state = 'pending' AND next_at <= now() + interval '1 second' RETURNING fence",
        tx.tenant,
        id,
    )


async def record_try(
    tx: Transaction, id: UUID, fence: int, verdict: Verdict, problem: str | None, retry_after: timedelta | None
) -> None:
    """What came of a try. A try that another one overtook (its fence moved on) records nothing."""
    row = await tx.connection.fetchrow(
        "SELECT endpoint, tries, type, event FROM delivery WHERE tenant = $1 AND id = $2 AND fence = $3 AND state = 'pending' FOR UPDATE",
        tx.tenant,
        id,
        fence,
    )
    if row is None:
        return
    tries = row["tries"] + 1
    if verdict is Verdict.delivered:
        await _settle(tx, id, "delivered", tries, None)
        if row["type"] in PROVEN:
            made = DeliveryMade(endpoint=row["endpoint"], delivery=id, event=row["event"])
            await tx.emit("delivery.made", made.model_dump(mode="json"))
        return
    if verdict is Verdict.gone:
        await _settle(tx, id, "dead", tries, problem)
        await disable_endpoint(tx, row["endpoint"], problem="gone")
        return
    pause = pause_before(tries, retry_after)
    if pause is None:
        await _settle(tx, id, "dead", tries, problem)
        await tx.emit("delivery.died", {"endpoint": str(row["endpoint"]), "delivery": str(id)})
        return
    await _settle(tx, id, "pending", tries, problem, due_in=pause)
    await tx.enqueue(_job(row["type"]), id, after=pause)


async def put_off(tx: Transaction, id: UUID, fence: int, pause: timedelta) -> None:
    """A try that was not made, since others of its endpoint have no answer yet: it does not count."""
    type = await tx.connection.fetchval(
        "UPDATE delivery SET next_at = now() + $4::interval WHERE tenant = $1 AND id = $2 AND fence = $3 AND state = 'pending' RETURNING type",
        tx.tenant,
        id,
        fence,
        pause,
    )
    if type is not None:
        await tx.enqueue(_job(type), id, after=pause)


async def replay_delivery(tx: Transaction, id: UUID, client: str | None) -> Delivery:
    """A dead letter, or one delivered before, is sent again from the first try. client: whose endpoint it must be of. Raises
    DeliveryUnknown, EndpointDisabled."""
    row = await tx.connection.fetchrow(
        "SELECT e.state FROM delivery d JOIN endpoint e ON (e.tenant, e.id) = (d.tenant, d.endpoint) "
        "WHERE d.tenant = $1 AND d.id = $2 AND ($3::text IS NULL OR e.client = $3) FOR UPDATE OF d",
        tx.tenant,
        id,
        client,
    )
    if row is None:
        raise DeliveryUnknown
    if row["state"] != "active":
        raise EndpointDisabled
    await _settle(tx, id, "pending", 0, None, due_in=timedelta(0))
    await tx.enqueue(DELIVER, id)
    return await queries.delivery(tx, id)


def payload(event: Event) -> bytes:
    """The CloudEvent without our ledger's position. Events hold ids only; one that is still too long goes without its data."""
    told = {
        "specversion": "1.0",
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "time": event.time,
        "tenant": event.tenant,
        **({"subject": event.subject} if event.subject else {}),
        "dataschema": event.dataschema,
        "data": event.data,
    }
    body = orjson.dumps(told)
    return body if len(body) <= LARGEST_PAYLOAD else orjson.dumps({**told, "data": {}})


def _now() -> datetime:
    """The machine's clock: tries and signatures are no business of the law's."""
    return datetime.now(UTC)


async def _settle(
    tx: Transaction, id: UUID, state: str, tries: int, problem: str | None, due_in: timedelta | None = None
) -> None:
    await tx.connection.execute(
        "UPDATE delivery SET state = $3, tries = $4, problem = $5, next_at = now() + $6::interval, "
        "delivered_at = CASE WHEN $3 = 'delivered' THEN $7::timestamptz END WHERE tenant = $1 AND id = $2",
        tx.tenant,
        id,
        state,
        tries,
        problem,
        due_in,
        _now(),
    )


async def _new_secret(tx: Transaction, sealer: Sealer, endpoint: UUID) -> bytes:
    secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    return await sealer.seal(tx.connection, tx.tenant, endpoint, "endpoint", "secret", secret.encode())
