"""A trouble that passes by itself is told when it has lasted, and again when it is over.

While a house starts or stops, its processes miss one another for a moment: whoever is on call need not fear that, and can believe
the warnings that remain. Each is counted in the metrics, however short.
"""

import time

from chassis import telemetry

LASTS = 10.0  # seconds


class Trouble:
    """Of one kind of work, tried again and again: `met` each time it fails, `over` each time it succeeds."""

    def __init__(self, event: str, lasts: float = LASTS, **names: str) -> None:
        """event, names: how it stands in the log · lasts: seconds until it is worth telling; from then on at each doubling."""
        self.event, self.lasts, self.names = event, lasts, names
        self.times = 0
        self._began = self._tell_after = 0.0

    def met(self, failure: BaseException) -> int:
        """How many times in a row it was met by now."""
        telemetry.troubles_total.labels(self.event, type(failure).__name__).inc()
        if not self.times:
            self._began, self._tell_after = time.monotonic(), self.lasts
        self.times += 1
        lasted = time.monotonic() - self._began
        if lasted >= self._tell_after:
            self._tell_after = 2 * lasted
            told = {"error": type(failure).__name__, "times": self.times, "seconds": round(lasted)}
            telemetry.log().warning(self.event, **self.names, **told, exc_info=failure)
        return self.times

    def over(self) -> None:
        if self.times and self._tell_after > self.lasts:
            telemetry.log().info(f"{self.event}: over", **self.names, seconds=round(time.monotonic() - self._began))
        self.times = 0
