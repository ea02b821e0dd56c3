"""What locks a package: words that a person knows, or a key of her own, whose public half we are given.

Either is kept, sealed, as one text until the package is built.
"""

import json
from typing import Any

from services.requests.rights.contract import OwnKey
from services.requests.rights.package.passphrase import is_drawn

# No passphrase has this sign, so the text says by itself which of the two it is.
_KEY = "\x1f"


def with_key(key: OwnKey) -> str:
    return _KEY + key.model_dump_json()


def key_of(lock: str) -> dict[str, Any] | None:
    """The public JWK; None for words."""
    return json.loads(lock[1:]) if lock.startswith(_KEY) else None


def is_quick(lock: str) -> bool:
    """Whether locking takes no time to speak of: nobody's own words are stretched for it."""
    return lock.startswith(_KEY) or is_drawn(lock)
