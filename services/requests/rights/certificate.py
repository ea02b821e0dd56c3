"""What the operator did, signed and tied to the ledger: anybody can check both offline with public keys only.

`python -m services.requests.rights.certificate certificate.json --keys keys.json` does; the file is what
`GET /v1/requests/{id}/certificate` answered. Exit status: 0 it holds, 1 it proves nothing, 2 it could not be checked.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from pydantic import ValidationError

from chassis.ledger import checkpoint
from chassis.ledger.canonical import canonical
from chassis.ledger.verify import verify_receipt
from chassis.verifying import exit_status, public_keys, say
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
        raise CertificateDoubtful("it was changed, or none of these keys signed it") from refused
    if found.headers().get("typ") != TYPE:
        raise CertificateDoubtful("it was signed as something else than the certificate of an answer")
    return json.loads(found.payload)


def _check(path: Path, jwks: dict) -> bool:
    try:
        said = verify(Certificate.model_validate_json(path.read_bytes()), jwks)
    except ValidationError:
        say("DOES NOT HOLD  it is no certificate with its proof")
        return False
    except CertificateDoubtful as fault:
        say(f"DOES NOT HOLD  {fault}")
        return False
    say(f"holds: {said['controller']} answered request {said['request']} ({said['kind']}): {said['outcome']}")
    say(f"  on {said['answered_at']}, to the person whom it knows as {said['principal']}, and to nobody else")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m services.requests.rights.certificate", description="Checks the certificate of an answer."
    )
    parser.add_argument("certificate", type=Path)
    parser.add_argument("--keys", type=Path, required=True, help="rights' public keys (GET /keys/rights)")
    asked = parser.parse_args(arguments)
    return exit_status(lambda: _check(asked.certificate, public_keys(asked.keys)))


if __name__ == "__main__":
    sys.exit(main())
