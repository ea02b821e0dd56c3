"""The kinds of files that hold records: how each is read, and rewritten without some of them.

A *piece* is one file with records in it (a sidecar, a day's log, a bucket of the lake). Each record has a mark that stays the same
when others around it go, so that doing something twice is the same as doing it once. Rewriting is atomic: written beside, flushed
to the disk, renamed over. A log that another process still appends to must be rotated first: it would go on in the old file.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from services.anonymizer.connectors.files.leaving import Leave
from services.anonymizer.connectors.files.standing import Standing
from services.anonymizer.contract import StoreDrifted
from services.anonymizer.datamap import Store, Table, anchors_in
from services.anonymizer.settings import Settings

if TYPE_CHECKING:
    import polars as pl

OWN = ".wardline"
"""Where Wardline keeps its journal and what it preserves, inside the store's folder; no part of the store's own view."""

Row = dict[str, Any]
Marks = set[str]


@dataclass(frozen=True)
class Edit:
    """What one column of one record says afterwards (None: nothing), and the words that were struck from a text."""

    value: str | None
    struck: tuple[str, ...] = ()


Edits = dict[str, dict[str, Edit]]
"""mark → column → edit."""


class Format(Protocol):
    """All that tells one kind of store of records from another; `docs/connectors.md` says how to write one.

    versions: a mark is the id of a version, and belongs into the evidence · gives_back: all that belongs to a record can be handed over
    by us; else people fetch it from the store.
    """

    versions: bool
    gives_back: bool

    def pieces(self, root: Path, values: set[str] | None = None) -> Iterator[Path]:
        """Where records are, old versions included, each a name below `root`; with `values`, at least where one of them is named."""
        ...

    def naming(self, pieces: list[Path], table: Table, values: set[str]) -> list[Path]:
        """At least those of the pieces in which one of the values stands, where that is told faster than by reading each."""
        ...

    def read(self, path: Path, table: Table, values: set[str] | None = None) -> Iterable[tuple[str, Row]]:
        """The records of a piece under their marks; with `values`, at least those that name one of them. None when it is gone."""
        ...

    def rewrite(self, path: Path, table: Table, gone: Marks, edits: Edits, leave: Leave) -> None:
        """Take records away, and change columns of others. A piece left with none goes; one that is gone already stays gone.
        `leave` is called when everything is prepared, just before the old content goes."""
        ...

    def put_back(self, path: Path, aside: Path) -> None:
        """What a killed run had moved aside, so that it is done again from the start."""
        ...

    def copy(self, path: Path, table: Table, marks: Marks, target: Path) -> None:
        """Put these records, and what belongs to them, into the folder `target`, unless they are there."""
        ...

    def discard(self, folder: Path) -> None:
        """Remove what `copy` put there."""
        ...

    def pending(self, gone: list[str]) -> date | None:
        """The day by which a vendor will really have removed the last of these pieces; None when nothing is left of them."""
        ...

    def faults(self) -> AbstractContextManager[None]:
        """Around all of the above: a client's own errors come out of it as OSError (away, refused, full) or StoreDrifted."""
        ...

    def close(self) -> None: ...


