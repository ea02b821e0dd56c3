"""Everything that changes what the registry holds: a book is signed and put in force."""

from joserfc import jws
from joserfc.jwk import OKPKey

from chassis import clock
from chassis.db import Database
from services.registry.books import BookRefused
from services.registry.contract import HOUSE, PolicyBook, PolicyInForce
from services.registry.contract.signed import ALGORITHM, POLICY, canonical_book, stored_payload
from services.registry.rules.book import begins, digest

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('policy_version', 0))"
_SAID = "SELECT jws FROM policy_version WHERE version = $1"
_STORE = "INSERT INTO policy_version (version, valid_from, known_from, jws) VALUES ($1, $2, $3, $4)"


async def put_in_force(database: Database, book: PolicyBook, key: OKPKey) -> bool:
    """Signs a book of a new version and records it with its event; False when exactly this book is recorded already.

    Raises BookRefused for a known version with another content: what was signed is never said differently.
    """
    body = canonical_book(book)
    async with database.transaction(HOUSE) as tx:
        await tx.connection.execute(_LOCK)
        said = await tx.connection.fetchval(_SAID, book.version)
        if said is not None:
            if stored_payload(said) != body:
                raise BookRefused(
                    f"version {book.version} was put in force with another content; a change needs a new one"
                )
            return False
        valid_from = begins(book)
        signed = signature(body, key, POLICY)
        await tx.connection.execute(_STORE, book.version, valid_from, clock.now(), signed)
        fact = PolicyInForce(version=book.version, valid_from=valid_from, sha256=digest(body))
        await tx.emit("policy.in_force", fact.model_dump(mode="json"))
        return True


def signature(body: bytes, key: OKPKey, typ: str) -> str:
    """Compact JWS; Ed25519 has no randomness, so the same bytes always give the same signature."""
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": typ}
    return jws.serialize_compact(header, body, key, algorithms=[ALGORITHM])
