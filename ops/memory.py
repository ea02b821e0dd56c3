"""How much memory the house takes: proportional set size, so that what processes share is counted once."""

from collections.abc import Iterable
from pathlib import Path


def descendants(roots: Iterable[int]) -> set[int]:
    """The processes `roots` and all their children (empty where there is no /proc)."""
    parent_of = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent_of[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
    found = {pid for pid in roots if pid in parent_of}
    while more := {pid for pid, parent in parent_of.items() if parent in found} - found:
        found |= more
    return found


def pss_megabytes(pids: Iterable[int]) -> float | None:
    """Together, in MB; None where the kernel does not tell."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024 if total else None
