"""A lake, its texts and its counts: what the transforms cost, beside what others would write.

Nothing runs for these but this process: files are made under /tmp, put through the product's own kernel and thrown away. `--scale` (1
is twenty million rows) makes them smaller. Comparison engines are the extra `bench`; without them their figures are left out.
"""

import hashlib
import hmac
import importlib.util
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from benchmarks import corpus
from benchmarks.house import House
from benchmarks.row import ROUNDS, Row
from services.anonymizer.transforms import counts, keys
from services.anonymizer.transforms.files import transform_file
from services.anonymizer.transforms.kernel import How, Spec, Transform

if TYPE_CHECKING:
    import pyarrow as pa

FULL, GROUP = 20_000_000, 500_000
SIZES = (100_000, 1_000_000, 10_000_000)
SCALE = "WARDLINE_BENCH_SCALE"
ZONE = ZoneInfo("Europe/Stockholm")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
DELINKED = Spec(
    "delinked",
    {
        "started_at": How.hour,
        "kind": How.keep,
        "caller": How.number,
        "callee": How.number,
        "area": How.keep,
        "duration_ms": How.minutes,
    },
    ZONE,
)
GROUPS = counts.Groups("started_at", "callee", "area", "kind", ("caller", "callee"), ZONE)


def sweep_lake(_: House) -> Row:
    """Every number under a fresh key with its prefix, hours, whole minutes; call, invoice and agent gone. Rows a second."""
    import polars as pl

    rows = full_rows()
    with _lake(rows) as lake:
        out, threads = lake.with_name("out.parquet"), len(os.sched_getaffinity(0))
        transform = Transform(DELINKED, keys.fresh())
        ours, copy = _in_turn(
            lambda: transform_file(lake, out, transform, threads), lambda: pl.scan_parquet(lake).sink_parquet(out)
        )
        more = {"rows": rows} | _against(lake, rows / median(ours)) | _in_memory(lake, rows / median(ours))
        more["alone_peak_mb"] = _peak_alone(lake, out)
        growth = growing(SIZES, rows, lambda size: _grown(size, transform))
    return Row(
        "sweep_lake",
        rows / median(ours),
        rows / median(copy),
        "rows/s",
        peak_here(),
        "Polars' copy of the same file, nothing changed",
        more | growth,
    )


def kcheck(_: House) -> Row:
    """The second count over all rows, beside copying them. Seconds."""
    import polars as pl

    rows = full_rows()
    growth = growing(SIZES, rows, _checked)
    with _lake(rows) as lake:
        coarse = _coarse(lake)
        made = counts.anonymous(coarse.to_batches(), GROUPS, 10)
        out = lake.with_name("out.parquet")
        tracemalloc.start()  # what the process had before, and reuses, would hide it
        counts.check(made.released, coarse, GROUPS, 10)
        growth_mb = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        ours, copy = _in_turn(
            lambda: counts.check(made.released, coarse, GROUPS, 10), lambda: pl.scan_parquet(lake).sink_parquet(out)
        )
    told = {"rows": rows, "released": len(made.released), "suppressed_rows": made.suppressed_rows}
    told |= {"rows_mb": coarse.nbytes / 1e6, "growth_mb": growth_mb}
    beside = "Polars' copy of the same rows"
    return Row("kcheck", median(ours), median(copy), "s", peak_here(), beside, told | growth)


