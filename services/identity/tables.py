"""The issuer's rows, as they are read and written; who may touch which is in the migration."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

import asyncpg


@dataclass(frozen=True)
class Row:
    """A row read by name: a column too many is ignored, one too few is our mistake."""

    @classmethod
    def of(cls, record: asyncpg.Record) -> Self:
        return cls(**{name: record[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Account(Row):
    id: UUID
    tenant: UUID
    kind: str
    principal: UUID | None
    password: str | None

    @property
    def subject(self) -> UUID:
        """A customer *is* its principal in every token; of staff the account is all we know."""
        return self.principal or self.id


@dataclass(frozen=True)
class Session(Row):
    sid: UUID
    tenant: UUID
    account: UUID
    client: str
    auth_time: datetime
    acr: str
    revoked_at: datetime | None


@dataclass(frozen=True)
class Code(Row):
    hash: bytes
    tenant: UUID
    sid: UUID
    client: str
    redirect_uri: str
    challenge: str
    scope: str | None
    nonce: str | None
    expires_at: datetime


ACCOUNT_BY_LOGIN = "SELECT * FROM account WHERE login = $1"
ACCOUNT_BY_EID = "SELECT * FROM account WHERE eid = $1"
ACCOUNT_BY_ID = "SELECT * FROM account WHERE id = $1"
SESSION_BY_SID = "SELECT * FROM session WHERE sid = $1"

# One statement, so that of two who come with the same code only one finds it unused.
USE_CODE = "UPDATE code SET used_at = $2 WHERE hash = $1 AND used_at IS NULL RETURNING *"
CODE_BY_HASH = "SELECT * FROM code WHERE hash = $1"
USE_PROOF = """
INSERT INTO used_jti (client, jti, expires_at) VALUES ($1, $2, $3) ON CONFLICT (client, jti) DO NOTHING RETURNING true"""

ONE_TRY_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('login ' || $1, 0))"
TRIES = "SELECT count(*) FROM login_try WHERE login = $1 AND place = $2 AND at > $3"
TRIED = "INSERT INTO login_try (login, place, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
FORGIVE = "DELETE FROM login_try WHERE login = $1 AND place = $2"

TIDY = (
    "DELETE FROM used_jti WHERE expires_at < $1",
    "DELETE FROM login_try WHERE at < $1",
    "DELETE FROM code WHERE expires_at < $1",
    # Who logged in when is personal data too. No token outlives its login by more than five minutes and the code's minute.
    "DELETE FROM session WHERE auth_time < $1 AND NOT EXISTS (SELECT FROM code WHERE code.sid = session.sid)",
)

NEW_ACCOUNT = """
INSERT INTO account (id, tenant, kind, principal, login, password, eid, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (login) DO NOTHING RETURNING true"""
# Nobody's identity is taken from one account to another by saying it again.
GIVE_EID = "UPDATE account SET eid = $2 WHERE id = $1 AND (eid IS NULL OR eid = $2) RETURNING true"
NEW_SESSION = "INSERT INTO session (sid, tenant, account, client, auth_time, acr) VALUES ($1, $2, $3, $4, $5, $6)"
NEW_CODE = """
INSERT INTO code (hash, tenant, sid, client, redirect_uri, challenge, scope, nonce, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
REVOKE = "UPDATE session SET revoked_at = $2, revoked_for = $3 WHERE sid = $1 AND revoked_at IS NULL RETURNING true"
