"""What the registry signs: compact JWS (Ed25519) over RFC 8785 canonical JSON, read by anyone with public keys only.

The header's `typ` says what was signed, so that a signature over one kind of thing is never accepted for another.
"""

from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from chassis.ledger.canonical import canonical

ALGORITHM = "Ed25519"
POLICY = "wardline-policy+jws"
BUNDLE = "wardline-bundle+jws"
TENANT_PERIODS = "wardline-tenant-periods+jws"
ENDING = "wardline-ending+jws"
PACK = "wardline-pack+jws"


class _Documents(jws.JWSRegistry):
    """joserfc's limits are for tokens; a book that lawyers add to is longer than any of those."""

    max_payload_length = 1 << 24


_SIGNED = _Documents(algorithms=[ALGORITHM])


class NotSigned(ValueError):
    """The text is no valid signature of the expected kind by any of the keys."""


class WrongKind(NotSigned):
    """One of the keys signed it, as something else."""


def opened(signed: str, keys: KeySet, typ: str) -> bytes:
    """The bytes that one of `keys` signed as a `typ`. Raises NotSigned."""
    try:
        found = jws.deserialize_compact(signed, keys, registry=_SIGNED)
    except (JoseError, ValueError, TypeError) as refused:
        raise NotSigned("it was changed, or none of these keys signed it") from refused
    if found.headers().get("typ") != typ:
        raise WrongKind(f"it was signed as something else than a {typ}")
    return found.payload


def canonical_book(book: Any) -> bytes:
    """The bytes of a policy book that are hashed and signed: its own rows, without any tenant's."""
    return canonical(book.model_dump(mode="json", exclude={"tenant_periods", "tenant_endings"}))


def stored_payload(signed: str) -> bytes:
    """The payload of a signature that was verified before it was stored."""
    return jws.extract_compact(signed.encode(), registry=_SIGNED).payload
