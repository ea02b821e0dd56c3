"""The offline verifier: `python -m chassis.ledger.verify <directory | receipt.json> --keys jwks.json`. Needs public keys, nothing else.

A directory holds `entries.jsonl` (the items of /ledger/entries, one to a line) and `checkpoint.txt`; older heads beside it
(`checkpoint-*.txt`) are checked too, and narrow down where a forgery lies. A file is one inclusion receipt.
Exit status: 0 everything holds, 1 something was changed, 2 it could not be checked.
"""

import argparse
import json
import sys
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from chassis.ledger import checkpoint, merkle
from chassis.ledger.canonical import canonical
from chassis.ledger.checkpoint import BadCheckpoint, Checkpoint
from chassis.ledger.contract import Entry, Inclusion
from chassis.verifying import CannotCheck, exit_status, public_keys, say

_SHOWN = 20


@dataclass(frozen=True)
class Fault:
    """What is wrong, and where: the position and event id where they are known, the line of the file otherwise."""

    says: str
    position: int | None = None
    event_id: UUID | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = [f"position {self.position}"] if self.position else []
        where += [f"event {self.event_id}"] if self.event_id else []
        where += [f"line {self.line}"] if self.line else []
        return ", ".join(where) + (": " if where else "") + self.says


@dataclass
class Report:
    """What was checked and every fault found, in order of position."""

    origin: str
    size: int
    signed: int
    faults: list[Fault] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.faults


def verify_ledger(lines: Iterable[str], notes: Sequence[str], keys: Sequence[Ed25519PublicKey]) -> Report:
    """Checks entries (JSON, one to a line) against signed heads; `keys` may hold retired ones."""
    heads, faults = _heads(notes, keys)
    newest = heads[-1] if heads else Checkpoint("an unsigned ledger", 0, merkle.EMPTY_ROOT)
    report = Report(newest.origin, 0, newest.size, faults)
    walk = _Walk(report, heads)
    for number, line in enumerate(lines, 1):
        if (entry := _entry(line)) is None:
            report.faults.append(Fault("this line is no entry", line=number))
        else:
            walk.visit(entry, number)
    walk.end()
    return report


def verify_receipt(receipt: Inclusion, keys: Sequence[Ed25519PublicKey]) -> Report:
    """Checks that the receipt's event stands in the ledger whose head it carries."""
    heads, faults = _heads([receipt.checkpoint], keys)
    head = heads[0] if heads else Checkpoint("an unsigned ledger", 0, merkle.EMPTY_ROOT)
    report = Report(head.origin, 1, head.size, faults)
    leaf = _hash(receipt.leaf)
    told = Entry(position=receipt.position, event_id=receipt.event_id, leaf=receipt.leaf, body=receipt.body)
    report.faults += [Fault(says, receipt.position, receipt.event_id) for says in _body_faults(told)]
    path = [_hash(hash) for hash in receipt.path]
    if heads and not merkle.verify_inclusion(leaf, receipt.position - 1, head.size, path, head.root):
        report.faults.append(Fault("the proof does not lead to the signed root", receipt.position, receipt.event_id))
    return report


class _Walk:
    """One pass over the entries in order. Two trees grow: over the leaves as recorded, and over the bodies as they are now."""

    def __init__(self, report: Report, heads: Sequence[Checkpoint]) -> None:
        self.report = report
        self.heads = {head.size: head for head in heads}
        self.recorded, self.found = merkle.Frontier(), merkle.Frontier()
        self.seen: set[UUID] = set()
        self.mismatches: list[Fault] = []
        self.good_up_to, self.whole = 0, True

    def visit(self, entry: Entry, line: int) -> None:
        self._check_place(entry, line)
        # Whether the body or the recorded leaf was changed is only known when the next signed root is reached.
        self.mismatches += [Fault(says, entry.position, entry.event_id, line) for says in _body_faults(entry)]
        leaf = _hash(entry.leaf)
        _grow(self.recorded, leaf)
        _grow(self.found, leaf if entry.body is None else merkle.leaf_hash(entry.body.encode()))
        self.report.size += 1
        if head := self.heads.get(entry.position):
            self._compare(head)

    def end(self) -> None:
        if self.report.size < self.report.signed and self.whole:
            missing = f"the entries end at {self.report.size}, the signed head says {self.report.signed}"
            self.report.faults.append(Fault(missing, self.report.size + 1))
        self.report.faults += self.mismatches
        self.report.faults.sort(key=lambda fault: (fault.position or 0, fault.line or 0))

    def _check_place(self, entry: Entry, line: int) -> None:
        expected = self.report.size + 1
        if entry.event_id in self.seen:
            self._broken(Fault("this event stands in the ledger twice", entry.position, entry.event_id, line))
        if entry.position < expected and self.whole:
            self._broken(Fault(f"expected position {expected} here", entry.position, entry.event_id, line))
        if entry.position > expected and self.whole:
            last = entry.position - 1
            gap = f"position {expected} is" if expected == last else f"positions {expected} to {last} are"
            self._broken(Fault(f"{gap} missing before this one", entry.position, entry.event_id, line))
        self.seen.add(entry.event_id)

    def _broken(self, fault: Fault) -> None:
        """From here on the roots say nothing more: they will differ."""
        self.whole = False
        self.report.faults.append(fault)

    def _compare(self, head: Checkpoint) -> None:
        if not self.whole:
            return
        if self.recorded.root() == head.root:
            self.report.faults += self.mismatches
        elif self.found.root() == head.root:
            self.report.faults += [
                Fault("the recorded leaf was changed; the body is genuine", each.position, each.event_id, each.line)
                for each in self.mismatches
            ]
            # What follows is compared as it was signed.
            self.recorded = self.found.copy()
        else:
            span = f"between positions {self.good_up_to + 1} and {head.size}"
            self._broken(Fault(f"body and leaf were both changed somewhere {span}: the signed root differs"))
            return
        self.mismatches, self.good_up_to = [], head.size