class Folder:
    """What formats of real files have in common."""

    ending, versions, gives_back = "", False, True

    def __init__(self, store: Store, settings: Settings) -> None:
        """A folder needs nothing beside its place."""

    def pieces(self, root: Path, values: set[str] | None = None) -> Iterator[Path]:
        found = list[Path]()
        for folder, within, names in os.walk(root, onerror=_unless_gone):
            within[:] = [name for name in within if name != OWN]
            found += [Path(folder, name) for name in names if name.endswith(self.ending)]
        yield from sorted(found)

    def naming(self, pieces: list[Path], table: Table, values: set[str]) -> list[Path]:
        return pieces

    def put_back(self, path: Path, aside: Path) -> None:
        """The sidecar last: with it a record is back."""
        for part, kept in zip(self._parts(path), self._parts(aside), strict=True):
            if kept.exists() and part.exists() and part.samefile(kept):
                kept.unlink()  # it had not left yet
            elif kept.exists():
                part.parent.mkdir(parents=True, exist_ok=True)
                kept.replace(part)

    def swap(self, path: Path, leave: Leave, write: Callable[[Path], object] | None = None) -> None:
        """The old content moves aside, for nothing or for what `write` writes; it goes when what is held of it is preserved."""
        parts, kept = self._parts(path), self._parts(leave.aside)
        fresh = written(path, write) if write else None
        leave.aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            for part, aside in reversed([*zip(parts, kept, strict=True)]):
                if part.exists():
                    os.link(part, aside) if fresh else part.replace(aside)
            if fresh:
                fresh.replace(path)
            sync(path.parent)
        except BaseException:
            self.put_back(path, leave.aside)
            raise
        finally:
            if fresh:
                fresh.unlink(missing_ok=True)
        leave.moved(path, kept)

    def _parts(self, path: Path) -> list[Path]:
        """The files that one piece is, the one that makes it a piece last."""
        return [path]

    def discard(self, folder: Path) -> None:
        shutil.rmtree(folder)

    def pending(self, gone: list[str]) -> date | None:
        return None

    @contextmanager
    def faults(self) -> Iterator[None]:
        try:
            yield
        except orjson.JSONDecodeError:
            raise _UNREADABLE from None

    def close(self) -> None:
        return None


class _Json(Folder):
    def naming(self, pieces: list[Path], table: Table, values: set[str]) -> list[Path]:
        """By their bytes."""
        wanted = [value.encode() for value in values]
        return [path for path in pieces if _may_name(_bytes(path), wanted)]


class Recordings(_Json):
    """A sidecar per recording and version; the sound beside it goes where the sidecar goes."""

    ending = ".json"

    def read(self, path: Path, table: Table, values: set[str] | None = None) -> list[tuple[str, Row]]:
        raw = path.read_bytes() if path.exists() else b""
        if not raw or (values is not None and not _may_name(raw, [value.encode() for value in values])):
            return []
        return [(path.stem, typed(orjson.loads(raw), table))]

    def rewrite(self, path: Path, table: Table, gone: Marks, edits: Edits, leave: Leave) -> None:
        if path.stem in gone and path.exists():
            self.swap(path, leave)
            for folder in (path.parent, path.parent.parent):
                if folder.name == ".versions" or re.fullmatch(r"\d{4}-\d\d-\d\d", folder.name):
                    _remove_if_empty(folder)
        elif path.stem in edits and path.exists():
            changed = _edited(orjson.loads(path.read_bytes()), edits[path.stem])
            self.swap(path, leave, lambda fresh: fresh.write_bytes(orjson.dumps(changed)))

    def _parts(self, path: Path) -> list[Path]:
        return [path.with_suffix(".wav"), path]

    def copy(self, path: Path, table: Table, marks: Marks, target: Path) -> None:
        for part in (path.with_suffix(".wav"), path):
            kept = target / part.name
            if path.stem in marks and part.exists() and not kept.exists():
                os.link(part, kept)


class JsonLines(_Json):
    """One JSON object a line; its mark is a hash of the line."""

    ending = ".jsonl"

    def read(self, path: Path, table: Table, values: set[str] | None = None) -> Iterable[tuple[str, Row]]:
        wanted = [value.encode() for value in values] if values is not None else None
        return (
            (_mark(line), typed(orjson.loads(line), table))
            for line in self._lines(path)
            if wanted is None or _may_name(line, wanted)
        )

    def rewrite(self, path: Path, table: Table, gone: Marks, edits: Edits, leave: Leave) -> None:
        lines = self._lines(path)
        kept = [self._changed(line, edits) for line in lines if _mark(line) not in gone]
        if kept == lines:
            return
        self.swap(path, leave, (lambda fresh: fresh.write_bytes(b"\n".join([*kept, b""]))) if kept else None)

    def copy(self, path: Path, table: Table, marks: Marks, target: Path) -> None:
        held = [line for line in self._lines(path) if _mark(line) in marks]
        kept = target / path.name
        if held and not kept.exists():
            replace(kept, lambda fresh: fresh.write_bytes(b"\n".join([*held, b""])))

    def _changed(self, line: bytes, edits: Edits) -> bytes:
        found = edits.get(_mark(line))
        return orjson.dumps(_edited(orjson.loads(line), found)) if found else line

    def _lines(self, path: Path) -> list[bytes]:
        return [line for line in path.read_bytes().split(b"\n") if line.strip()] if path.exists() else []


