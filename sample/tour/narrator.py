"""Tells what is seen, in the terminal and in `out/tour.md`; and waits, with a word about what for."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

Seen = TypeVar("Seen")

PATIENCE = 180
_SILENCE, _AGAIN = 2.0, 30.0


class TourFailed(Exception):
    """What was expected to be seen was not."""


class Narrator:
    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.out = out
        self._file = out / "tour.md"
        self._file.write_text(
            "# The tour\n\nWhat was seen, over HTTP to the two edges, as the named people and systems.\n"
        )

    def scene(self, title: str) -> None:
        self._tell(f"\n── {title}", f"\n## {title}\n\n")

    def say(self, line: str) -> None:
        self._tell(f"   {line}", f"- {line}\n")

    def table(self, head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
        cells = [head, *[tuple(str(cell) for cell in row) for row in rows]]
        widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
        for row in cells:
            print(
                "     " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(),
                flush=True,
            )
        lines = ["| " + " | ".join(row) + " |" for row in cells]
        lines.insert(1, "|" + "---|" * len(head))
        self._write("\n" + "\n".join(lines) + "\n\n")

    def picture(self, name: str, title: str) -> None:
        self._tell(f"   {title}: {self.out / name}", f"\n![{title}]({name})\n\n")

    def keep(self, name: str, content: bytes) -> Path:
        """A file of the results, for whoever wants to look or verify herself."""
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def must(self, holds: bool, what: str) -> None:
        """Says it as seen, or ends the tour."""
        if not holds:
            raise TourFailed(f"The tour stops here: it was not seen that {what}.")
        self.say(f"✓ {what}")

    def until(
        self,
        what: str,
        look: Callable[[], Seen | None],
        patience: float = PATIENCE,
        explain: Callable[[], str] = lambda: "",
    ) -> Seen:
        """Looks again until there is something; says what is waited for when it takes long, and `explain`s when it never came."""
        began = time.monotonic()
        tell_after = _SILENCE
        while not (seen := look()):
            waited = time.monotonic() - began
            if waited > patience:
                raise TourFailed(f"The tour stops here: after {patience:.0f} s there was still no {what}.{explain()}")
            if waited > tell_after:
                print(f"   … waiting for {what}" + (f" ({waited:.0f} s)" if waited > _AGAIN else ""), flush=True)
                tell_after = waited + _AGAIN
            time.sleep(0.1)
        return seen

    def _tell(self, spoken: str, written: str) -> None:
        print(spoken, flush=True)
        self._write(written)

    def _write(self, text: str) -> None:
        with self._file.open("a") as file:
            file.write(text)
