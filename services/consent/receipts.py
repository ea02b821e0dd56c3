"""Receipts: what a person said, signed, and proven to stand in the ledger; checked offline with public keys only.

A receipt is a compact JWS (Ed25519) over canonical JSON. It promises that the record stands in the ledger within
`max_merge_delay_ms`, for positions exist only after the commit; `GET /v1/receipts/{record}` brings the proof. What it says beside its
record, the promise and what the record supersedes, the record says too: the ledger's fingerprint of that proves all of it.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from chassis.ledger import checkpoint
from chassis.ledger.canonical import Part, canonical
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


# What a receipt says beside its record, and which member of the record says the same.
_AROUND = {
    "receipt_id": "record_id",
    "schema_version": "schema_version",
    "created": "recorded_at",
    "publisher": "publisher",
    "recipient": "principal_id",
    "supersedes": "supersedes",
    "ledger": "ledger",
}


def around(said: Mapping[str, Any]) -> dict[str, Any]:
    """What stands around a record that says this; a record of an earlier release says less, and so does its receipt."""
    return {name: said[of] for name, of in _AROUND.items() if of in said}


def sign(record: bytes, around: dict[str, Any], key: OKPKey) -> str:
    """The receipt of one record: the same each time it is signed with one key. record: its canonical JSON."""
    return _compact(canonical(around | {"record": Part(record)}), key)


def promise(merge_delay: timedelta) -> dict[str, Any]:
    """Into which ledger a record is entered, and how soon."""
    return {
        "origin": checkpoint.origin_of("consent"),
        "max_merge_delay_ms": merge_delay // timedelta(milliseconds=1),
    }


def _compact(payload: bytes, key: OKPKey) -> str:
    """RFC 7515's compact form, written here since every consent waits for it and the library takes as long again as the signature."""
    signed = _header(key.kid) + b"." + _base64url(payload)
    return (signed + b"." + _base64url(key.private_key.sign(signed))).decode()


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
        raise BadReceipt("it was changed, or none of these keys signed it") from refused
    if found.headers().get("typ") != TYPE:
        raise BadReceipt("it was signed as something else than a receipt")
    return orjson.loads(found.payload)


def verify(receipt: Receipt, jwks: dict[str, Any]) -> dict[str, Any]:
    """The record that a receipt with its proof proves. `jwks`: of `GET /keys`. Raises BadReceipt."""
    said = opened(receipt.receipt, jwks)
    record = said.pop("record")
    if said != around(record) and not of_earlier_release(record):
        raise BadReceipt("what it says beside its record is not what the record says")
    report = verify_receipt(receipt.proof, checkpoint.public_keys(jwks))
    if not report.holds:
        raise BadReceipt("; ".join(str(fault) for fault in report.faults))
    entered = orjson.loads(receipt.proof.body)["data"]
    if entered.get("record") != record["record_id"] or entered.get("sha256") != fingerprint(record):
        raise BadReceipt("the ledger's entry is about another record")
    return record


def of_earlier_release(record: Mapping[str, Any]) -> bool:
    """Whose receipt said more than the ledger has a fingerprint of: of it, the record alone is proven."""
    return "ledger" not in record
