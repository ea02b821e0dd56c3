"""The sealed package: what was collected, a manifest that names every file of it, a signature, and one recipient's key.

    package.jwe = JWE(ECDH-ES+A256KW, A256GCM) of a ZIP:
        manifest.jws    compact JWS (Ed25519) over RFC 8785 canonical JSON
        <path>          one file for each item of the manifest

Each item of the manifest is {path, sha256, length, type, query, store, table, rows, extracted_at, order_hash}; `root`
is the RFC 9162 Merkle root over the items' canonical JSON, in order. A package is never
changed: a new one would have another root.

It is held in memory whole, which the book's row cap bounds (100,000 rows are some tens of megabytes).
"""

import io
import zipfile
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from joserfc import jwe, jws
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey, KeySet, OKPKey
from joserfc.jws import JWSRegistry

from chassis.ledger import merkle
from chassis.ledger.canonical import canonical

SIGNATURE = "Ed25519"
SIGNED = "wardline-package+jws"
KEY_AGREEMENT, CIPHER = "ECDH-ES+A256KW", "A256GCM"
MANIFEST = "manifest.jws"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


class _Files(JWERegistry):
    """joserfc's limits are for tokens; what bounds a package is the book's row cap."""

    max_ciphertext_length = 1 << 30


class _Manifests(JWSRegistry):
    max_payload_length = 1 << 26


_ALLOWED = _Files(algorithms=[KEY_AGREEMENT, CIPHER])
_SIGNING = _Manifests(algorithms=[SIGNATURE])


@dataclass(frozen=True)
class Item:
    """One file: what a task found in one table of one store."""

    path: str
    content: bytes
    query: Mapping[str, Any]
    store: str
    table: str
    rows: int
    extracted_at: datetime


@dataclass(frozen=True)
class Sealed:
    """`content` is the encrypted file."""

    content: bytes
    root: str

    @property
    def sha256(self) -> str:
        return sha256(self.content).hexdigest()


def manifest_of(about: Mapping[str, Any], order_hash: str, items: Sequence[Item]) -> dict[str, Any]:
    """`about`: whatever else the recipient must know (package, order, authority, what was asked in vain)."""
    entries = [_entry(item, order_hash) for item in items]
    return {**about, "order_hash": order_hash, "items": entries, "root": root_of(entries)}


def root_of(entries: Sequence[Mapping[str, Any]]) -> str:
    """The Merkle root over a manifest's items, base64."""
    return b64encode(merkle.root([merkle.leaf_hash(canonical(dict(entry))) for entry in entries])).decode()


def seal(manifest: Mapping[str, Any], items: Sequence[Item], signing: OKPKey, recipient: ECKey) -> Sealed:
    header = {"alg": SIGNATURE, "kid": signing.kid, "typ": SIGNED}
    signed = jws.serialize_compact(header, canonical(dict(manifest)), signing, registry=_SIGNING)
    files = [(MANIFEST, signed.encode()), *((item.path, item.content) for item in items)]
    protected = {"alg": KEY_AGREEMENT, "enc": CIPHER, "kid": recipient.kid, "cty": "application/zip"}
    content = jwe.encrypt_compact(protected, _zip(files), recipient, registry=_ALLOWED)
    return Sealed(content.encode(), manifest["root"])


def opened(content: bytes, private: ECKey) -> bytes:
    """The ZIP inside. Raises JoseError or ValueError for another key, or for a changed byte."""
    if any(not _canonical_base64(part) for part in content.split(b".")):
        raise ValueError("not as it was written")
    return jwe.decrypt_compact(content, private, registry=_ALLOWED).plaintext


def signed_manifest(signed: bytes, keys: KeySet) -> bytes:
    """The manifest's canonical JSON, as one of `keys` signed it. Raises JoseError or ValueError."""
    found = jws.deserialize_compact(signed, keys, registry=_SIGNING)
    if found.headers().get("typ") != SIGNED:
        raise ValueError("this is not a package's manifest")
    return found.payload


def _canonical_base64(part: bytes) -> bool:
    """The last character has bits that mean nothing: a package that differs in them is not the one that was sealed."""
    tail = part[len(part) // 4 * 4 :]
    return len(tail) != 1 and urlsafe_b64encode(urlsafe_b64decode(tail + b"=" * (-len(tail) % 4))).rstrip(b"=") == tail


def _entry(item: Item, order_hash: str) -> dict[str, Any]:
    return {
        "path": item.path,
        "sha256": sha256(item.content).hexdigest(),
        "length": len(item.content),
        "type": "application/x-ndjson",
        "query": dict(item.query),
        "store": item.store,
        "table": item.table,
        "rows": item.rows,
        "extracted_at": item.extracted_at.isoformat(),
        "order_hash": order_hash,
    }


def _zip(files: Sequence[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files:
            named = zipfile.ZipInfo(path, _ZIP_EPOCH)
            named.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(named, content)
    return packed.getvalue()
