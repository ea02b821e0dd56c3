"""What leaves a store's stream: of each table the whitelisted columns, as JSON lines. All else is dropped.

The stream (services.anonymizer.contract): an object announces a table or the end, an array is one row.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson

from chassis.errors import Unavailable
from services.requests.disclosure.rules import fields


@dataclass
class Extract:
    """One table's rows for one task: JSON lines, with the names of their columns."""

    table: str
    columns: list[tuple[int, str]]
    rows: int = 0
    lines: list[bytes] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        return b"".join(self.lines)


async def extracted(stream: AsyncIterator[bytes], category: str, subtype: str | None, *, keep: bool) -> list[Extract]:
    """The tables with something to disclose; `keep` False only counts. Raises Unavailable where the stream was cut."""
    found: list[Extract] = []
    counts: dict[str, int] | None = None
    async for line in _lines(stream):
        said = orjson.loads(line)
        if isinstance(said, list):
            found[-1].rows += 1
            if keep and found[-1].columns:
                found[-1].lines.append(_row(said, found[-1].columns))
        elif "table" in said:
            found.append(_table(said, category, subtype))
        else:
            counts = said["counts"]
    if counts is None or any(counts.get(one.table, 0) != one.rows for one in found):
        raise Unavailable("A store stopped in the middle of its answer.")
    return [one for one in found if one.columns and one.rows]


def _table(said: dict, category: str, subtype: str | None) -> Extract:
    columns = [(column["name"], column["element"]) for column in said["columns"]]
    kept = fields.disclosed(category, subtype, columns)
    return Extract(said["table"], [(at, columns[at][0]) for at in kept])


def _row(values: list, columns: list[tuple[int, str]]) -> bytes:
    return orjson.dumps({name: values[at] for at, name in columns}, option=orjson.OPT_APPEND_NEWLINE)


async def _lines(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
    if rest:
        yield rest
