"""How often one client, one person or one address may call: token buckets, kept in this process.

With n replicas of an edge a caller gets up to n times as much; the limit protects what is behind from a flood, it is no quota.
"""

import math
import time
from collections import OrderedDict
from dataclasses import dataclass

from chassis.errors import TooMany


@dataclass(frozen=True)
class Rate:
    """Calls a second in the long run, and how many at once."""

    per_second: float
    burst: float


@dataclass(frozen=True)
class Class:
    """`client`: an OAuth client with all who use it · `subject`: one person of it · `address`: somebody without a token."""

    client: Rate
    subject: Rate
    address: Rate = Rate(1, 1)


RATES = {
    "read": Class(Rate(1000, 2000), Rate(20, 100)),
    "write": Class(Rate(1000, 2000), Rate(10, 50)),
    "decision": Class(Rate(5000, 10000), Rate(20, 100)),
    "bulk": Class(Rate(5, 20), Rate(1, 5)),
    "login": Class(Rate(1, 1), Rate(1, 1), address=Rate(2, 60)),
    "page": Class(Rate(1, 1), Rate(1, 1), address=Rate(200, 1000)),
}
_REMEMBERED = 50_000


class Limiter:
    """Buckets by (class, who). The longest unused are forgotten first: by then they are full again."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[tuple[str, str, str], tuple[float, float]] = OrderedDict()

    def client(self, rate: str, client: str) -> None:
        self._take((rate, "client", client), RATES[rate].client)

    def subject(self, rate: str, subject: str) -> None:
        self._take((rate, "subject", subject), RATES[rate].subject)

    def address(self, rate: str, address: str) -> None:
        self._take((rate, "address", address), RATES[rate].address)

    def _take(self, key: tuple[str, str, str], rate: Rate) -> None:
        """Raises TooMany, which says when to come back."""
        now = time.monotonic()
        left, last = self._buckets.pop(key, (rate.burst, now))
        left = min(rate.burst, left + (now - last) * rate.per_second)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if left < 1:
            refused = TooMany()
            refused.headers = {"Retry-After": str(math.ceil((1 - left) / rate.per_second))}
            raise refused
