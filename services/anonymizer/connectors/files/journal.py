"""An effect on a folder happens once, though a folder has no transactions.

What will be done is written down first (`.wardline/intent/<step>.json`), then done, then renamed to `.wardline/journal/`. A rerun
that finds the intent carries on from it: taking away what is gone changes nothing. One that finds the journal answers from it. One
process works in a folder at a time, by a lock that the kernel lets go of when its holder dies.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from services.anonymizer.connectors.files.formats import OWN, replace, sync


@dataclass
class Plan:
    """gone: piece → marks · blank: piece → column → marks · said: what is answered. Once it is done, only `said` is kept."""

    said: list[dict[str, Any]] = field(default_factory=list)
    gone: dict[str, list[str]] = field(default_factory=dict)
    blank: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def pieces(self) -> list[str]:
        return sorted({*self.gone, *self.blank})


class Journal:
    def __init__(self, root: Path) -> None:
        self.own = root / OWN

    def once(self, step: UUID, plan: Callable[[], Plan], carry_out: Callable[[Plan], None]) -> list[dict[str, Any]]:
        """What the plan says, done exactly once in effect; asked again, what was said then."""
        journal, intent = self.place("journal") / f"{step}.json", self.place("intent") / f"{step}.json"
        with self.locked():
            if not journal.exists():
                if not intent.exists():
                    _write(intent, plan())
                started = Plan(**orjson.loads(intent.read_bytes()))
                carry_out(started)
                _write(intent, Plan(said=started.said))
                intent.replace(journal)
                sync(journal.parent)
            return Plan(**orjson.loads(journal.read_bytes())).said

    def place(self, *names: str) -> Path:
        folder = self.own.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        with (self.place() / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write(path: Path, plan: Plan) -> None:
    replace(path, lambda fresh: fresh.write_bytes(orjson.dumps(asdict(plan))))
