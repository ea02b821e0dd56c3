"""Everything the issuer changes: proofs and codes are used up, sessions begin and end, accounts are made.

What must stay used even when the rest of the request is refused (a proof's `jti`, a code) is used up in a transaction of its
own, committed before anything else is looked at. Tokens, codes and tries go by the wall clock, never by business time.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry

from chassis import clock
from chassis.db import Database, Transaction
from chassis.errors import NotFound, TooMany
from chassis.ids import new_id
from services.identity import contract, passwords, queries, rules, tables
from services.identity.contract import CreateAccount, InvalidClient, InvalidGrant, NameTaken
from services.identity.rules import Client, Table
from services.identity.tables import Account, Code, Session

# RS256 is not among them: FAPI 2.0 allows these three.
_PROOFS = ["ES256", "Ed25519", "PS256"]


@dataclass(frozen=True)
class Wish:
    """An authorization request whose every field has been checked."""

    client: str
    redirect_uri: str
    challenge: str
    scope: str | None
    state: str | None
    nonce: str | None
    acr_values: str | None = None


async def authenticate_client(database: Database, table: Table, issuer: str, form: Mapping[str, str]) -> Client:
    """The client of a token request; the proof it brought is spent. Shared secrets are not known here at all."""
    assertion = form.get("client_assertion")
    if assertion is None:
        client = table.client(form.get("client_id", ""))
        if client.proof != "none":
            raise InvalidClient
        return client
    client = table.client(_claimed_client(assertion))
    if client.jwk is None or form.get("client_id", client.id) != client.id:
        raise InvalidClient
    jti, until = rules.check_assertion(_verified(assertion, client.jwk), client.id, issuer, _now().timestamp())
    remembered = datetime.fromtimestamp(until, UTC) + timedelta(seconds=rules.AHEAD_SECONDS)
    async with database.system() as connection:
        fresh = await connection.fetchval(tables.USE_PROOF, client.id, jti, remembered)
    if not fresh:
        raise InvalidClient("the assertion was used before")
    return client


def _claimed_client(assertion: str) -> str:
    """Whose key to try; nothing else is believed before the signature is checked."""
    try:
        said = orjson.loads(jws.extract_compact(assertion.encode()).payload)
    except (JoseError, ValueError):
        raise InvalidClient from None
    claimed = said.get("sub") if isinstance(said, dict) else None
    if not isinstance(claimed, str):
        raise InvalidClient
    return claimed


def _verified(assertion: str, jwk: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return jwt.decode(assertion, JWKRegistry.import_key(dict(jwk)), algorithms=_PROOFS).claims
    except (JoseError, ValueError, TypeError, AttributeError):
        raise InvalidClient from None


async def log_in(database: Database, login: bytes, password: str, place: bytes) -> Account | None:
    """The account behind a name and password; None for a wrong pair.

    Raises TooMany after five wrong tries in five minutes from one place: a browser that logged in with this name before, else
    an address. So who tries somebody else's name closes her own way to it, and nobody else's.
    """
    account = await queries.account_by_login(database, login)
    await _count_try(database, login, place)
    if not await passwords.matches(account.password if account else None, password):
        return None
    async with database.system() as connection:
        await connection.execute(tables.FORGIVE, login, place)
    return account


async def _count_try(database: Database, login: bytes, place: bytes) -> None:
    """Counted before the password is looked at and under a lock, or many guesses at once would count as one."""
    now = _now()
    async with database.system() as connection:
        await connection.execute(tables.ONE_TRY_AT_A_TIME, (login + place).hex())
        if await connection.fetchval(tables.TRIES, login, place, now - queries.LOGIN_PAUSE) >= queries.LOGIN_TRIES:
            raise TooMany("Too many wrong passwords; wait five minutes.")
        await connection.execute(tables.TRIED, login, place, now)


async def begin_session(database: Database, account: Account, wish: Wish, acr: str = rules.PASSWORD) -> str:
    """A new session and the code its tokens are fetched with, once and within a minute."""
    sid, code, now = new_id(), secrets.token_urlsafe(32), _now()
    expires = now + timedelta(seconds=rules.CODE_SECONDS)
    async with database.transaction(account.tenant) as tx:
        await tx.connection.execute(tables.NEW_SESSION, sid, account.tenant, account.id, wish.client, now, acr)
        await tx.connection.execute(
            tables.NEW_CODE,
            queries.code_hash(code),
            account.tenant,
            sid,
            wish.client,
            wish.redirect_uri,
            wish.challenge,
            wish.scope,
            wish.nonce,
            expires,
        )
    return code


async def redeem_code(
    database: Database, client: Client, code: str, redirect_uri: str | None, verifier: str | None
) -> tuple[Code, Session, Account]:
    """Uses the code up whoever brings it and however the rest fails; a second use ends the session that the first began."""
    hashed, now = queries.code_hash(code), _now()
    async with database.system() as connection:
        fresh = await connection.fetchrow(tables.USE_CODE, hashed, now)
        known = fresh or await connection.fetchrow(tables.CODE_BY_HASH, hashed)
    if known is None:
        raise InvalidGrant
    found = Code.of(known)
    session, account = await queries.open_session(database, found.sid)
    if fresh is None:
        await end_session(database, session, "code_used_twice")
        raise InvalidGrant
    if found.expires_at <= now or found.client != client.id or found.redirect_uri != redirect_uri:
        raise InvalidGrant
    rules.check_verifier(found.challenge, verifier)
    return found, session, account


async def end_session(database: Database, session: Session, reason: str) -> None:
    """Tokens of this session are exchanged no more, and the edges that remember some hear of it by the feed."""
    async with database.transaction(session.tenant) as tx:
        if await tx.connection.fetchval(tables.REVOKE, session.sid, _now(), reason):
            await tx.emit(contract.SESSION_REVOKED, {"sid": str(session.sid), "reason": reason})


async def create_account(tx: Transaction, login: bytes, eid: bytes | None, wish: CreateAccount) -> contract.Account:
    """Raises NameTaken; a second account for the same principal or electronic identity is a conflict of the table's own."""
    id, password = new_id(), await passwords.hashed(wish.password) if wish.password else None
    made = await tx.connection.fetchval(
        tables.NEW_ACCOUNT, id, tx.tenant, wish.kind, wish.principal, login, password, eid, clock.now()
    )
    if not made:
        raise NameTaken
    await tx.emit(contract.ACCOUNT_CREATED, {"account": str(id), "kind": wish.kind}, wish.principal)
    return contract.Account(id=id, subject=wish.principal or id, kind=wish.kind)


async def give_eid(tx: Transaction, account: UUID, person: bytes) -> contract.Account:
    """Raises NotFound, and OtherEid for an account that has one; an identity of somebody else's is a conflict of the table's own."""
    row = await tx.connection.fetchrow(tables.ACCOUNT_BY_ID, account)
    if row is None:
        raise NotFound
    if not await tx.connection.fetchval(tables.GIVE_EID, account, person):
        raise contract.OtherEid
    found = Account.of(row)
    return contract.Account(id=found.id, subject=found.subject, kind=found.kind)


async def tidy(database: Database) -> None:
    """Forgets proofs, codes, tries and sessions that could not be used any more anyway."""
    long_ago = _now() - timedelta(hours=1)
    async with database.system() as connection:
        for statement in tables.TIDY:
            await connection.execute(statement, long_ago)


def _now() -> datetime:
    return datetime.now(UTC)
