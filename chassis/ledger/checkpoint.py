"""The signed head of a ledger: a C2SP tlog-checkpoint in a C2SP signed note, Ed25519.

    wardline/consent
    1207
    qf2u…=

    — wardline/consent Zm9v…=

Origin, size, root; then one line per signature: base64 of four bytes that name the key, and the signature itself.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

_ED25519 = b"\x01"
_DASH = "— "


class BadCheckpoint(ValueError):
    """The note is malformed, or no key we were given signed it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def origin_of(service: str) -> str:
    return f"wardline/{service}"


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """The note; its key bears the origin's name."""
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode()}\n"
    signed = key_hash(checkpoint.origin, key.public_key()) + key.sign(text.encode())
    return f"{text}\n{_DASH}{checkpoint.origin} {b64encode(signed).decode()}\n"


def verify(note: str, keys: Iterable[Ed25519PublicKey]) -> Checkpoint:
    """The checkpoint that one of `keys` signed under the name of its origin. Raises BadCheckpoint."""
    text, checkpoint, signatures = _parse(note)
    for key in keys:
        for name, signed in signatures:
            if name == checkpoint.origin and signed[:4] == key_hash(name, key) and _signed(key, signed[4:], text):
                return checkpoint
    raise BadCheckpoint(f"no known key of {checkpoint.origin} signed this checkpoint")


def parse(note: str) -> Checkpoint:
    """What a note claims, its signatures unchecked."""
    return _parse(note)[1]


def key_hash(name: str, key: Ed25519PublicKey) -> bytes:
    return sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:4]


def private_key(jwk: dict[str, Any]) -> Ed25519PrivateKey:
    """The key in `ledger.jwk`. Raises ValueError when it is no private Ed25519 key."""
    key = _okp(jwk).private_key
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the ledger is signed with a private Ed25519 key")
    return key


def public_keys(jwks: dict[str, Any]) -> list[Ed25519PublicKey]:
    """The Ed25519 keys of a JWKS; keys of other kinds sign other things and are passed over."""
    found = [_okp(jwk) for jwk in jwks["keys"] if is_ed25519(jwk)]
    return [key.public_key for key in found if isinstance(key.public_key, Ed25519PublicKey)]


def is_ed25519(jwk: Any) -> bool:
    return isinstance(jwk, dict) and (jwk.get("kty"), jwk.get("crv")) == ("OKP", "Ed25519")


def _okp(jwk: dict[str, Any]) -> OKPKey:
    try:
        return OKPKey.import_key(jwk)
    except (JoseError, TypeError, KeyError) as fault:
        raise ValueError("not an Ed25519 key in JWK form") from fault


def _parse(note: str) -> tuple[str, Checkpoint, list[tuple[str, bytes]]]:
    text, blank, signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not blank or len(lines) < 3 or not signatures.endswith("\n"):
        raise BadCheckpoint("not a signed note")
    origin, size, root = lines[:3]
    # Nineteen digits: positions are bigint.
    if not origin or not (size.isascii() and size.isdigit() and len(size) < 20) or (size[0] == "0" and size != "0"):
        raise BadCheckpoint("the checkpoint has no origin or no size")
    checkpoint = Checkpoint(origin, int(size), _base64(root))
    if len(checkpoint.root) != 32:
        raise BadCheckpoint("the root is not a SHA-256 hash")
    return text + "\n", checkpoint, [_signature(line) for line in signatures.splitlines()]


def _signature(line: str) -> tuple[str, bytes]:
    name, space, signed = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not name or not space:
        raise BadCheckpoint("a signature line is malformed")
    return name, _base64(signed)


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise BadCheckpoint("the note holds something that is not base64") from None


def _signed(key: Ed25519PublicKey, signature: bytes, text: str) -> bool:
    try:
        key.verify(signature, text.encode())
    except InvalidSignature:
        return False
    return True
