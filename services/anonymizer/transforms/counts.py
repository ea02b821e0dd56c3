"""Anonymous: how many, by day, prefix, area and type, where each group has at least k different people on either side.

No pseudonym is left at all. A group is counted over *all* rows that go together, never batch by batch: different people do not add
up. Before anything is called anonymous, what would be released is counted again by another engine, straight from the rows; and where
the two don't agree that every group is large enough, nothing is released.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from services.anonymizer.transforms import fields, numbers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BY = ("day", "prefix", "area", "type")
COUNT = "count"
_LOOKED_AT = 16  # times k of a group's rows, before all of them
_TABLE = 1 << 24  # ways to be grouped, up to which they are looked up rather than searched
NOBODY = ""
"""The prefix where there is no other party, as in a data session."""


class NotAnonymous(Exception):
    """A group that would have been released has fewer people than it must: nothing may be released."""


@dataclass(frozen=True)
class Groups:
    """Which columns of a table make the groups, and whom they must hide. `prefix`: the column of numbers told by their prefix."""

    at: str
    prefix: str
    area: str
    type: str
    people: tuple[str, ...]
    zone: ZoneInfo


@dataclass(frozen=True)
class Counts:
    """`released`: (day, prefix, area, type, count). What was suppressed is told as two numbers."""

    released: "pa.Table"
    k: int
    suppressed_groups: int
    suppressed_rows: int


def coarse(batch: "pa.RecordBatch", groups: Groups) -> "pa.RecordBatch":
    """The rows as their groups, with the people as numbers of their own: the pure kernel, batch by batch."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def plain(column: "pa.Array") -> "pa.Array":
        return pc.fill_null(column.cast(pa.string()), NOBODY)

    made = {
        "day": fields.days(batch.column(groups.at), groups.zone),
        "prefix": plain(numbers.prefixes(numbers.parsed(batch.column(groups.prefix)))),
        "area": plain(batch.column(groups.area)),
        "type": plain(batch.column(groups.type)),
    }
    return pa.RecordBatch.from_pydict(made | {name: _persons(batch.column(name)) for name in groups.people})


def anonymous(batches: Iterable["pa.RecordBatch"], groups: Groups, k: int) -> Counts:
    """The counts over all the batches together. Raises NotAnonymous."""
    import polars as pl
    import pyarrow as pa

    table = pa.Table.from_batches(batches)
    frame = pl.from_arrow(table)
    different = [pl.col(name).n_unique() - pl.col(name).has_nulls().cast(pl.UInt32) for name in groups.people]
    present = [pl.col(name).count() == 0 for name in groups.people[1:]]
    hidden = [different[0] >= k, *((each >= k) | none for each, none in zip(different[1:], present, strict=True))]
    cells = frame.group_by(BY).agg(pl.len().alias(COUNT), pl.all_horizontal(hidden).alias("hidden"))
    released = cells.filter("hidden").drop("hidden").sort(BY).to_arrow().cast(schema())
    check(released, table, groups, k)
    lost = cells.filter(~pl.col("hidden"))
    return Counts(released, k, len(lost), int(lost[COUNT].sum()))


def check(released: "pa.Table", rows: "pa.Table", groups: Groups, k: int) -> None:
    """Every released group, counted again from the full rows: by sorting them, and not by the engine that made the counts. That k
    different people stand among a group's first rows proves it; only where they don't are all of its rows looked at. Raises
    NotAnonymous."""
    import numpy as np

    group = _group_of(rows, released)
    inside = group >= 0
    group, size = group[inside], len(released)
    known = np.bincount(group, minlength=size)
    if not np.array_equal(known, released[COUNT].to_numpy()):
        raise NotAnonymous("the released counts are not those of the rows")
    # Sixteen bits are sorted by radix, several times faster than the comparisons that wider numbers need.
    order = np.argsort(group.astype(np.uint16) if size < 1 << 16 else group, kind="stable")
    place = np.arange(len(order)) - np.repeat(np.cumsum(known) - known, known)
    first = order[place < _LOOKED_AT * k]
    for side, name in enumerate(groups.people):
        column = rows[name].combine_chunks()
        there = column.is_valid().to_numpy(zero_copy_only=False)[inside]
        person = column.fill_null(0).to_numpy(zero_copy_only=False)[inside]
        small = np.flatnonzero(_different(group[first], person[first], there[first], size) < k)
        if len(small):
            again = np.isin(group, small)
            found = _different(group[again], person[again], there[again], size)[small]
            nobody = np.bincount(group[there], minlength=size)[small] == 0
            if np.any((found < k) & ~(nobody & (side > 0))):
                raise NotAnonymous(f"a group has fewer than {k} different people")


def _group_of(rows: "pa.Table", released: "pa.Table") -> "np.ndarray":
    """For each row the number of its released group; -1 where that is suppressed."""
    import numpy as np
    import pyarrow.compute as pc

    code, wanted = np.zeros(len(rows), np.int64), np.zeros(len(released), np.int64)
    absent, span = np.zeros(len(rows), bool), 1
    for name in BY:
        values = pc.unique(released[name])
        of_row = pc.fill_null(pc.index_in(rows[name], values), -1).to_numpy()
        absent |= of_row < 0
        code = code * (len(values) + 1) + of_row
        wanted = wanted * (len(values) + 1) + pc.index_in(released[name], values).to_numpy()
        span *= len(values) + 1
    code[absent] = -1
    if span <= _TABLE:
        table = np.full(span + 1, -1, np.int32)  # its last place answers for -1
        table[wanted] = np.arange(len(wanted))
        return table[code]
    order = np.argsort(wanted)
    place = np.searchsorted(wanted[order], code).clip(0, len(wanted) - 1)
    return np.where(wanted[order][place] == code, order[place], -1)


def _different(group: "np.ndarray", person: "np.ndarray", there: "np.ndarray", size: int) -> "np.ndarray":
    """How many different people each group has among these rows."""
    import numpy as np

    group, person = group[there], person[there]
    order = np.lexsort((person, group))
    group, person = group[order], person[order]
    fresh = np.ones(len(group), bool)
    fresh[1:] = (group[1:] != group[:-1]) | (person[1:] != person[:-1])
    return np.bincount(group[fresh], minlength=size)


def schema() -> "pa.Schema":
    import pyarrow as pa

    texts = [(name, pa.string()) for name in BY[1:]]
    return pa.schema([("day", pa.date32()), *texts, (COUNT, pa.int64())])


def _persons(column: "pa.Array") -> "pa.Array":
    """A number for each person: an E.164 number is its own; whatever else gets one beyond all of those, by its spelling."""
    import hashlib

    import numpy as np
    import pyarrow as pa

    read = numbers.parsed(column)
    value = read.value.copy()
    others = np.flatnonzero(~read.strict & ~read.null)
    if len(others):
        texts = column.take(pa.array(others)).cast(pa.string()).to_pylist()
        beyond = {text: _beyond(hashlib.blake2b(text.encode(), digest_size=8).digest()) for text in set(texts)}
        value[others] = [beyond[text] for text in texts]
    return pa.array(value, pa.uint64(), mask=read.null if read.null.any() else None)


def _beyond(digest: bytes) -> int:
    """Never equal to a telephone number, which has at most fifteen digits."""
    return int.from_bytes(digest, "big") | 1 << 63
