"""What stands in small files, remembered for as long as each is the file that was read: to open many of them is most of what it costs to
look through them."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

SMALL, MANY = 1 << 16, 256  # bytes of a file, and files
AT_REST = 2.0
"""Seconds since a file changed. What changes twice within one tick of the disk's clock looks the same afterwards: such a file is read
again each time."""

Content = TypeVar("Content")
_State = tuple[int, ...]


class Standing(Generic[Content]):
    def __init__(self) -> None:
        self._known: dict[Path, tuple[_State, Content]] = {}

    def among(self, pieces: Iterable[Path], read: Callable[[Path], Content | None]) -> dict[Path, Content]:
        """Those pieces whose content may be remembered; `read` gives it of one that is new or another file now. How a file is comes before
        what is in it: what changes in between is another file the next time."""
        known: dict[Path, tuple[_State, Content]] = {}
        for path in pieces:
            if (state := _state(path)) and len(known) < MANY:
                content = self._same(path, state) or read(path)
                known |= {path: (state, content)} if content else {}
        self._known = known
        return {path: content for path, (_, content) in known.items()}

    def of(self, path: Path) -> Content | None:
        """What is remembered of a file, if it is still the same."""
        return self._same(path, _state(path))

    def _same(self, path: Path, state: _State | None) -> Content | None:
        before, content = self._known.get(path, (None, None))
        return content if state and before == state else None


def _state(path: Path) -> _State | None:
    """Another one for another content; None of a file that is not to be remembered, or not there."""
    try:
        seen = os.stat(path)
    except FileNotFoundError:
        return None
    if seen.st_size > SMALL or time.time() - seen.st_ctime < AT_REST:
        return None
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