@dataclass(frozen=True)
class _Whole:
    """A small file: all its rows, and every value by which they name somebody."""

    rows: "pl.DataFrame"
    named: frozenset[str | None]


class Parquet(Folder):
    """A lake of Parquet files; only the files that hold a person's rows are rewritten. The mark is the declared key."""

    ending = ".parquet"

    def __init__(self, store: Store, settings: Settings) -> None:
        super().__init__(store, settings)
        self._standing = Standing[_Whole]()

    @cached_property
    def polars(self) -> Any:
        # Only the process that works on a lake loads it, which is not the service's own.
        import polars

        return polars

    def naming(self, pieces: list[Path], table: Table, values: set[str]) -> list[Path]:
        """By what is remembered of small files, and one scan of the others: to open each of many files for itself takes five times as long.
        Of a lake in which that fails, since a file just went or is drifted, each is read."""
        try:
            standing = self._standing.among(pieces, lambda path: self._whole(path, table))
            named = {path for path, whole in standing.items() if not values.isdisjoint(whole.named)}
            return sorted(named.union(self._scanned([path for path in pieces if path not in standing], table, values)))
        except (self.polars.exceptions.PolarsError, OSError):
            return pieces

    def _whole(self, path: Path, table: Table) -> "_Whole | None":
        """None of a file that only looks small, or in which what names somebody is no text: whoever reads that one is told."""
        pl = self.polars
        rows = pl.read_parquet(path, n_rows=_FEW + 1, glob=False, hive_partitioning=False)
        columns = [rows.get_column(name) for name in table.identifying]
        if len(rows) > _FEW or any(column.dtype != pl.String for column in columns):
            return None
        return _Whole(rows, frozenset(chain(*columns)))

    def _scanned(self, pieces: list[Path], table: Table, values: set[str]) -> list[Path]:
        if not pieces:
            return []
        frame = self.polars.scan_parquet(pieces, glob=False, hive_partitioning=False, include_file_paths=_PIECE)
        named = frame.select(_PIECE, *table.identifying).filter(self._named(table, values))
        found = named.select(self.polars.col(_PIECE).unique())
        return [*map(Path, found.collect(optimizations=self._read_first, engine="streaming").to_series())]

    def read(self, path: Path, table: Table, values: set[str] | None = None) -> Iterator[tuple[str, Row]]:
        if path.exists():
            for some in self._batches(path, table, values):
                for row in some.iter_rows(named=True):
                    yield row.pop(_MARK), row

    def _batches(self, path: Path, table: Table, values: set[str] | None) -> "Iterable[pl.DataFrame]":
        """Some rows at a time: a file may hold millions of one person. Whoever asks for all of a file, as verification does, is given what
        is on the disk, and not what is remembered of it."""
        if values is None:
            frame = self._scan(path, table)
        elif whole := self._standing.of(path):
            return [whole.rows.filter(self._named(table, values)).with_columns(self._key(table))]
        else:
            frame = self._scan(path, table).filter(self._named(table, values))
        return frame.collect_batches(chunk_size=_ROWS_AT_ONCE, maintain_order=True, optimizations=self._read_first)

    def _named(self, table: Table, values: set[str]) -> Any:
        pl = self.polars
        return pl.any_horizontal([pl.col(name).is_in(sorted(values)) for name in table.identifying])

    @property
    def _read_first(self) -> Any:
        """Looking for 13 to 100 values while it reads takes Polars ten times as long as looking afterwards."""
        return self.polars.QueryOptFlags(predicate_pushdown=False)

    def rewrite(self, path: Path, table: Table, gone: Marks, edits: Edits, leave: Leave) -> None:
        if not path.exists():
            return
        pl = self.polars
        kept = self._scan(path, table).filter(~pl.col(_MARK).is_in(sorted(gone)))
        for (column, value), marks in _by_value(edits).items():
            named = pl.col(_MARK).is_in(sorted(marks))
            kept = kept.with_columns(pl.when(named).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))
        kept = kept.drop(_MARK)
        is_left = kept.select(pl.len()).collect().item() > 0
        self.swap(path, leave, kept.sink_parquet if is_left else None)
        _remove_if_empty(path.parent)

    def copy(self, path: Path, table: Table, marks: Marks, target: Path) -> None:
        kept = target / "-".join(path.parts[-3:])
        if path.exists() and not kept.exists():
            held = self._scan(path, table).filter(self.polars.col(_MARK).is_in(sorted(marks))).drop(_MARK).collect()
            replace(kept, lambda fresh: held.write_parquet(fresh))

    @contextmanager
    def faults(self) -> Iterator[None]:
        try:
            yield
        except self.polars.exceptions.PolarsError as fault:
            # Polars tells a full disk in words alone.
            if told := re.search(r"os error (\d+)", str(fault)):
                raise OSError(int(told.group(1)), "refused") from None
            raise _UNREADABLE from None

    def _scan(self, path: Path, table: Table) -> Any:
        return self.polars.scan_parquet(path, hive_partitioning=False).with_columns(self._key(table))

    def _key(self, table: Table) -> Any:
        pl = self.polars
        return pl.concat_str([pl.col(name).cast(pl.String) for name in table.key], separator="|").alias(_MARK)


