"""A write sent twice is done once: the reply is stored under (tenant, client, key) in the business transaction itself.

Two simultaneous sends meet at the primary key: the second waits for the first's commit, then answers with its reply.
A reply is kept for two days, long after any caller has given up repeating itself; a person's erasure outlives it.
"""

import hmac
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import sqlalchemy as sa
from alembic.operations import Operations
from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from chassis import auth, schema
from chassis.db import Database, Transaction, Tx
from chassis.errors import KeyMissing, KeyReused, Malformed
from chassis.settings import Settings

KEPT = timedelta(days=2)
SWEEP_EVERY = 3600.0
_AT_ONCE = 5000

_CLAIM = """
INSERT INTO idempotency (tenant, client, key, body_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, client, key) DO NOTHING RETURNING true"""
_STORED = "SELECT body_hash, reply, status FROM idempotency WHERE tenant = $1 AND client = $2 AND key = $3"
_FORGET = """
DELETE FROM idempotency WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency WHERE made_at < now() - $1::interval LIMIT $2))"""
_STORE = "UPDATE idempotency SET reply = $4, status = $5 WHERE tenant = $1 AND client = $2 AND key = $3"


class Reply(NamedTuple):
    """again: whether it was given before."""

    status: int
    body: bytes
    again: bool = False

    def response(self) -> Response:
        return Response(self.body, self.status, dict(AGAIN) if self.again else None, media_type="application/json")


AGAIN = (("idempotent-replayed", "true"),)


class Write(NamedTuple):
    """A write as its caller sent it: under which key, what it said (as a keyed hash), and the status of its first answer."""

    client: str
    key: str
    body_hash: bytes
    status: int

    @property
    def name(self) -> tuple[str, str]:
        return self.client, self.key

    def reply_again(self, body_hash: bytes, body: bytes, status: int) -> Reply:
        """What was answered before. Raises KeyReused when the key came before with another body."""
        if body_hash != self.body_hash:
            raise KeyReused
        return Reply(status, body, again=True)


class Idempotent:
    """`return await once(commands.give_consent, tx, caller, wish)`: does it, or answers what was answered before."""

    def __init__(self, tx: Transaction, sent: Write) -> None:
        self.tx, self.sent, self.row = tx, sent, (tx.tenant, sent.client, sent.key)

    async def __call__(self, command: Callable[..., Awaitable[BaseModel]], *args: Any) -> Response:
        """Raises KeyReused when the key came before with another body."""
        if not await self.tx.connection.fetchval(_CLAIM, *self.row, self.sent.body_hash):
            return self.sent.reply_again(*await self.tx.connection.fetchrow(_STORED, *self.row)).response()
        outcome = await command(*args)
        reply = outcome.model_dump_json().encode()
        await self.tx.flush()
        await self.tx.connection.execute(_STORE, *self.row, reply, self.sent.status)
        return Reply(self.sent.status, reply).response()


async def _read(request: Request, caller: Annotated[auth.Caller, Depends(auth.current_caller)]) -> Write:
    status = request.scope["route"].status_code or 200
    key, body = request.headers.get("idempotency-key", ""), await request.body()
    return write(request.app.state.settings, caller, key, f"{request.method} {request.url.path}", body, status)


def write(settings: Settings, caller: auth.Caller, key: str, path: str, body: bytes, status: int) -> Write:
    """path: method and path, as the key holds for one kind of write only. Raises KeyMissing or Malformed."""
    if not key:
        raise KeyMissing
    if len(key) > 200 or not key.isprintable():
        raise Malformed("An Idempotency-Key is at most 200 printable characters.")
    said = f"{path}\n{caller.subject}\n".encode() + body
    return Write(caller.original_client, key, hmac.digest(_index_key(settings.secrets_dir), said, "sha256"), status)


Sent = Annotated[Write, Depends(_read)]


async def _once(tx: Tx, sent: Sent) -> Idempotent:
    return Idempotent(tx, sent)


@cache
def _index_key(secrets: Path) -> bytes:
    """Keyed, since a body may hold a passphrase or a telephone number, which a bare hash would let anyone guess."""
    return (secrets / "index.key").read_bytes()


Once = Annotated[Idempotent, Depends(_once, scope="function")]


async def sweep(database: Database) -> None:
    """Forgets old replies, some at a time: who deletes a busy day's in one statement holds up everybody's writes."""
    async with database.system() as connection:
        if await connection.fetchval("SELECT to_regclass('idempotency')") is None:
            return
    while True:
        async with database.system() as connection:
            gone = await connection.execute(_FORGET, KEPT, _AT_ONCE)
        if gone != f"DELETE {_AT_ONCE}":
            return


def create(op: Operations) -> None:
    """The table of a service's migration; `made_at` lets old replies be swept away."""
    op.create_table(
        "idempotency",
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("client", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("body_hash", sa.LargeBinary, nullable=False),
        sa.Column("reply", sa.LargeBinary),
        sa.Column("status", sa.Integer),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    schema.tenant_table(op, "idempotency")
    schema.system_may(op, "idempotency", "SELECT, DELETE")
