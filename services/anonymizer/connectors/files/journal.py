"""An effect on a folder happens once, though a folder has no transactions.

What will be done is written down first (`.wardline/intent/<step>.json`), then done, then renamed to `.wardline/journal/`. A rerun
that finds the intent carries on from it: taking away what is gone changes nothing. One that finds the journal answers from it. One
process works in a folder at a time, by a lock that the kernel lets go of when its holder dies.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from services.anonymizer.connectors.files.formats import OWN, Edit, replace, sync
from services.anonymizer.contract import CorrectionRefused


@dataclass
class Plan:
    """gone: piece → marks · edits: piece → mark → column → what it says afterwards, and what was struck from it · said: what is
    answered · terms: what a sweep decides by, where it names no marks; of a correction, piece → all marks before it, where some are frozen.

    Once it is done, `said` is kept, and which pieces went or were `changed`; marks only where they are the ids of versions, and nothing
    that says what stood there. `salt`: whoever knows only the digest cannot guess names."""

    said: list[dict[str, Any]] = field(default_factory=list)
    gone: dict[str, list[str]] = field(default_factory=dict)
    edits: dict[str, dict[str, dict[str, Edit]]] = field(default_factory=dict)
    terms: dict[str, Any] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    salt: str = ""

    def done(self, versions: bool) -> "Plan":
        gone = {piece: marks if versions else [] for piece, marks in self.gone.items()}
        return Plan(self.said, gone, changed=sorted(self.edits), salt=secrets.token_hex(16))

    def pieces(self) -> list[str]:
        return sorted({*self.gone, *self.edits})

    def edit(self, piece: str, mark: str, column: str, value: str | None, struck: Iterable[str] = ()) -> None:
        self.edits.setdefault(piece, {}).setdefault(mark, {})[column] = Edit(value, tuple(struck))


class Journal:
    def __init__(self, root: Path, versions: bool = False) -> None:
        """`versions`: a record's mark is the id of a version, to be kept as evidence."""
        self.own, self.versions = root / OWN, versions

    def once(self, step: UUID, plan: Callable[[], Plan], carry_out: Callable[[Plan], object]) -> list[dict[str, Any]]:
        """What the plan says, done exactly once in effect; asked again, what was said then."""
        journal, intent = self.place("journal") / f"{step}.json", self.place("intent") / f"{step}.json"
        with self.locked():
            if not journal.exists():
                if not intent.exists():
                    _write(intent, plan())
                started = _read(intent)
                try:
                    carry_out(started)
                except CorrectionRefused:
                    intent.unlink()
                    raise
                _write(intent, started.done(self.versions))
                intent.replace(journal)
                sync(journal.parent)
            return _read(journal).said

    def done(self, step: UUID) -> list[str]:
        """The pieces that something went from in a finished step."""
        return sorted(_read(self.place("journal") / f"{step}.json").gone)

    def evidence(self, step: UUID) -> str:
        """What a finished step is known by in the ledger: the SHA-256 of its file here."""
        return hashlib.sha256((self.place("journal") / f"{step}.json").read_bytes()).hexdigest()

    def parts(self, sweep: UUID, find: Callable[[], list[str]]) -> list[str]:
        """What a sweep goes through, as it found it when it began: a part that is gone by now has its answer in the journal."""
        noted = self.place("sweeps") / f"{sweep}.json"
        if not noted.exists():
            found = orjson.dumps(find())
            replace(noted, lambda fresh: fresh.write_bytes(found))
        return orjson.loads(noted.read_bytes())

    def conclude(self, sweep: UUID) -> None:
        (self.place("sweeps") / f"{sweep}.json").unlink(missing_ok=True)

    def freeze(self, principal: UUID, marks: dict[str, list[str]]) -> None:
        replace(self._frozen(principal), lambda fresh: fresh.write_bytes(orjson.dumps(marks)))

    def leaving(self, marks: dict[str, list[str]]) -> bool:
        """Whether some of these records are to be taken away, or changed, by a step that was begun and has not ended."""
        return any(
            not {*plan.gone.get(piece, ()), *plan.edits.get(piece, ())}.isdisjoint(some)
            for plan in self.begun()
            for piece, some in marks.items()
        )

    def begun(self) -> list[Plan]:
        """Of steps that have not ended."""
        return [plan for intent in self.place("intent").glob("*.json") if (plan := _read_if_there(intent))]

    def unfreeze(self, principal: UUID) -> None:
        self._frozen(principal).unlink(missing_ok=True)

    def frozen_for(self, principal: UUID) -> dict[str, list[str]]:
        """piece → marks of what is frozen for one person."""
        path = self._frozen(principal)
        return orjson.loads(path.read_bytes()) if path.exists() else {}

    def frozen(self) -> set[tuple[str, str]]:
        """(piece, mark) of every record that somebody had restricted."""
        read = (orjson.loads(path.read_bytes()) for path in self.place("frozen").glob("*.json"))
        return {(piece, mark) for marks in read for piece, each in marks.items() for mark in each}

    def count(self, step: object, rows: list[tuple[str, str]]) -> None:
        """(piece, mark) of records that stay, but are in the counts that a sweep left."""
        replace(self.place("counted") / f"{step}.json", lambda fresh: fresh.write_bytes(orjson.dumps(rows)))

    def counted(self) -> set[tuple[str, str]]:
        found = (orjson.loads(path.read_bytes()) for path in self.place("counted").glob("*.json"))
        return {(piece, mark) for rows in found for piece, mark in rows}

    def aside(self, piece: str) -> Path:
        """Where the old content of a piece is while what is held of it is preserved."""
        return self.own / "leaving" / piece

    def moving(self) -> list[Path]:
        return [path for path in self.aside("").rglob("*") if path.is_file()]

    def moved(self) -> dict[str, int]:
        """Another one whenever something was moved aside, put back or let go."""
        return {folder: changed_at(Path(folder)) for folder, _, _ in os.walk(self.aside(""))}

    def _frozen(self, principal: UUID) -> Path:
        return self.place("frozen") / f"{principal}.json"

    def place(self, *names: str) -> Path:
        folder = self.own.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def locked(self, wait: bool = True) -> Iterator[bool]:
        """Whether the folder is ours: always, for who waits."""
        with (self.place() / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def changed_at(folder: Path) -> int:
    """When something last came into it or went from it; 0 of one that is not there."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _read(path: Path) -> Plan:
    kept = orjson.loads(path.read_bytes())
    edits = {
        piece: {
            mark: {column: Edit(one["value"], tuple(one["struck"])) for column, one in columns.items()}
            for mark, columns in marks.items()
        }
        for piece, marks in kept.get("edits", {}).items()
    }
    return Plan(kept["said"], kept["gone"], edits, kept.get("terms", {}), kept.get("changed", []), kept.get("salt", ""))


def _read_if_there(path: Path) -> Plan | None:
    try:
        return _read(path)
    except FileNotFoundError:
        return None  # it just ended


def _write(path: Path, plan: Plan) -> None:
    replace(path, lambda fresh: fresh.write_bytes(orjson.dumps(asdict(plan))))
