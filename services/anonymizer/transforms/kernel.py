"""`Transform(spec, keys).apply(batch)`: a record batch without its people. No I/O, no state, no clock.

What a spec does not name goes: a column that somebody adds to a table tomorrow is never let through by accident.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from services.anonymizer.transforms import fields, numbers
from services.anonymizer.transforms.keys import Keys

if TYPE_CHECKING:
    import pyarrow as pa

Result = Literal["pseudonymised", "delinked"]


class How(StrEnum):
    """`number` gives two columns: the pseudonym, and `<column>_prefix`, its country and operator."""

    number = "number"
    digest = "digest"
    prefix = "prefix"
    hour = "hour"
    day = "day"
    minutes = "minutes"
    cell = "cell"
    mac = "mac"
    ip = "ip"
    keep = "keep"


@dataclass(frozen=True)
class Spec:
    """`columns` in the order in which they stay."""

    result: Result
    columns: Mapping[str, How]
    zone: ZoneInfo


class Transform:
    def __init__(self, spec: Spec, keys: Keys) -> None:
        self.spec, self.keys, self.columns = spec, keys, list(spec.columns)
        self.kept = [name for name, how in spec.columns.items() if how is How.keep]

    def apply(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        return self.counted(batch)[0]

    def counted(self, batch: "pa.RecordBatch") -> tuple["pa.RecordBatch", Counter[str]]:
        """The batch, and per column how many values were no E.164 number and got a keyed digest."""
        import pyarrow as pa

        out: dict[str, pa.Array] = {}
        fallbacks: Counter[str] = Counter()
        for name, how in self.spec.columns.items():
            column = batch.column(name)
            if how is How.number:
                read = numbers.parsed(column)
                out[name], fallbacks[name] = numbers.pseudonyms(read, self.keys)
                out[f"{name}_prefix"] = numbers.prefixes(read)
            elif how is How.digest:
                out[name] = numbers.digests(column, self.keys)
            elif how is How.day:
                out[name] = fields.days(column, self.spec.zone)
            else:
                out[name] = _ALONE[how](column)
        return pa.RecordBatch.from_pydict(out), fallbacks


_ALONE: dict[How, Callable[["pa.Array"], "pa.Array"]] = {
    How.prefix: lambda column: numbers.prefixes(numbers.parsed(column)),
    How.hour: fields.hours,
    How.minutes: fields.minutes,
    How.cell: fields.cells,
    How.mac: fields.vendors,
    How.ip: fields.networks,
    How.keep: lambda column: column,
}
