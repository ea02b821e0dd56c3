"""Business time. Everything the law counts goes by `now()`; tokens, leases and heartbeats go by the machine's clocks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

_files: dict[object, Path] = {}
_seen: tuple[Path, int] | None = None
_offset = timedelta(0)


@contextmanager
def shifted_by(path: Path | None) -> Iterator[None]:
    """As long as this lasts, business time is shifted by the seconds written in `path`. Only development settings may name one.

    Where several apps run in one process the last that named a file counts, and one that ends takes nobody else's away.
    """
    me = object()
    if path:
        _files[me] = path
    try:
        yield
    finally:
        _files.pop(me, None)


def now() -> datetime:
    """The business instant, aware, in UTC."""
    return datetime.now(UTC) + _shift()


def set_offset(path: Path, offset: timedelta) -> None:
    """Move the clock of every process that reads `path`; readers never see a half-written number."""
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(str(offset.total_seconds()))
    fresh.replace(path)


def _shift() -> timedelta:
    global _seen, _offset
    if not _files:
        return timedelta(0)
    file = next(reversed(_files.values()))
    try:
        changed = file, os.stat(file).st_mtime_ns
    except FileNotFoundError:
        return timedelta(0)
    if changed != _seen:
        # Half written, it is read again at the next look; until then the clock goes on as it was.
        with suppress(ValueError, OverflowError):
            _offset, _seen = timedelta(seconds=float(file.read_text())), changed
    return _offset