def _coarse(lake: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.Table.from_batches(counts.coarse(batch, GROUPS) for batch in pq.ParquetFile(lake).iter_batches(GROUP))


def _checked(rows: int) -> float:
    with _lake(rows) as lake:
        coarse = _coarse(lake)
    made = counts.anonymous(coarse.to_batches(), GROUPS, 10)
    return _timed(lambda: counts.check(made.released, coarse, GROUPS, 10))


def text(_: House) -> Row:
    """Texts a second through the whole cleaner, with whom the operator knows; recall and precision of each kind beside it."""
    from services.anonymizer.text.cleaning import Cleaner
    from services.anonymizer.text.known import Known

    texts, vocabulary = corpus.read()
    cleaner, written = Cleaner(Known(vocabulary)), [each.text for each in texts] * 20
    report, held_out = corpus.report(), corpus.report(corpus.HELD_OUT)
    figures: dict[str, Any] = {f"recall_{kind}": report.recall(kind) for kind in report.marked}
    figures |= {f"precision_{kind}": report.precision(kind) for kind in report.marked}
    figures |= {f"held_out_recall_{kind}": held_out.recall(kind) for kind in held_out.marked}
    figures |= {"leaked": len(report.leaked), "held_out_leaked": len(held_out.leaked), "held_out_texts": held_out.texts}
    theirs, beside = (
        (_presidio(written[: len(texts)]), "Presidio's pattern recognisers")
        if importlib.util.find_spec("presidio_analyzer")
        else (lambda: [_ADDRESS.sub("", one) for one in written], "one regular expression, for an e-mail address")
    )
    theirs()  # what is made at the first text is made before
    ours, least = _in_turn(lambda: [cleaner.clean(one) for one in written], theirs)
    reference = (len(texts) if "Presidio" in beside else len(written)) / median(least)
    return Row("text", len(written) / median(ours), reference, "texts/s", peak_here(), beside, figures)


def _presidio(written: list[str]) -> Callable[[], None]:
    """Its registry's own pattern recognisers, as they come for English: without a language model, and asking nobody over the network."""
    import tldextract
    from presidio_analyzer import RecognizerRegistry

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    recognisers = [each for each in registry.recognizers if each.name != "SpacyRecognizer"]

    def analyse() -> None:
        for one in written:
            for each in recognisers:
                each.analyze(one, each.supported_entities, None)

    return analyse


def _against(lake: Path, ours: float) -> dict[str, float]:
    """How often faster than who does the same work, file to file, with an HMAC for each number: pandas, as one would write it, over the
    first row group; DuckDB, in the two nested SHA-256 that an HMAC is made of, over the whole file, with all cores."""
    told, out = {}, lake.with_name("theirs.parquet")
    if importlib.util.find_spec("pandas"):
        rows = _first_group(lake, lake.with_name("first.parquet"))
        told["times_pandas_hmac"] = ours / (rows / _timed(lambda: _by_pandas(lake.with_name("first.parquet"), out)))
    if importlib.util.find_spec("duckdb"):
        told["times_duckdb_nested_hmac"] = ours / (full_rows() / _timed(lambda: _by_duckdb(lake, out)))
    return told


def _by_pandas(lake: Path, out: Path) -> None:
    import pandas as pd

    calls = pd.read_parquet(lake, columns=list(DELINKED.columns))
    for column in ("caller", "callee"):
        calls[f"{column}_prefix"] = calls[column].str[:4]
        calls[column] = calls[column].map(lambda number: hmac.new(b"k" * 32, number.encode(), hashlib.sha256).digest())
    calls["started_at"] = calls["started_at"].dt.floor("h")
    calls["duration_ms"] = -(-calls["duration_ms"] // 60_000)
    calls.to_parquet(out, compression="zstd")


_NESTED = "unhex(sha256('" + "o" * 64 + "' || sha256('" + "i" * 64 + "' || {0}))) AS {0}, {0}[:4] AS {0}_prefix"


def _by_duckdb(lake: Path, out: Path) -> None:
    import duckdb

    coarse = "date_trunc('hour', started_at) AS started_at, kind, area, (duration_ms + 59999) // 60000 AS duration_ms"
    numbers = ", ".join(_NESTED.format(column) for column in ("caller", "callee"))
    made = f"SELECT {coarse}, {numbers} FROM read_parquet('{lake}')"
    duckdb.connect().execute(f"COPY ({made}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")


def _first_group(lake: Path, alone: Path) -> int:
    import pyarrow.parquet as pq

    group = pq.ParquetFile(lake).read_row_group(0)
    pq.write_table(group, alone, compression="zstd")
    return len(group)


def _in_memory(lake: Path, ours: float) -> dict[str, float]:
    """The same beside the keyed hashes alone: of rows in memory, nothing else done to them, nothing read, nothing written."""
    import pyarrow.parquet as pq

    told, sample = {}, pq.ParquetFile(lake).read_row_group(0).slice(0, 200_000)
    if importlib.util.find_spec("pandas"):
        frame = sample.to_pandas()

        def keyed() -> None:
            for column in ("caller", "callee"):
                frame[column].map(lambda number: hmac.new(b"k" * 32, number.encode(), hashlib.sha256).hexdigest())

        told["times_pandas_hmac_alone"] = ours / (len(sample) / _timed(keyed))
    if importlib.util.find_spec("duckdb"):
        import duckdb

        connection, calls = duckdb.connect(), sample
        columns = ", ".join(_NESTED.format(column) for column in ("caller", "callee"))
        connection.register("calls", calls)
        told["times_duckdb_nested_hmac_alone"] = ours / (
            len(sample)
            / _timed(lambda: connection.execute(f"CREATE OR REPLACE TABLE made AS SELECT {columns} FROM calls"))
        )
    return told


def growing(sizes: Iterable[int], most: int, cost: Callable[[int], float], of: str = "") -> dict[str, float]:
    """`s_for_100000` and so on: what `benchmarks.growth` draws."""
    return {f"s_for_{size}{of and '_' + of}": cost(size) for size in sizes if size <= most}


def _grown(rows: int, transform: Transform) -> float:
    with _lake(rows) as lake:
        return _timed(
            lambda: transform_file(lake, lake.with_name("out.parquet"), transform, len(os.sched_getaffinity(0)))
        )


@contextmanager
def _lake(rows: int) -> Iterator[Path]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    drawn = np.random.default_rng(20270117)
    begin = np.datetime64("2026-03-01", "us").astype("int64")
    with tempfile.TemporaryDirectory(prefix="wardline-bench-", dir="/tmp") as folder:
        path, writer, left = Path(folder) / "calls.parquet", None, rows
        while left:
            size = min(left, GROUP)
            number = [
                pa.array(46_700_000_000 + drawn.integers(0, many, size)).cast(pa.string())
                for many in (200_000, 9_000_000)
            ]
            table = pa.table(
                {
                    "id": pa.array(drawn.integers(0, 1 << 60, size)),
                    "started_at": pa.array(begin + drawn.integers(0, 31 * 86_400, size) * 1_000_000).cast(
                        pa.timestamp("us", "UTC")
                    ),
                    "duration_ms": pa.array(drawn.integers(0, 900_000, size)),
                    "kind": pa.array(["mobile_call", "sms", "fixed_call"]).take(pa.array(drawn.integers(0, 3, size))),
                    "caller": number[0],
                    "callee": number[1],
                    "area": pa.array(["01", "12", "14", "03"]).take(pa.array(drawn.integers(0, 4, size))),
                    "invoice": pa.array(drawn.integers(0, 1 << 40, size)),
                }
            )
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            left -= size
        if writer:
            writer.close()
        yield path


def full_rows() -> int:
    return max(GROUP, int(FULL * float(os.environ.get(SCALE, "1"))))


def _in_turn(*works: Callable[[], object]) -> list[list[float]]:
    """Seconds of each, taken one after the other and again, so that a busy minute of the machine hits all of them."""
    rounds = [[_timed(work) for work in works] for _ in range(ROUNDS)]
    return [list(seconds) for seconds in zip(*rounds, strict=True)]


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peak_alone(lake: Path, out: Path) -> float:
    """Of a process that does nothing but this."""
    command = (sys.executable, "-m", "benchmarks.lake", str(lake), str(out))
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_here() -> float:
    """Of this whole process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    transform_file(
        Path(sys.argv[1]), Path(sys.argv[2]), Transform(DELINKED, keys.fresh()), len(os.sched_getaffinity(0))
    )
    print(peak_here())
