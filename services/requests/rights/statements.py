"""What two operators say to each other about a transfer: signed, and the key to it for the recipient's eyes alone.

A *handing* is the sender's word for each part and for the end; a *receipt* is the recipient's that all of it came and opens.
"""

import json
from base64 import b64decode, b64encode
from typing import Any

from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from chassis.ledger.canonical import canonical

HANDING, RECEIPT = "wardline-handing+jws", "wardline-receipt+jws"
SIGNATURE = "Ed25519"
KEY_AGREEMENT, CIPHER = "ECDH-ES+A256KW", "A256GCM"
_ALLOWED = [KEY_AGREEMENT, CIPHER]


class StatementDoubtful(ValueError):
    """Not signed by whom it should be, or not what it should be."""


def sign(key: OKPKey, type: str, said: dict[str, Any]) -> str:
    """Compact JWS over canonical JSON."""
    header = {"alg": SIGNATURE, "kid": key.kid, "typ": type}
    return jws.serialize_compact(header, canonical(said), key, algorithms=[SIGNATURE])


def read(signed: str, type: str, key: dict[str, Any]) -> dict[str, Any]:
    """What the holder of `key`, a public JWK, said. Raises StatementDoubtful."""
    try:
        found = jws.deserialize_compact(signed, OKPKey.import_key(key), algorithms=[SIGNATURE])
        said = json.loads(found.payload)
    except (JoseError, ValueError, TypeError, RecursionError) as refused:
        raise StatementDoubtful("the signature does not verify") from refused
    if found.headers().get("typ") != type or not isinstance(said, dict):
        raise StatementDoubtful("this is another kind of statement")
    return said


def seal_key(key: bytes, recipient: dict[str, Any]) -> str:
    """The transfer's key as JWE (ECDH-ES+A256KW, A256GCM) for the recipient's public JWK."""
    public = ECKey.import_key(recipient)
    return jwe.encrypt_compact({"alg": KEY_AGREEMENT, "enc": CIPHER}, b64encode(key), public, algorithms=_ALLOWED)


def open_key(sealed: str, own: ECKey) -> bytes:
    """Raises StatementDoubtful."""
    try:
        return b64decode(jwe.decrypt_compact(sealed, own, algorithms=_ALLOWED).plaintext or b"", validate=True)
    except (JoseError, ValueError, TypeError) as refused:
        raise StatementDoubtful("the key is not for us") from refused
