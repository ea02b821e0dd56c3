"""Receipts: what a person said, signed, and proven to stand in the ledger; checked offline with public keys only.

A receipt is a compact JWS (Ed25519) over canonical JSON. It promises that the record stands in the ledger within
`max_merge_delay_ms`, for positions exist only after the commit; `GET /v1/receipts/{record}` brings the proof.
"""

from base64 import urlsafe_b64encode
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from chassis.ledger import checkpoint
from chassis.ledger.canonical import Part, canonical, part
from chassis.ledger.verify import verify_receipt
from services.consent.contract import Receipt

ALGORITHM = "Ed25519"
TYPE = "wardline-receipt+jws"
SCHEMA_VERSION = "ISO/IEC TS 27560:2023 wardline/1"


class BadReceipt(ValueError):
    """Why the receipt proves nothing."""


def fingerprint(record: Any) -> str:
    """What the ledger's event says of a record: the SHA-256 of its canonical JSON, hex."""
    return sha256(canonical(record)).hexdigest()


def sign(
    record: bytes,
    own: dict[str, Any],
    key: OKPKey,
    *,
    publisher: str,
    created: datetime,
    merge_delay_ms: int,
    supersedes: UUID | None,
) -> str:
    """The receipt of one record: the same each time it is signed with one key.

    record: its canonical JSON · own: what of it is said by it alone · supersedes: the record that counted on this matter until this
    one did.
    """
    receipt = {
        "receipt_id": own["record_id"],
        "schema_version": SCHEMA_VERSION,
        "created": created.isoformat(),
        "publisher": publisher,
        "recipient": own["principal_id"],
        "record": Part(record),
        "supersedes": None if supersedes is None else str(supersedes),
        "ledger": _promise(merge_delay_ms),
    }
    return _compact(canonical(receipt), key)


def _compact(payload: bytes, key: OKPKey) -> str:
    """RFC 7515's compact form, written here since every consent waits for it and the library takes as long again as the signature."""
    signed = _header(key.kid) + b"." + _base64url(payload)
    return (signed + b"." + _base64url(key.private_key.sign(signed))).decode()


@cache
def _promise(merge_delay_ms: int) -> Part:
    return part({"origin": checkpoint.origin_of("consent"), "max_merge_delay_ms": merge_delay_ms})


@cache
def _header(kid: str) -> bytes:
    return _base64url(canonical({"alg": ALGORITHM, "kid": kid, "typ": TYPE}))


def _base64url(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def opened(receipt: str, jwks: dict[str, Any]) -> dict[str, Any]:
    """What a receipt says, once its signature is checked. Raises BadReceipt."""
    try:
        found = jws.deserialize_compact(receipt, KeySet.import_key_set(jwks), algorithms=[ALGORITHM])
    except (JoseError, ValueError, TypeError) as refused:
        raise BadReceipt("the signature does not verify") from refused
    if found.headers().get("typ") != TYPE:
        raise BadReceipt("this is not a receipt")
    return orjson.loads(found.payload)


def verify(receipt: Receipt, jwks: dict[str, Any]) -> dict[str, Any]:
    """The record that a receipt with its proof proves. `jwks`: of `GET /keys`. Raises BadReceipt."""
    record = opened(receipt.receipt, jwks)["record"]
    report = verify_receipt(receipt.proof, checkpoint.public_keys(jwks))
    if not report.holds:
        raise BadReceipt("; ".join(str(fault) for fault in report.faults))
    entered = orjson.loads(receipt.proof.body)["data"]
    if entered.get("record") != record["record_id"] or entered.get("sha256") != fingerprint(record):
        raise BadReceipt("the ledger's entry is about another record")
    return record
