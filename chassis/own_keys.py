"""Whether a process holds the keys that its database was written with. With others nothing there opens, nobody is found by a blind index,
and what is sealed and signed meanwhile the old ones never open: so nobody goes on with them.

What is there says it: a person's key of each epoch opens, and the last head of the ledger is signed by a key that is held, or was.
By `index.key` nothing opens, so its fingerprint is remembered by whoever comes first; of replicas that begin together all compare.
"""

import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from alembic.operations import Operations

from chassis.errors import Unavailable
from chassis.ledger import checkpoint
from chassis.ledger.checkpoint import BadCheckpoint
from chassis.schema import service_of
from chassis.sealing import SealBroken, Sealer, Shredded

_THERE = """
SELECT to_regclass('subject_key') IS NOT NULL AS sealed, to_regclass('ledger_checkpoint') IS NOT NULL AS signed,
       to_regclass('known_key') IS NOT NULL AS known"""
# From one epoch to the next by the index: people's keys are never all read.
_ONE_OF_EACH_EPOCH = """
WITH RECURSIVE each AS (
    SELECT max(epoch) AS epoch FROM subject_key
    UNION ALL SELECT (SELECT max(epoch) FROM subject_key k WHERE k.epoch < each.epoch) FROM each WHERE each.epoch IS NOT NULL
)
SELECT one.* FROM each, LATERAL (
    SELECT tenant, subject, epoch, wrapped FROM subject_key k WHERE k.epoch = each.epoch LIMIT 1
) one"""
_LAST_HEAD = "SELECT note FROM ledger_checkpoint ORDER BY size DESC LIMIT 1"
_REMEMBER = "INSERT INTO known_key (name, fingerprint) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
_KNOWN = "SELECT fingerprint FROM known_key WHERE name = $1"
_INDEX = "index.key"


class StrangeKeys(Unavailable):
    """Its text is for whoever runs the house, and names files; a caller is told only that nothing is to be had here."""

    def __init__(self, service: str, folder: Path, files: list[str]) -> None:
        super().__init__()
        self.args = (
            f"{folder} does not hold the keys that the database of {service} was written with: put back "
            f"{', '.join(files)} and the rest of that folder from a copy, for others read and prove nothing of what there is.",
        )


async def recognised(connection: asyncpg.Connection, service: str, secrets: Path) -> bool:
    """Whether the keys in `secrets` are known to be those of this schema, seen by its system role; False while there is none. Raises
    StrangeKeys."""
    there = await connection.fetchrow(_THERE)
    strange = [file async for file in _strange(connection, secrets, there)]
    if not strange and there["known"] and not await _is_remembered(connection, _INDEX, _fingerprint(secrets / _INDEX)):
        strange.append(_INDEX)
    if strange:
        raise StrangeKeys(service, secrets, strange)
    return there["known"]


async def _strange(connection: asyncpg.Connection, secrets: Path, there: asyncpg.Record) -> AsyncIterator[str]:
    for row in await connection.fetch(_ONE_OF_EACH_EPOCH) if there["sealed"] else ():
        if not _opens(secrets, row):
            yield f"epochs/{row['epoch']}.key"
    head = await connection.fetchval(_LAST_HEAD) if there["signed"] else None
    if head and not _is_signed(secrets, head):
        yield "ledger.jwk"


def _opens(secrets: Path, row: asyncpg.Record) -> bool:
    try:
        Sealer(secrets / "epochs", bytes(32)).unwrap(*row)
    except (ValueError, Shredded, SealBroken):
        return False
    return True


def _is_signed(secrets: Path, note: str) -> bool:
    held = [json.loads(path.read_bytes()) for path in (secrets / "ledger.jwk", *secrets.glob("retired/*.jwk"))]
    try:
        checkpoint.verify(note, checkpoint.public_keys({"keys": held}))
    except BadCheckpoint:
        return False
    return True


def _fingerprint(path: Path) -> bytes:
    return hmac.digest(path.read_bytes(), b"wardline known key", "sha256")


async def _is_remembered(connection: asyncpg.Connection, name: str, fingerprint: bytes) -> bool:
    await connection.execute(_REMEMBER, name, fingerprint)
    return await connection.fetchval(_KNOWN, name) == fingerprint


def create(op: Operations) -> None:
    """The table of a service's migration. What was remembered is never changed."""
    op.execute("CREATE TABLE known_key (name text PRIMARY KEY, fingerprint bytea NOT NULL)")
    op.execute(f'GRANT SELECT, INSERT ON known_key TO "{service_of(op)}_system"')
