"""How often one client, one person or one address may call: token buckets, kept in this process.

With n replicas of an edge a caller gets up to n times as much; the limit protects what is behind from a flood, it is no quota.
"""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
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
    # Made anew for each reader, which takes whoever is behind some milliseconds.
    "made": Class(Rate(1, 1), Rate(1, 1), address=Rate(10, 300)),
}
_REMEMBERED = 50_000
# How much of what one caller asked may be under way at once. Each holds one of the edge's connections to what is behind it, for as long
# as a body takes to come or an answer is waited for: few callers must not be able to hold all of them.
UNDER_WAY = {"client": 250, "subject": 32, "address": 64}


class Limiter:
    """Buckets by (class, who). The longest unused are forgotten first: by then they are full again."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[tuple[str, str, str], tuple[float, float]] = OrderedDict()
        self._under_way: Counter[tuple[str, str]] = Counter()

    def client(self, rate: str, client: str) -> None:
        self._take((rate, "client", client), RATES[rate].client)

    def subject(self, rate: str, subject: str) -> None:
        self._take((rate, "subject", subject), RATES[rate].subject)

    def address(self, rate: str, address: str) -> None:
        self._take((rate, "address", address), RATES[rate].address)

    @contextmanager
    def under_way(self, kind: str, who: str) -> Iterator[None]:
        """Raises TooMany for whoever has all of hers under way."""
        if self._under_way[kind, who] >= UNDER_WAY[kind]:
            raise _later(1)
        self._under_way[kind, who] += 1
        try:
            yield
        finally:
            self._under_way[kind, who] -= 1
            if not self._under_way[kind, who]:
                del self._under_way[kind, who]

    def _take(self, key: tuple[str, str, str], rate: Rate) -> None:
        """Raises TooMany, which says when to come back."""
        now = time.monotonic()
        left, last = self._buckets.pop(key, (rate.burst, now))
        left = min(rate.burst, left + (now - last) * rate.per_second)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if left < 1:
            raise _later(math.ceil((1 - left) / rate.per_second))


def _later(seconds: int) -> TooMany:
    return TooMany().with_headers({"Retry-After": str(seconds)})
