"""When a delivery is tried again, how it is signed, and what an answer means."""

import base64
import hmac
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# Standard Webhooks' schedule: the pause before each try.
PAUSES = (
    timedelta(0), timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=5),
    timedelta(hours=10), timedelta(hours=14), timedelta(hours=20), timedelta(hours=24),
)  # fmt: skip
LARGEST_PAYLOAD = 20_000
SECRET_PREFIX = "whsec_"


class Verdict(Enum):
    delivered = "delivered"
    again = "again"
    gone = "gone"


def judge(status: int) -> Verdict:
    """2xx took it, 410 wants no more; a redirect is not followed, since it could lead anywhere, and counts as a failure."""
    if 200 <= status < 300:
        return Verdict.delivered
    return Verdict.gone if status == 410 else Verdict.again


def pause_before(next_try: int, retry_after: timedelta | None, jitter: float | None = None) -> timedelta | None:
    """How long to wait before try number `next_try` (counted from 0); None when there is none left.

    A receiver may ask for more time, up to the longest pause. Jitter spreads what failed together.
    """
    if next_try >= len(PAUSES):
        return None
    spread = random.uniform(1, 1.2) if jitter is None else jitter
    return max(PAUSES[next_try] * spread, min(retry_after or timedelta(0), PAUSES[-1]))


def retry_after(header: str | None) -> timedelta | None:
    """Seconds only: a date would have us trust the receiver's clock."""
    return (
        timedelta(seconds=int(header)) if header and header.isascii() and header.isdigit() and len(header) < 8 else None
    )


def signatures(id: str, at: datetime, body: bytes, secrets: Sequence[str], key: Ed25519PrivateKey) -> str:
    """The `webhook-signature` header: one `v1` for each secret still valid, and our `v1a`."""
    signed = f"{id}.{int(at.timestamp())}.".encode() + body
    by_secret = [
        hmac.digest(base64.b64decode(secret.removeprefix(SECRET_PREFIX)), signed, "sha256") for secret in secrets
    ]
    parts = [("v1", digest) for digest in by_secret] + [("v1a", key.sign(signed))]
    return " ".join(f"{name},{base64.b64encode(value).decode()}" for name, value in parts)