def _grow(frontier: merkle.Frontier, leaf: bytes) -> None:
    for _ in frontier.append(leaf):
        pass


def _heads(notes: Sequence[str], keys: Sequence[Ed25519PublicKey]) -> tuple[list[Checkpoint], list[Fault]]:
    heads: list[Checkpoint] = []
    faults = [] if notes else [Fault("there is no signed head: nothing says what these entries should be")]
    for note in notes:
        try:
            heads.append(checkpoint.verify(note, keys))
        except BadCheckpoint as fault:
            faults.append(Fault(f"the signed head: {fault}"))
    if len({head.origin for head in heads}) > 1:
        faults.append(Fault("the signed heads belong to different ledgers"))
    return sorted(heads, key=lambda head: head.size), faults


def _body_faults(entry: Entry) -> Iterator[str]:
    if entry.body is None:
        return
    if merkle.leaf_hash(entry.body.encode()) != _hash(entry.leaf):
        yield f"the body was changed: its hash is not the recorded leaf{_first_odd_byte(entry.body)}"
    elif _said_id(entry.body) != str(entry.event_id):
        yield "the body is that of another event"


def _first_odd_byte(body: str) -> str:
    """Where the text stops being canonical JSON, when the change broke that; a hash alone cannot tell which byte it was."""
    try:
        proper = canonical(json.loads(body))
    except json.JSONDecodeError as fault:
        return f" (byte {len(body[: fault.pos].encode())} is no longer JSON)"
    except RecursionError:
        return " (it is nested deeper than anything we write)"
    except (ValueError, TypeError):
        return " (it holds a number that is not exact)"
    given = body.encode()
    differing = (n for n, (one, other) in enumerate(zip(given, proper, strict=False)) if one != other)
    return "" if given == proper else f" (byte {next(differing, min(len(given), len(proper)))} is no longer canonical)"


def _said_id(body: str) -> Any:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said.get("id") if isinstance(said, dict) else None


def _entry(line: str) -> Entry | None:
    try:
        return Entry.model_validate_json(line)
    except (ValidationError, UnicodeEncodeError):
        return None


def _hash(text: str) -> bytes:
    """The hash that base64 text stands for; unreadable text equals no hash."""
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        return b""


def _check(path: Path, keys: Sequence[Ed25519PublicKey]) -> Report:
    if path.is_dir():
        notes = [note.read_text("utf-8", errors="replace") for note in sorted(path.glob("checkpoint*.txt"))]
        if not notes:
            raise CannotCheck(f"{path} holds no checkpoint.txt")
        with (path / "entries.jsonl").open(encoding="utf-8", errors="surrogateescape") as lines:
            return verify_ledger(lines, notes, keys)
    try:
        return verify_receipt(Inclusion.model_validate_json(path.read_bytes()), keys)
    except ValidationError:
        raise CannotCheck(f"{path} is no inclusion receipt") from None


def _tell(report: Report, path: Path) -> None:
    say(f"{path}: {report.size} entries of {report.origin}, a head signed over {report.signed}")
    for fault in report.faults[:_SHOWN]:
        say(f"  CHANGED  {fault}")
    if len(report.faults) > _SHOWN:
        say(f"  … and {len(report.faults) - _SHOWN} more")
    if path.is_dir() and report.size > report.signed:
        say(f"  {report.size - report.signed} newer entries are not under this head yet: nothing is known of them")
    say("  everything holds" if report.holds else "  NOT what was signed")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m chassis.ledger.verify", description="Checks a ledger or a receipt."
    )
    parser.add_argument("path", type=Path, help="directory with entries.jsonl and checkpoint.txt, or one receipt")
    parser.add_argument("--keys", type=Path, required=True, help="public keys (JWKS), as a service's /keys shows them")
    asked = parser.parse_args(arguments)

    def check() -> bool:
        report = _check(asked.path, checkpoint.public_keys(public_keys(asked.keys)))
        _tell(report, asked.path)
        return report.holds

    return exit_status(check)


if __name__ == "__main__":
    sys.exit(main())
