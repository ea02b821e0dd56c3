"""What else is made coarse: times, lengths, cells, network and hardware addresses. Columns in, columns out."""

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_QUARTER = timedelta(minutes=15)
_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
_MINUTE_MS = 60_000
IPV4_KEPT, IPV6_KEPT = 24, 48
LOCAL = "local"


def hours(column: "pa.Array") -> "pa.Array":
    import pyarrow as pa

    us = _microseconds(column)
    return pa.array(us - us % _HOUR_US, pa.int64(), mask=_nulls(column)).cast(pa.timestamp("us", "UTC"))


def days(column: "pa.Array", zone: ZoneInfo) -> "pa.Array":
    """The calendar day in a zone: the same a clock on a wall there showed, through both changes of a year."""
    import pyarrow as pa

    us = _microseconds(column)
    local = us + _offsets(us, zone)
    return pa.array((local // _DAY_US).astype("int32"), pa.int32(), mask=_nulls(column)).cast(pa.date32())


def windows(column: "pa.Array", length: timedelta) -> "np.ndarray":
    """The window of that length in which each instant lies, by its number."""
    return _microseconds(column) // (length // _MICROSECOND)


def minutes(column: "pa.Array") -> "pa.Array":
    """A length in ms as whole minutes, begun ones counted: a call's exact length is as good as its name in another's log."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    return pa.array(-(-values // _MINUTE_MS), pa.int64(), mask=_nulls(column))


def cells(column: "pa.Array") -> "pa.Array":
    """`240-24-01-1234`: country, network and area stay, the cell goes."""
    return _extracted(column, r"^(\d+-\d+-\d+)-\d+$")


def vendors(column: "pa.Array") -> "pa.Array":
    """A MAC address's OUI; an address that was made up locally (its second bit says so) names no vendor."""
    import polars as pl

    bare = pl.Series(column).str.to_uppercase().str.replace_all(r"[^0-9A-F]", "")
    oui = bare.str.slice(0, 2) + ":" + bare.str.slice(2, 2) + ":" + bare.str.slice(4, 2)
    made_up = bare.str.slice(1, 1).is_in(list("2367ABEF"))
    said = pl.select(pl.when(bare.str.len_bytes() != 12).then(None).when(made_up).then(pl.lit(LOCAL)).otherwise(oui))
    return _strings(said.to_series())


def networks(column: "pa.Array") -> "pa.Array":
    """The first 24 bits of an IPv4 address, the first 48 of an IPv6 one; what is neither goes."""
    import pyarrow as pa

    coded = column.dictionary_encode() if not pa.types.is_dictionary(column.type) else column
    return pa.array([_network(text) for text in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)


def _network(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    kept = IPV4_KEPT if address.version == 4 else IPV6_KEPT
    return str(ipaddress.ip_network((address.packed, kept), strict=False))


def _extracted(column: "pa.Array", pattern: str) -> "pa.Array":
    import polars as pl

    return _strings(pl.Series(column).str.extract(pattern))


def _strings(series: "object") -> "pa.Array":
    import pyarrow as pa

    return series.to_arrow().cast(pa.string())


def _microseconds(column: "pa.Array") -> "np.ndarray":
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    return pc.fill_null(whole, 0).to_numpy(zero_copy_only=False)


def _nulls(column: "pa.Array") -> "np.ndarray | None":
    return column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None


def _offsets(us: "np.ndarray", zone: ZoneInfo) -> "np.ndarray | int":
    """How far a zone's clocks were ahead of UTC, at each instant. Within a month they change at most once: one number does for most."""
    import numpy as np

    if not len(us):
        return 0
    first, last = (_EPOCH + _MICROSECOND * int(each) for each in (us.min(), us.max()))
    changes = [one for year in range(first.year, last.year + 1) for one in _changes(zone, year) if first < one <= last]
    told = [int(one.astimezone(zone).utcoffset() / _MICROSECOND) for one in (first, *changes)]
    if not changes:
        return told[0]
    at = np.array([int((one - _EPOCH) / _MICROSECOND) for one in changes])
    return np.array(told)[np.searchsorted(at, us, side="right")]


@lru_cache(maxsize=256)
def _changes(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """The instants of a year (UTC) at which a zone's clocks were changed: on a quarter of an hour, as all are."""
    found = []
    day = datetime(year, 1, 1, tzinfo=UTC)
    while day.year == year:
        end = day + timedelta(days=1)
        if day.astimezone(zone).utcoffset() != end.astimezone(zone).utcoffset():
            at = day
            while at.astimezone(zone).utcoffset() == day.astimezone(zone).utcoffset():
                at += _QUARTER
            found.append(at)
        day = end
    return tuple(found)
