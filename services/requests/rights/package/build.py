"""From spools to the locked file: report first, then JSON, CSV and the same report, in memory a frame at a time."""

import base64
import csv
import gzip
import io
import itertools
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from chassis.cells import no_formula
from services.anonymizer.contract import Column, TableLine
from services.requests.rights.contract import Language, Text
from services.requests.rights.package import page, spool
from services.requests.rights.package.files import private
from services.requests.rights.package.locked import ARCHIVE, FOR_A_KEY, REPORT, Digested, LockedPart, lock_up, spelled
from services.requests.rights.package.spool import Rows
from services.requests.rights.rules.about import About

# What a page can show and a person can read; everything stands in the files.
SHOWN_ROWS = 200
# Level 1 costs a third of the default's time and makes text a fifth larger.
_COMPRESSION = 1
_SMALL = 4096
_SOON_BUILT = 1 << 18
# What `no_formula` would change, as it stands in JSON lines. Four, each with a beginning of its own: one with all of them takes ten
# times as long.
_WIDE = rb"\xef\xbc[\x8b\x8d\x9d\xa0]"
_FORMULAS = [re.compile(each) for each in (rb'"(?:[=+\-@]|\\[tr])', rb";[=+\-@]", rb'\\[nrt"][=+\-@]', _WIDE)]
_NOT_IN_NAMES = re.compile(r"[^\w.() +@-]")
PORTABLE = "wardline-portability/1"
HIDDEN = "[skyddad uppgift / protected]"

_COLUMNS = TypeAdapter(list[Column])
Written = Callable[[TableLine, Iterator[bytes]], Iterator[bytes]]


@dataclass(frozen=True)
class Source:
    """What was collected from one store, and where it is kept: itself, if it is little, or its file."""

    store: str
    label: Text
    step: UUID
    kept: Path | bytes = field(repr=False)
    counts: dict[str, int]


@dataclass(frozen=True)
class Contents:
    """Everything a package says. `key` opens the spools.

    hidden: elements that are not shown (where a protected person lives) · portable: the package is for another service to
    read, and says in `portability.json` what it holds · paper: the report is printed, and shows every row.
    """

    request: UUID
    language: Language
    about: About
    sources: Sequence[Source]
    key: bytes
    hidden: frozenset[str] = frozenset()
    portable: bool = False
    paper: bool = False
    _read: dict[UUID, Sequence[TableLine | Rows]] = field(default_factory=dict, repr=False)

    @property
    def is_little(self) -> bool:
        return all(isinstance(one.kept, bytes) for one in self.sources)

    @property
    def is_soon_built(self) -> bool:
        """In milliseconds, if nobody's own words are stretched for it."""
        return self.is_little and sum(len(one.kept) for one in self.sources) <= _SOON_BUILT

    def lost(self) -> list[UUID]:
        """The steps of which nothing is kept any more."""
        return [one.step for one in self.sources if isinstance(one.kept, Path) and not one.kept.exists()]

    def parts(self, source: Source) -> Iterable[TableLine | Rows]:
        """What is little is opened once, though report and archive each go through it."""
        if source.step not in self._read and isinstance(source.kept, bytes):
            self._read[source.step] = list(spool.parts(source.kept, self.key, source.step))
        return self._read.get(source.step) or spool.parts(source.kept, self.key, source.step)

    def tables(self, source: Source) -> Iterator[tuple[TableLine, Iterator[bytes]]]:
        """Each table of a source with its rows; whatever of them nobody takes is passed over."""
        for table, rows in _tables(self.parts(source)):
            places = [place for place, column in enumerate(table.columns) if column.element in self.hidden]
            yield table, (_without(lines, places) for lines in rows) if places else rows


@dataclass(frozen=True)
class Built:
    path: Path
    bytes: int
    sha256: str


def build(target: Path, contents: Contents, words: str, written: Callable[[Built], None] = lambda _: None) -> Built:
    """Writes the locked file to the disk. Blocks: run it in a thread. words: what it opens with (`lock`). written: is told of it while the disk still works."""
    how, key = lock_up(contents.request, words)
    said = spelled(how)
    before, after = page.shell(contents.language, said, for_a_key=how["format"] == FOR_A_KEY)
    report = page.report(contents.language, contents.about, list(_shown(contents))).encode()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with private(target) as file:
        out = Digested(file)
        out.write(before.encode())
        part = LockedPart(out, key, said, REPORT)
        part.write(gzip.compress(report, _COMPRESSION))
        part.close()
        part = LockedPart(out, key, said, ARCHIVE)
        _archive(part, contents, report)
        part.close()
        out.write(after.encode())
        file.flush()
        built = Built(target, out.bytes, out.sha256.hexdigest())
        written(built)
        os.fsync(file.fileno())
    return built


def portable(out: Any, contents: Contents) -> None:
    """The archive alone, as a ZIP, into something that is written like a file."""
    report = page.report(contents.language, contents.about, list(_shown(contents))).encode()
    _archive(out, contents, report)


def _archive(out: Any, contents: Contents, report: bytes) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as archive:
        archive.writestr("report.html", report)
        archive.writestr("about.json", _spelled(contents.about))
        if contents.portable:
            archive.writestr("portability.json", orjson.dumps(_manifest(contents), option=orjson.OPT_INDENT_2))
        for source in contents.sources:
            _members(archive, contents, source, "json", _as_json)
            _members(archive, contents, source, "csv", _as_csv)


