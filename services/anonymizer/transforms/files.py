"""The kernel over a lake's files: row group by row group, in threads. Memory is threads × one row group, whatever the lake's size."""

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from services.anonymizer.transforms.kernel import Transform

if TYPE_CHECKING:
    import pyarrow as pa

ENDING = ".parquet"


def transform_file(source: Path, target: Path, transform: Transform, threads: int = 2) -> tuple[int, Counter[str]]:
    """(rows, fallbacks by column). The target is whole or not there; row groups keep their order."""
    import pyarrow.parquet as pq

    fresh, fallbacks, rows, writer = target.with_name(f".{target.name}.new"), Counter[str](), 0, None
    target.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(threads) as pool:
        groups = range(pq.read_metadata(source).num_row_groups)
        try:
            for made, counted in _in_order(pool, source, groups, transform, threads):
                # Pseudonyms are all different: a dictionary of them would only be tried and thrown away.
                told = [name for name in made.schema.names if not _is_pseudonym(made, name)]
                writer = writer or pq.ParquetWriter(fresh, made.schema, compression="zstd", use_dictionary=told)
                writer.write_table(made, row_group_size=len(made) or 1)
                rows, fallbacks = rows + len(made), fallbacks + counted
        finally:
            if writer:
                writer.close()
    if writer:
        fresh.replace(target)
    return rows, fallbacks


def files(source: Path, index: int = 0, of: int = 1) -> list[Path]:
    """The files of a lake that one of several workers does: each belongs to exactly one of them."""
    return sorted(source.rglob(f"*{ENDING}"))[index::of]


def _in_order(
    pool: ThreadPoolExecutor, source: Path, groups: range, transform: Transform, ahead: int
) -> Iterator[tuple["pa.Table", Counter[str]]]:
    """Results as they are due; no more than `ahead` row groups are in hand at once."""
    waiting: deque = deque()
    for group in groups:
        waiting.append(pool.submit(_group, source, group, transform))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _group(source: Path, group: int, transform: Transform) -> tuple["pa.Table", Counter[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file:
        table = file.read_row_group(group, columns=list(transform.spec.columns), use_threads=False)
    made, fallbacks = [], Counter[str]()
    for batch in table.combine_chunks().to_batches():
        one, counted = transform.counted(batch)
        made.append(one)
        fallbacks += counted
    return pa.Table.from_batches(made), fallbacks


def _is_pseudonym(table: "pa.Table", name: str) -> bool:
    import pyarrow as pa

    return pa.types.is_fixed_size_binary(table.schema.field(name).type)
