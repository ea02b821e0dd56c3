"""One line of the results: what was measured, beside what it is measured by."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops import memory

ROUNDS = 3
_OFTEN = 0.05


@dataclass(frozen=True)
class Row:
    """`ours` and `reference` are in `unit`; `more`: whatever else was seen, under names that carry their unit."""

    name: str
    ours: float
    reference: float
    unit: str
    peak_mb: float
    reference_is: str
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.ours / self.reference

    def told(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ours": rounded(self.ours),
            "reference": rounded(self.reference),
            "ratio": rounded(self.ratio),
            "unit": self.unit,
            "peak_mb": round(self.peak_mb),
            "reference_is": self.reference_is,
            **{name: rounded(value) if isinstance(value, float) else value for name, value in self.more.items()},
            "cores": len(os.sched_getaffinity(0)),
            "load_average": round(os.getloadavg()[0], 1),
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def rounded(value: float) -> float:
    """Three digits are all that a measurement like these is good for."""
    return float(f"{value:.3g}") if abs(value) < 1000 else round(value)


def cpu_seconds(roots: Iterable[int]) -> float:
    """Processor time that these processes and their children have had, ended ones included: it says what a request costs even
    where other programs take the processor away meanwhile."""
    return sum(map(_ticks, memory.descendants(roots))) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
        return 0
    return sum(map(int, said.rpartition(")")[2].split()[11:15]))


@dataclass
class Peak:
    """The proportional set size of some processes: before, and at its highest so far, in MB."""

    before: float
    highest: float

    @property
    def growth(self) -> float:
        return self.highest - self.before


@contextmanager
def watched(pids: Iterable[int], *, family: bool = False) -> Iterator[Peak]:
    """Looks twenty times a second; what comes and goes in between is not seen. family: with the children they have meanwhile."""
    pids = list(pids)
    before = memory.pss_megabytes(pids) or 0.0
    peak, over = Peak(before, before), threading.Event()

    def look() -> None:
        while not over.wait(_OFTEN):
            looked_at = memory.descendants(pids) if family else pids
            peak.highest = max(peak.highest, memory.pss_megabytes(looked_at) or 0.0)

    watcher = threading.Thread(target=look, name="memory", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
