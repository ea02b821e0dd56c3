"""Records on their way out: old content lies aside until what is held of it is preserved, by an answer that came after it was moved.

What a hold names that came at any moment before the move is kept, however long anybody froze in between; and one answer serves for all
that lies aside when it is asked for.
"""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from services.anonymizer.connectors.guard import Lease
from services.anonymizer.rules.orders import Hold

Preserve = Callable[[Path | None, list[Hold]], None]
"""Copies what these holds name from where the records are; None: from their own place."""

PIECES, BYTES = 100, 16 << 20
"""What lies aside at once: it needs room beside the store, and is all put back when something fails."""


class Leave:
    """How one piece is left, by the step `whose`: a format that can move old content to `aside` does so and says it `moved`; others call
    this at the last moment before it goes. Here nobody is asked: a correction takes away nothing but what is wrong."""

    def __init__(self, aside: Path, whose: object) -> None:
        self.aside, self.whose = aside, whose

    def __call__(self) -> None: ...

    def moved(self, path: Path, files: list[Path]) -> None:
        """The old content of this piece, which lies in these files, may go."""
        for file in files:
            file.unlink(missing_ok=True)


class _Asking(Leave):
    def __init__(self, aside: Path, leaving: "Leaving", preserve: Preserve) -> None:
        super().__init__(aside, leaving.lease.step)
        self.leaving, self.preserve = leaving, preserve

    def __call__(self) -> None:
        self.leaving.lease.during(lambda holds: self.preserve(None, holds))

    def moved(self, path: Path, files: list[Path]) -> None:
        self.leaving.aside.append((self, path, files))


class Leaving:
    """Pieces that leave in one step. Whatever fails before they may go, all that lies aside is put back."""

    def __init__(self, lease: Lease, put_back: Callable[[Path, Path], None]) -> None:
        self.lease, self.put_back = lease, put_back
        self.aside: list[tuple[_Asking, Path, list[Path]]] = []

    def of(self, aside: Path, preserve: Preserve) -> Leave:
        """The next piece."""
        size = sum(files[-1].stat().st_size for _, _, files in self.aside)
        if len(self.aside) >= PIECES or size >= BYTES:
            self._let_go()
        return _Asking(aside, self, preserve)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: object, trace: TracebackType | None) -> None:
        try:
            if kind is None and self.aside:
                self._let_go()
        finally:
            for leave, path, _ in self.aside:
                self.put_back(path, leave.aside)

    def _let_go(self) -> None:
        self.lease.during(self._preserve)
        for leave, path, files in self.aside:
            Leave.moved(leave, path, files)
        self.aside.clear()

    def _preserve(self, holds: list[Hold]) -> None:
        for leave, _, _ in self.aside:
            leave.preserve(leave.aside, holds)
