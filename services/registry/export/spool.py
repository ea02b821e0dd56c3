"""The files between reading and rendering: one of JSON lines for each sheet, and `about.json`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

ABOUT = "about.json"


class Spool:
    """Writes the rows of one sheet; `count` says how many."""

    def __init__(self, folder: Path, sheet: str) -> None:
        self.count = 0
        self._file = _path(folder, sheet).open("wb")

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        self.count += 1


def rows(folder: Path, sheet: str) -> Iterator[dict[str, Any]]:
    with _path(folder, sheet).open("rb") as lines:
        for line in lines:
            yield orjson.loads(line)


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    (folder / ABOUT).write_bytes(orjson.dumps(about, option=orjson.OPT_SORT_KEYS))


def read_about(folder: Path) -> dict[str, Any]:
    return orjson.loads((folder / ABOUT).read_bytes())


def _path(folder: Path, sheet: str) -> Path:
    return folder / f"{sheet}.ndjson"
