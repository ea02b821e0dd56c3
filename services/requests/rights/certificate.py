"""What the operator did, signed and tied to the ledger: anybody can check both offline with public keys only."""

import hashlib
import json
from collections.abc import Sequence

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from chassis.ledger import checkpoint
from chassis.ledger.canonical import canonical
from chassis.ledger.verify import verify_receipt
from services.requests.rights.contract import Certificate

TYPE = "wardline-certificate+jws"
ALGORITHM = "Ed25519"


class CertificateDoubtful(ValueError):
    """The certificate is not what the operator signed and recorded; the text says which part."""


def sign(key: OKPKey, said: dict) -> str:
    """Compact JWS over the canonical JSON of what is certified."""
    return jws.serialize_compact(
        {"alg": ALGORITHM, "kid": key.kid, "typ": TYPE}, canonical(said), key, algorithms=[ALGORITHM]
    )


def digest(signed: str) -> str:
    return hashlib.sha256(signed.encode()).hexdigest()


def verify(certificate: Certificate, jwks: dict) -> dict:
    """What is certified, when signature and ledger proof hold by the keys of rights' `/keys`. Raises
    CertificateDoubtful."""
    said = _signed(certificate.jws, KeySet.import_key_set(jwks))
    # The proof first: only then is the event's body what the ledger holds, and can be read.
    faults: Sequence[object] = verify_receipt(certificate.inclusion, checkpoint.public_keys(jwks)).faults
    if faults:
        raise CertificateDoubtful(f"the ledger's proof does not hold: {faults[0]}")
    event = json.loads(certificate.inclusion.body)
    if event["type"] != "request.answered" or event["data"]["request"] != said["request"]:
        raise CertificateDoubtful("the ledger's event is about another request")
    if event["data"]["certificate_sha256"] != digest(certificate.jws):
        raise CertificateDoubtful("the ledger's event is about another certificate")
    return said


def _signed(signed: str, keys: KeySet) -> dict:
    try:
        found = jws.deserialize_compact(signed, keys, algorithms=[ALGORITHM])
    except (JoseError, ValueError, TypeError) as refused:
        raise CertificateDoubtful("the signature does not verify") from refused
    if found.headers().get("typ") != TYPE:
        raise CertificateDoubtful("this is no certificate of an answered request")
    return json.loads(found.payload)
