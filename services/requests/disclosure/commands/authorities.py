"""An authority is registered by one person and confirmed by another, who called it back; before, it orders nothing."""

from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet
from sqlmodel import select

from chassis import clock
from chassis.auth import Caller
from chassis.db import Transaction
from chassis.errors import Forbidden
from services.requests.disclosure import contract
from services.requests.disclosure.contract import (
    AuthorityExists,
    AuthorityUnknown,
    BadKey,
    FourEyes,
    RegisterAuthority,
    StateForbidden,
)
from services.requests.disclosure.custody import note
from services.requests.disclosure.queries import authority_told
from services.requests.disclosure.tables import Authority, AuthorityClient


async def register_authority(tx: Transaction, caller: Caller, wish: RegisterAuthority) -> contract.Authority:
    _staff(caller)
    _check_keys(wish)
    await tx.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('authorities', 0))")
    taken = select(AuthorityClient.client).where(AuthorityClient.client.in_(wish.clients))
    if await tx.session.get(Authority, (tx.tenant, wish.id)) or (await tx.session.execute(taken)).first():
        raise AuthorityExists
    row = Authority(tenant=tx.tenant, **wish.model_dump(), registered_by=caller.subject, registered_at=clock.now())
    tx.session.add(row)
    tx.session.add_all(AuthorityClient(tenant=tx.tenant, client=client, authority=wish.id) for client in wish.clients)
    await note(tx, "authority.registered", caller, authority=wish.id)
    return authority_told(row)


async def confirm_authority(tx: Transaction, caller: Caller, authority: str) -> contract.Authority:
    _staff(caller)
    found = select(Authority).where(Authority.id == authority).with_for_update()
    row = (await tx.session.execute(found)).scalar_one_or_none()
    if row is None:
        raise AuthorityUnknown
    if row.registered_by == caller.subject:
        raise FourEyes("Somebody else than who registered the authority must call it back and confirm it.")
    if row.confirmed_by is not None:
        raise StateForbidden("It is confirmed already.")
    row.confirmed_by, row.confirmed_at = caller.subject, clock.now()
    await note(tx, "authority.confirmed", caller, authority=authority)
    return authority_told(row)


def _staff(caller: Caller) -> None:
    if caller.kind != "staff":
        raise Forbidden("This is for a person of the operator's staff.")


def _check_keys(wish: RegisterAuthority) -> None:
    """Both public; and the encryption key can be named, for a package says whose key opens it."""
    try:
        encrypting = ECKey.import_key(wish.encryption_key)
        signing = KeySet.import_key_set(wish.jwks)
    except (JoseError, ValueError, TypeError, KeyError):
        raise BadKey from None
    if not encrypting.kid or encrypting.is_private or any(_is_private(key) for key in signing.keys):
        raise BadKey


def _is_private(key: Any) -> bool:
    return bool(key.is_private)
