"""Business time. Everything the law counts goes by `now()`; tokens, leases and heartbeats go by the machine's clocks."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

_file: Path | None = None
_seen: int | None = None
_offset = timedelta(0)


def use_file(path: Path | None) -> None:
    """Shift business time by the seconds written in `path`. Only development settings may call this."""
    global _file, _seen, _offset
    _file, _seen, _offset = path, None, timedelta(0)


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
    if _file is None:
        return timedelta(0)
    try:
        changed = os.stat(_file).st_mtime_ns
    except FileNotFoundError:
        return timedelta(0)
    if changed != _seen:
        _offset, _seen = timedelta(seconds=float(_file.read_text())), changed
    return _offset
