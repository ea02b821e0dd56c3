"""Keys of pseudonyms: derived per tenant, purpose and window, so that two purposes can't be joined by their pseudonyms.

Whoever has a key can turn a number's pseudonym back and can test guesses of anything else; so it lives as long as its purpose. A
window's key is never derived and never stored: with the process that made it, the link is gone.
"""

import os
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_LABEL = b"wardline/transforms/v1"


@dataclass(frozen=True)
class Keys:
    """permutation: AES-256, for what is a number · digest: BLAKE2b, for everything else."""

    permutation: bytes = field(repr=False)
    digest: bytes = field(repr=False)


def derived(master: bytes, tenant: UUID, purpose: str, window: str = "") -> Keys:
    """The same for the same tenant, purpose and window, for as long as the master key is there."""
    info = b"\0".join([_LABEL, tenant.bytes, purpose.encode(), window.encode()])
    return _halves(HKDF(SHA256(), length=64, salt=None, info=info).derive(master))


def fresh() -> Keys:
    """For one window, and nobody ever again."""
    return _halves(os.urandom(64))


def _halves(key: bytes) -> Keys:
    return Keys(key[:32], key[32:])
