"""The kernel over a lake's files: row group by row group, in threads. Memory is threads × one row group, whatever the lake's size."""

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ENDING = ".parquet"


class Kernel(Protocol):
    """Pure work on one batch; `columns` is what it reads, `kept` those of them that it only passes on. `Transform` is one."""

    columns: list[str]
    kept: list[str]

    def counted(self, batch: "pa.RecordBatch") -> tuple["pa.RecordBatch", Counter[str]]: ...


def transform_file(source: Path, target: Path, kernel: Kernel, threads: int = 2) -> tuple[int, Counter[str]]:
    """(rows, fallbacks by column). The target is whole or not there; row groups keep their order."""
    fresh = target.with_name(f".{target.name}.new")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        rows, fallbacks = _written(source, fresh, kernel, threads)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    if fresh.exists():
        fresh.replace(target)
    return rows, fallbacks


def _written(source: Path, fresh: Path, kernel: Kernel, threads: int) -> tuple[int, Counter[str]]:
    import pyarrow.parquet as pq

    fallbacks, rows, writer = Counter[str](), 0, None
    groups = range(pq.read_metadata(source).num_row_groups)
    with ThreadPoolExecutor(threads) as pool:
        try:
            for made, counted in _in_order(pool, source, groups, kernel, threads):
                writer = writer or _writer(fresh, made.schema)
                writer.write_table(made, row_group_size=len(made) or 1)
                rows, fallbacks = rows + len(made), fallbacks + counted
        finally:
            if writer:
                writer.close()
    return rows, fallbacks


def files(source: Path, index: int = 0, of: int = 1) -> list[Path]:
    """The files of a lake that one of several workers does: each belongs to exactly one of them."""
    return sorted(source.rglob(f"*{ENDING}"))[index::of]


def _writer(path: Path, schema: "pa.Schema") -> "pq.ParquetWriter":
    """Ciphertext is written as it is: it does not get smaller, and a dictionary of it would only be tried and thrown away. Smallest and
    largest values are noted where a reader may skip by them, which is times and lengths. Arrow's own schema is left out, so that a
    dictionary in memory is read back as what it spells."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sealed = {field.name for field in schema if pa.types.is_fixed_size_binary(field.type)}
    told = [name for name in schema.names if name not in sealed]
    packed = {name: "none" if name in sealed else "zstd" for name in schema.names}
    ordered = [name for name in told if not pa.types.is_dictionary(schema.field(name).type)]
    return pq.ParquetWriter(
        path, schema, compression=packed, use_dictionary=told, write_statistics=ordered, store_schema=False
    )


def _in_order(
    pool: ThreadPoolExecutor, source: Path, groups: range, kernel: Kernel, ahead: int
) -> Iterator[tuple["pa.Table", Counter[str]]]:
    """Results as they are due; no more than `ahead` row groups are in hand at once."""
    waiting: deque = deque()
    for group in groups:
        waiting.append(pool.submit(_group, source, group, kernel))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _group(source: Path, group: int, kernel: Kernel) -> tuple["pa.Table", Counter[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # What is only passed on stays in the dictionary it was written in.
    with pq.ParquetFile(source, read_dictionary=kernel.kept) as file:
        table = file.read_row_group(group, columns=kernel.columns, use_threads=False)
    made, fallbacks = [], Counter[str]()
    for batch in table.combine_chunks().to_batches():
        one, counted = kernel.counted(batch)
        made.append(one)
        fallbacks += counted
    return pa.Table.from_batches(made), fallbacks
