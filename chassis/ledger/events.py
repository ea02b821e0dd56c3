"""Writing a fact: one INSERT on the connection of the transaction that makes it true, or no fact at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self
from uuid import UUID

import asyncpg
import orjson

from chassis.ids import new_id
from chassis.ledger.canonical import canonical


@dataclass(frozen=True, slots=True)
class Event:
    """One fact as a CloudEvent. `seq` orders what one service wrote; on a feed it is the position in the ledger.

    source: "/wardline/<service>" · tenant: whose it is · subject: the principal it concerns · data: ids and sealed values only.
    """

    id: UUID
    seq: int
    type: str
    source: str
    time: datetime
    tenant: UUID
    subject: UUID | None
    dataschema: str
    traceparent: str | None
    data: dict[str, Any]

    @classmethod
    def read(cls, body: bytes | dict[str, Any], seq: int) -> Self:
        """The event that canonical bytes, or an item of a feed, describe; attributes we don't know are ignored."""
        said = orjson.loads(body) if isinstance(body, bytes) else body
        return cls(
            id=UUID(said["id"]),
            seq=seq,
            type=said["type"],
            source=said["source"],
            time=datetime.fromisoformat(said["time"]),
            tenant=UUID(said["tenant"]),
            subject=UUID(said["subject"]) if "subject" in said else None,
            dataschema=said["dataschema"],
            traceparent=said.get("traceparent"),
            data=said["data"],
        )


async def append(
    connection: asyncpg.Connection,
    *,
    source: str,
    type: str,
    tenant: UUID,
    subject: UUID | None,
    data: dict[str, Any],
    time: datetime,
    traceparent: str | None,
) -> Event:
    """Append one event in the caller's open transaction; `source` ends in the service's name, which is its schema's.

    Raises ValueError or TypeError when `data` is not exact JSON. Without an open transaction it refuses: the event would be
    committed by itself, whatever becomes of the deed it tells of.
    """
    _must_be_in_transaction(connection)
    id, dataschema = new_id(), f"urn:wardline:event:{type}/v1"
    said = _said(id, source, type, tenant, subject, data, time, traceparent)
    insert = _insert(source.rpartition("/")[2])
    seq = await connection.fetchval(insert + " RETURNING seq", id, type, tenant, subject, time, canonical(said))
    return Event(id, seq, type, source, time, tenant, subject, dataschema, traceparent, data)


async def append_many(
    connection: asyncpg.Connection,
    facts: Sequence[tuple[str, UUID | None, dict[str, Any]]],
    *,
    source: str,
    tenant: UUID,
    time: datetime,
    traceparent: str | None,
) -> None:
    """Append many events, each (type, subject, data), in their order and in two messages: for sweeps over thousands of rows."""
    _must_be_in_transaction(connection)
    rows = []
    for type, subject, data in facts:
        id = new_id()
        body = canonical(_said(id, source, type, tenant, subject, data, time, traceparent))
        rows.append((id, type, tenant, subject, time, body))
    await connection.executemany(_insert(source.rpartition("/")[2]), rows)


def _must_be_in_transaction(connection: asyncpg.Connection) -> None:
    if not connection.is_in_transaction():
        raise RuntimeError("an event is written in the transaction of its deed, and none is open")


def _said(
    id: UUID,
    source: str,
    type: str,
    tenant: UUID,
    subject: UUID | None,
    data: dict[str, Any],
    time: datetime,
    traceparent: str | None,
) -> dict[str, Any]:
    """The CloudEvent."""
    said = {
        "specversion": "1.0",
        "id": str(id),
        "type": type,
        "source": source,
        "time": _instant(time),
        "tenant": str(tenant),
        "dataschema": f"urn:wardline:event:{type}/v1",
        "data": data,
    }
    if subject is not None:
        said["subject"] = str(subject)
    if traceparent is not None:
        said["traceparent"] = traceparent
    return said


def _instant(time: datetime) -> str:
    """RFC 3339 in UTC with six decimals, the precision PostgreSQL keeps."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@cache
def _insert(schema: str) -> str:
    return f'INSERT INTO "{schema}".event (id, type, tenant, subject, time, body) VALUES ($1, $2, $3, $4, $5, $6)'