_about: list[tuple[About, bytes]] = []


def _spelled(about: About) -> bytes:
    """The same in every package while one book is in force."""
    if not _about or _about[0][0] is not about:
        _about[:] = [(about, orjson.dumps(about.model_dump(mode="json"), option=orjson.OPT_INDENT_2))]
    return _about[0][1]


def _manifest(contents: Contents) -> dict[str, Any]:
    """What another service reads first; docs/portability.md is the format."""
    files = [
        {"store": source.store, "table": table, "file": f"json/{source.store}/{table}.json", "rows": count}
        for source in contents.sources
        for table, count in source.counts.items()
    ]
    return {
        "format": PORTABLE,
        "request": str(contents.request),
        "policy_version": contents.about.policy_version,
        "controller": contents.about.controller.name,
        "files": files,
    }


def _members(archive: zipfile.ZipFile, contents: Contents, source: Source, format: str, written: Written) -> None:
    """One file for each table of a store, in one format."""
    taken = set[str]()
    for table, rows in contents.tables(source):
        if table.file:
            # Once, and not a second time among the tables of the other format. Whatever the store calls it, it lies below `files/`.
            if format == "json":
                _member(archive, source, f"files/{source.store}/{_free(_named(table.file), taken)}", _as_file(rows))
        else:
            _member(archive, source, f"{format}/{source.store}/{table.table}.{format}", written(table, rows))


def _named(file: str) -> str:
    """Whatever unpacks it, on whichever system, puts it there and shows all of its name: no path, no sign that turns a text round."""
    return _NOT_IN_NAMES.sub("_", Path(file).name).lstrip(".") or "_"


def _free(name: str, taken: set[str]) -> str:
    """Two days may have a recording of one name each, and to some systems A and a are one letter."""
    path, free = Path(name), name
    for number in itertools.count(2):
        if free.lower() not in taken:
            break
        free = f"{path.stem} ({number}){path.suffix}"
    taken.add(free.lower())
    return free


def _member(archive: zipfile.ZipFile, source: Source, name: str, pieces: Iterator[bytes]) -> None:
    if isinstance(source.kept, bytes):
        content = b"".join(pieces)
        # Of what is small, making it smaller costs more than it saves.
        archive.writestr(name, content, zipfile.ZIP_STORED if len(content) < _SMALL else None)
        return
    with archive.open(name, "w", force_zip64=True) as member:
        for piece in pieces:
            member.write(piece)


def _tables(parts: Iterable[TableLine | Rows]) -> Iterator[tuple[TableLine, Iterator[bytes]]]:
    """Each table with its rows; whatever of them nobody takes is passed over."""
    number = 0

    def begun(part: TableLine | Rows) -> int:
        nonlocal number
        number += isinstance(part, TableLine)
        return number

    for _, group in itertools.groupby(parts, begun):
        yield _headed(group)


def _headed(parts: Iterator[Any]) -> tuple[TableLine, Iterator[bytes]]:
    table: TableLine = next(parts)
    return table, (rows.lines for rows in parts)


def _without(lines: bytes, places: Sequence[int]) -> bytes:
    """The same rows with a mark in the place of what is not shown."""
    rows = _values(lines)
    for row in rows:
        for place in places:
            row[place] = HIDDEN if row[place] is not None else None
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def _as_file(rows: Iterator[bytes]) -> Iterator[bytes]:
    """A file that belongs to a table's rows, whose own rows are its pieces."""
    return (base64.b64decode(piece) for lines in rows for (piece,) in _values(lines))


def _as_json(table: TableLine, rows: Iterator[bytes]) -> Iterator[bytes]:
    """The lines are JSON already: they are joined, not read."""
    yield b'{"table":%s,"columns":%s,"rows":[' % (orjson.dumps(table.table), _COLUMNS.dump_json(table.columns))
    between = b"\n"
    for lines in rows:
        yield between + lines[:-1].replace(b"\n", b",\n")
        between = b",\n"
    yield b"\n]}\n"


def _as_csv(table: TableLine, rows: Iterator[bytes]) -> Iterator[bytes]:
    """UTF-8 with the mark by which spreadsheets know it."""
    yield "\ufeff".encode() + _csv([[column.name for column in table.columns]])
    for lines in rows:
        values = _values(lines)
        yield _csv(
            [[no_formula(cell) for cell in row] for row in values]
            if any(each.search(lines) for each in _FORMULAS)
            else values
        )


def _csv(rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _values(lines: bytes) -> list[list[Any]]:
    return orjson.loads(b"[" + lines[:-1].replace(b"\n", b",") + b"]")


def _shown(contents: Contents) -> Iterator[page.StorePart]:
    for source in contents.sources:
        tables = []
        for table, rows in contents.tables(source):
            if table.file:
                continue
            first: list[list[Any]] = []
            for lines in rows:
                cut = lines if contents.paper else _first_lines(lines, SHOWN_ROWS - len(first))
                first += _values(cut) if cut else []
            count = source.counts.get(table.table, len(first))
            tables.append(page.TablePart(table, first, count, f"{source.store}/{table.table}"))
        yield page.StorePart(source.label, tables)


def _first_lines(lines: bytes, wanted: int) -> bytes:
    stop = 0
    for _ in range(wanted):
        stop = lines.find(b"\n", stop) + 1
        if stop == len(lines):
            return lines
    return lines[:stop]
