"""Anonymous: how many, by day, prefix, area and type, where each group has at least k different people on either side.

No pseudonym is left at all. A group is counted over *all* rows that go together, never batch by batch: different people do not add
up. Before anything is called anonymous, what would be released is counted again by another engine, straight from the rows; and where
the two don't agree that every group is large enough, nothing is released.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from services.anonymizer.transforms import fields, numbers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BY = ("day", "prefix", "area", "type")
COUNT = "count"
_LEAST, _MOST = 1 << 16, 1 << 20  # rows that are counted again at a time
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
    """Every released group, counted again from the full rows: some of them at a time, and not by the engine that made the counts.
    Whoever stands in a group is told apart until there are k of them. Raises NotAnonymous."""
    import numpy as np

    size, numbered = len(released), _numbering(released)
    counted, sides = np.zeros(size, np.int64), [_People(name, size, k) for name in groups.people]
    for some in _portions(rows):
        group = numbered(some)
        counted += np.bincount(group + 1, minlength=size + 1)[1:]
        for side in sides:
            side.see(some, group)
    if not np.array_equal(counted, released[COUNT].to_numpy()):
        raise NotAnonymous("the released counts are not those of the rows")
    # A side that has nobody at all hides nobody; but the first always has somebody.
    if sides[0].few.any() or any(len(side.group) for side in sides):
        raise NotAnonymous(f"a group has fewer than {k} different people")


class _People:
    """Who stands on one side of each group that has fewer than k there so far: `few`. Of the others nobody is remembered."""

    def __init__(self, name: str, size: int, k: int) -> None:
        import numpy as np

        self.name, self.k, self.few = name, k, np.ones(size, bool)
        self.group, self.person = np.zeros(0, np.int64), np.zeros(0, np.uint64)

    def see(self, rows: "pa.Table", group: "np.ndarray") -> None:
        import numpy as np

        here = np.flatnonzero(np.append(self.few, False)[group])  # its last place answers for -1
        if not len(here):
            return
        person = rows[self.name].take(here)
        there = person.is_valid().to_numpy()
        group = np.concatenate([self.group, group[here][there]])
        person = np.concatenate([self.person, person.drop_null().to_numpy()])
        order = np.lexsort((person, group))
        group, person = group[order], person[order]
        fresh = np.ones(len(group), bool)
        fresh[1:] = (group[1:] != group[:-1]) | (person[1:] != person[:-1])
        group, person = group[fresh], person[fresh]
        self.few &= np.bincount(group, minlength=len(self.few)) < self.k
        left = self.few[group]
        self.group, self.person = group[left], person[left]


def _portions(rows: "pa.Table") -> Iterator["pa.Table"]:
    """Small ones first: they are enough for most groups."""
    at, size = 0, _LEAST
    while at < len(rows):
        yield rows.slice(at, size)
        at, size = at + size, min(2 * size, _MOST)


def _numbering(released: "pa.Table") -> Callable[["pa.Table"], "np.ndarray"]:
    """What gives each row the number of its released group; -1 where that is suppressed."""
    import numpy as np
    import pyarrow.compute as pc

    values = {name: pc.unique(released[name]) for name in BY}

    def code(rows: "pa.Table") -> "np.ndarray":
        """One number for the four together; a value that no released group has is 0."""
        found = np.zeros(len(rows), np.int64)
        for name, of in values.items():
            found *= len(of) + 1
            found += pc.fill_null(pc.index_in(rows[name], of), -1).to_numpy() + 1
        return found

    span, wanted = math.prod(len(of) + 1 for of in values.values()), code(released)
    if span <= _TABLE:
        table = np.full(span, -1, np.int64)
        table[wanted] = np.arange(len(wanted))
        return lambda rows: table[code(rows)]
    order = np.argsort(wanted)

    def searched(rows: "pa.Table") -> "np.ndarray":
        asked = code(rows)
        place = order[np.searchsorted(wanted, asked, sorter=order).clip(0, len(order) - 1)]
        return np.where(wanted[place] == asked, place, -1)

    return searched


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
