"""Finding what belongs to somebody before it is known to whom: by the system role, whose policies name these tables."""

import hashlib
from datetime import timedelta
from uuid import UUID

from chassis.db import Database
from services.identity import tables
from services.identity.contract import InvalidGrant
from services.identity.tables import Account, Session

LOGIN_TRIES = 5
LOGIN_PAUSE = timedelta(minutes=5)


async def account_by_login(database: Database, login: bytes) -> Account | None:
    return await _account(database, tables.ACCOUNT_BY_LOGIN, login)


async def account_by_eid(database: Database, person: bytes) -> Account | None:
    return await _account(database, tables.ACCOUNT_BY_EID, person)


async def _account(database: Database, wanted: str, hashed: bytes) -> Account | None:
    async with database.system() as connection:
        found = await connection.fetchrow(wanted, hashed)
    return Account.of(found) if found else None


async def open_session(database: Database, sid: UUID) -> tuple[Session, Account]:
    """A session nobody has ended, and whose it is; raises InvalidGrant for one that was revoked."""
    async with database.system() as connection:
        session = await connection.fetchrow(tables.SESSION_BY_SID, sid)
        if session is None or session["revoked_at"] is not None:
            raise InvalidGrant
        account = await connection.fetchrow(tables.ACCOUNT_BY_ID, session["account"])
    return Session.of(session), Account.of(account)


def code_hash(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
