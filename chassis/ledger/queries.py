"""Reads of the ledger, all on a connection of the system role.

`tenant` limits what is shown, None shows every tenant's. `shared` are types of the house's own events (of the nil tenant) that
every tenant may see, such as which policy book is in force: what concerns everybody must be checkable by everybody.
"""

from base64 import b64encode
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg

from chassis.ledger import checkpoint, merkle
from chassis.ledger.contract import Consistency, Entry, Inclusion, NotInLedger, PositionUnknown
from chassis.ledger.tree import range_roots

# How far one call looks for events of rare types, so that no call reads a whole ledger.
SCANNED_AT_ONCE = 20_000

NOBODY = UUID(int=0)
# $2 is the tenant that asks, $3 the shared types.
_VISIBLE = f"($2::uuid IS NULL OR e.tenant = $2 OR (e.tenant = '{NOBODY}' AND e.type = ANY ($3::text[])))"
_HEAD = 'SELECT coalesce(max(position), 0) FROM "{service}".ledger_entry'
# One statement, since everybody who waits at a feed asks it whenever the ledger grew: events after $1 as far as `until`, or none.
_FEED = f"""
SELECT bounds.*, (SELECT leaf FROM "{{service}}".ledger_entry WHERE position = $1) AS here,
       (SELECT leaf FROM "{{service}}".ledger_entry WHERE position = until) AS there, found.*
FROM (SELECT newest, least(newest, $1::bigint + $4::bigint) AS until
      FROM (SELECT coalesce(max(position), 0) AS newest FROM "{{service}}".ledger_entry) head) bounds
LEFT JOIN LATERAL (
    SELECT l.position, l.leaf, e.body FROM "{{service}}".ledger_entry l JOIN "{{service}}".event e ON e.id = l.event_id
    WHERE l.position > $1 AND l.position <= until
      AND ($5::text[] IS NULL OR e.type = ANY ($5)) AND {_VISIBLE}
    ORDER BY l.position LIMIT $6
) found ON true ORDER BY found.position"""
_ENTRIES = f"""
SELECT l.*, CASE WHEN {_VISIBLE} THEN e.body END AS body
FROM (SELECT position, event_id, leaf FROM "{{service}}".ledger_entry WHERE position > $1 ORDER BY position LIMIT $4) l,
LATERAL (SELECT * FROM "{{service}}".event WHERE id = l.event_id OFFSET 0) e ORDER BY l.position"""
_ENTRY = f"""
SELECT l.position, l.leaf, e.body FROM "{{service}}".ledger_entry l JOIN "{{service}}".event e ON e.id = l.event_id
WHERE l.event_id = $1 AND {_VISIBLE}"""
_LEAVES = 'SELECT position, leaf FROM "{service}".ledger_entry WHERE position = ANY ($1)'
_NOTE = 'SELECT note FROM "{service}".ledger_checkpoint ORDER BY size DESC LIMIT 1'


async def head(connection: asyncpg.Connection, service: str) -> int:
    """The position of the newest entry; 0 in an empty ledger."""
    return await connection.fetchval(_HEAD.format(service=service))


async def leaves(connection: asyncpg.Connection, service: str, *positions: int) -> list[bytes | None]:
    """The leaf hash at each position; None where there is no entry. A leaf is that of one event only, and so names a history."""
    found = dict(await connection.fetch(_LEAVES.format(service=service), positions))
    return [found.get(position) for position in positions]


class Page(NamedTuple):
    """Of a feed: (position, leaf, canonical body) of each event; the position to go on from, and the leaf there; whether nothing more
    was in the ledger."""

    events: list[tuple[int, bytes, bytes]]
    next: int
    leaf: bytes | None
    complete: bool

    def items(self) -> bytes:
        """The bodies are canonical JSON already: they are copied, not read and written again."""
        return b",".join(
            b'{"position":%d,"leaf":"%b",%b' % (position, leaf.hex().encode(), body[1:])
            for position, leaf, body in self.events
        )


async def feed(
    connection: asyncpg.Connection,
    service: str,
    *,
    after: int,
    leaf: bytes | None = None,
    limit: int,
    types: Sequence[str] | None = None,
    tenant: UUID | None = None,
    shared: Sequence[str] = (),
) -> Page:
    """The events after a position. leaf: of the entry there, as whoever asks has read it. Raises PositionUnknown."""
    wanted = after, tenant, shared, SCANNED_AT_ONCE, types, limit
    rows = await connection.fetch(_FEED.format(service=service), *wanted)
    newest, until, here, there = rows[0][:4]
    if after > newest or (leaf is not None and leaf != here):
        raise PositionUnknown
    events = [row[4:] for row in rows if row["position"] is not None]
    if len(events) == limit:
        until, there = events[-1][:2]
    return Page(events, until, there, until >= newest)


async def entries(
    connection: asyncpg.Connection,
    service: str,
    *,
    after: int,
    limit: int,
    tenant: UUID | None = None,
    shared: Sequence[str] = (),
) -> list[Entry]:
    rows = await connection.fetch(_ENTRIES.format(service=service), after, tenant, shared, limit)
    return [
        Entry(position=position, event_id=UUID(int=id.int), leaf=_text(leaf), body=body and body.decode())
        for position, id, leaf, body in rows
    ]


async def latest_checkpoint(connection: asyncpg.Connection, service: str) -> str:
    """The newest signed head. Raises NotInLedger before the sequencer's first pass."""
    note = await connection.fetchval(_NOTE.format(service=service))
    if note is None:
        raise NotInLedger("Nothing has been signed yet.")
    return note


async def inclusion(
    connection: asyncpg.Connection,
    service: str,
    event_id: UUID,
    tenant: UUID | None = None,
    shared: Sequence[str] = (),
) -> Inclusion:
    """The proof against the newest signed head. Raises NotInLedger for an event unknown, not sequenced yet, or not `tenant`'s."""
    row = await connection.fetchrow(_ENTRY.format(service=service), event_id, tenant, shared)
    if row is None:
        raise NotInLedger
    note = await latest_checkpoint(connection, service)
    ranges = merkle.inclusion_ranges(row["position"] - 1, checkpoint.parse(note).size)
    path = await range_roots(connection, service, ranges)
    return Inclusion(
        position=row["position"],
        event_id=event_id,
        leaf=_text(row["leaf"]),
        path=[_text(hash) for hash in path],
        checkpoint=note,
        body=row["body"].decode(),
    )


async def consistency(connection: asyncpg.Connection, service: str, old: int, new: int) -> Consistency:
    """Raises NotInLedger unless 0 < old ≤ new ≤ the ledger's size."""
    if not 0 < old <= new <= await head(connection, service):
        raise NotInLedger("The ledger never had these two sizes, the first before the second.")
    path = await range_roots(connection, service, merkle.consistency_ranges(old, new))
    return Consistency(old=old, new=new, path=[_text(hash) for hash in path])


def _text(hash: bytes) -> str:
    return b64encode(hash).decode()
