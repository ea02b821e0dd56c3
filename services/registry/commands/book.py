"""A book is signed and put in force: the first one from the reviewed file, each later one by an approved proposal."""

from joserfc import jws
from joserfc.jwk import OKPKey

from chassis import clock
from chassis.db import Database, Transaction
from services.registry.contract import HOUSE, PolicyBook, PolicyInForce
from services.registry.contract.signed import ALGORITHM, POLICY, canonical_book
from services.registry.rules.book import begins, digest

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('policy_version', 0))"
_ANY = "SELECT EXISTS (SELECT FROM policy_version)"
_STORE = "INSERT INTO policy_version (version, valid_from, known_from, jws) VALUES ($1, $2, $3, $4)"


async def begin_with(database: Database, book: PolicyBook, key: OKPKey) -> bool:
    """The very first version, put in force by operations; False when there is one already, whatever the file says."""
    async with database.transaction(HOUSE) as tx:
        await tx.connection.execute(LOCK)
        if await tx.connection.fetchval(_ANY):
            return False
        sha256 = digest(canonical_book(book))
        await put_in_force(tx, book, PolicyInForce(version=book.version, valid_from=begins(book), sha256=sha256), key)
        return True


async def put_in_force(tx: Transaction, book: PolicyBook, fact: PolicyInForce, key: OKPKey) -> None:
    """Signs and records the version with its event. The caller holds LOCK: versions are learned one after the other."""
    signed = signature(canonical_book(book), key, POLICY)
    await tx.connection.execute(_STORE, book.version, fact.valid_from, clock.now(), signed)
    await tx.emit("policy.in_force", fact.model_dump(mode="json"))


def signature(body: bytes, key: OKPKey, typ: str) -> str:
    """Compact JWS; Ed25519 has no randomness, so the same bytes always give the same signature."""
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": typ}
    return jws.serialize_compact(header, body, key, algorithms=[ALGORITHM])