_MARK, _PIECE, _ROWS_AT_ONCE, _FEW = "wardline_mark", "wardline_piece", 100_000, 10_000
_UNREADABLE = StoreDrifted("A record cannot be read as the data map says.")


def replace(path: Path, write: Callable[[Path], object], leave: Callable[[], object] = lambda: None) -> None:
    """The new content, whole or not at all, and on the disk before anybody is told."""
    fresh = written(path, write)
    try:
        leave()
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync(path.parent)


def written(path: Path, write: Callable[[Path], object]) -> Path:
    """New content beside the old, on the disk. When the disk is full it goes again, and the old content was never touched."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        write(fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return fresh


def sync(folder: Path) -> None:
    """Makes renames and removals in a folder outlive a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _unless_gone(fault: OSError) -> None:
    if not isinstance(fault, FileNotFoundError):
        raise fault


def typed(row: Row, table: Table) -> Row:
    """Times as instants; whatever else as it is written. Raises StoreDrifted for a record that does not say whose or when it is,
    names somebody by what is no text, which nobody would be found by, or a time without its zone: that would be another instant wherever it
    is read."""
    if not isinstance(row, dict) or row.get(table.tenant) is None or row.get(table.at) is None:
        raise _UNREADABLE
    if not all(isinstance(row.get(name), str | None) for name in table.identifying):
        raise _UNREADABLE
    times = {table.at, *(anchors_in(table, anchor)[0].column for anchor in table.anchors)}
    return row | {name: _instant(row[name]) for name in times if row.get(name)}


def _instant(written: Any) -> datetime:
    try:
        at = datetime.fromisoformat(written)
    except (TypeError, ValueError):
        raise _UNREADABLE from None
    if at.tzinfo is None:
        raise _UNREADABLE
    return at.astimezone(UTC)


def _bytes(path: Path) -> bytes:
    """Nothing of a file that just went."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _may_name(raw: bytes, wanted: list[bytes]) -> bool:
    """JSON with an escape in it may spell any of them (`\\u00e5`), and is always read."""
    return b"\\" in raw or any(value in raw for value in wanted)


def _mark(line: bytes) -> str:
    return hashlib.blake2b(line.strip(), digest_size=16).hexdigest()


def _edited(row: Row, edits: dict[str, Edit]) -> Row:
    return row | {column: edit.value for column, edit in edits.items()}


def _by_value(edits: Edits) -> dict[tuple[str, str | None], Marks]:
    """Many records say the same afterwards: usually nothing."""
    found: dict[tuple[str, str | None], Marks] = {}
    for mark, columns in edits.items():
        for column, edit in columns.items():
            found.setdefault((column, edit.value), set()).add(mark)
    return found


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
