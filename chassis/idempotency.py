"""A write sent twice is done once: the reply is stored under (tenant, client, key) in the business transaction itself.

Two simultaneous sends meet at the primary key: the second waits for the first's commit, then answers with its reply.
"""

import hmac
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import orjson
import sqlalchemy as sa
from alembic.operations import Operations
from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from chassis import auth, schema
from chassis.db import Transaction, Tx
from chassis.errors import KeyMissing, KeyReused, Malformed

_CLAIM = """
INSERT INTO idempotency (tenant, client, key, body_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, client, key) DO NOTHING RETURNING true"""
_STORED = "SELECT body_hash, reply, status FROM idempotency WHERE tenant = $1 AND client = $2 AND key = $3"
_STORE = "UPDATE idempotency SET reply = $4, status = $5 WHERE tenant = $1 AND client = $2 AND key = $3"


class Idempotent:
    """`return await once(commands.give_consent, tx, caller, wish)`: does it, or answers what was answered before."""

    def __init__(self, tx: Transaction, client: str, key: str, body_hash: bytes, status: int) -> None:
        self.tx, self.row, self.body_hash, self.status = tx, (tx.tenant, client, key), body_hash, status

    async def __call__(self, command: Callable[..., Awaitable[BaseModel]], *args: Any) -> Response:
        """Raises KeyReused when the key came before with another body."""
        if not await self.tx.connection.fetchval(_CLAIM, *self.row, self.body_hash):
            return await self._reply_again()
        outcome = await command(*args)
        reply = orjson.dumps(outcome.model_dump(mode="json"))
        await self.tx.flush()
        await self.tx.connection.execute(_STORE, *self.row, reply, self.status)
        return Response(reply, self.status, media_type="application/json")

    async def _reply_again(self) -> Response:
        stored = await self.tx.connection.fetchrow(_STORED, *self.row)
        if stored["body_hash"] != self.body_hash:
            raise KeyReused
        headers = {"Idempotent-Replayed": "true"}
        return Response(stored["reply"], stored["status"], headers, media_type="application/json")


async def _once(request: Request, tx: Tx, caller: Annotated[auth.Caller, Depends(auth.current_caller)]) -> Idempotent:
    return await for_request(request, tx, caller)


async def for_request(request: Request, tx: Transaction, caller: auth.Caller) -> Idempotent:
    """In any open transaction: for a write that belongs to another tenant than the caller's own. Raises KeyMissing, Malformed."""
    key = request.headers.get("idempotency-key", "")
    if not key:
        raise KeyMissing
    if len(key) > 200 or not key.isprintable():
        raise Malformed("An Idempotency-Key is at most 200 printable characters.")
    said = f"{request.method} {request.url.path}\n{caller.subject}\n".encode() + await request.body()
    status = request.scope["route"].status_code or 200
    index_key = _index_key(request.app.state.settings.secrets_dir)
    return Idempotent(tx, caller.original_client, key, hmac.digest(index_key, said, "sha256"), status)


@cache
def _index_key(secrets: Path) -> bytes:
    """Keyed, since a body may hold a passphrase or a telephone number, which a bare hash would let anyone guess."""
    return (secrets / "index.key").read_bytes()


Once = Annotated[Idempotent, Depends(_once, scope="function")]


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
