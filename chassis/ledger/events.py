"""Writing facts: one INSERT in the transaction that makes them true, or no fact at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple, Self
from uuid import UUID

import orjson

from chassis.ids import new_id
from chassis.ledger.canonical import canonical, part


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


class Composed(NamedTuple):
    """A fact that is ready to be written: its row of the table `event`, but for what the database adds."""

    id: UUID
    type: str
    tenant: UUID
    subject: UUID | None
    time: datetime
    body: bytes


def compose(
    *,
    source: str,
    type: str,
    tenant: UUID,
    subject: UUID | None,
    data: dict[str, Any],
    time: datetime,
    traceparent: str | None,
) -> Composed:
    """`source` ends in the service's name. Raises ValueError or TypeError when `data` is not exact JSON."""
    id = new_id()
    said = {
        "specversion": "1.0",
        "id": str(id),
        "type": type,
        "source": source,
        "time": _instant(time),
        "tenant": str(tenant),
        "dataschema": f"urn:wardline:event:{type}/v1",
        "data": part(data),
    }
    if subject is not None:
        said["subject"] = str(subject)
    if traceparent is not None:
        said["traceparent"] = traceparent
    return Composed(id, type, tenant, subject, time, canonical(said))


def inserting(service: str, composed: Sequence[Composed]) -> tuple[str, str]:
    """The statement that appends some events in their order, and its argument."""
    rows = [each._asdict() | {"body": each.body.decode()} for each in composed]
    return _insert(service), orjson.dumps(rows, default=str).decode()  # the driver's own UUIDs are of another class


def _instant(time: datetime) -> str:
    """RFC 3339 in UTC with six decimals, the precision PostgreSQL keeps."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


# As JSON: of arrays the driver looks at each of their values, whether it is an array itself.
@cache
def _insert(schema: str) -> str:
    return (
        f'INSERT INTO "{schema}".event (id, type, tenant, subject, time, body) '
        "SELECT id, type, tenant, subject, time, convert_to(body, 'UTF8') FROM json_to_recordset($1::text::json) "
        "composed(id uuid, type text, tenant uuid, subject uuid, time timestamptz, body text)"
    )
