"""Beyond one process: the same kernel by several workers, and on Spark."""

import importlib.util
import json
import shutil
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from services.anonymizer.transforms.kernel import Transform

ROOT = Path(__file__).parents[2]
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def lake(folder: Path, files: int = 4, rows: int = 1000) -> pa.Table:
    made = [
        {"at": BEGIN + timedelta(minutes=n), "caller": f"4670{n % 300:07}", "area": "01", "callee": "112"}
        for n in range(rows)
    ]
    schema = pa.schema(
        [("at", pa.timestamp("us", "UTC")), ("caller", pa.string()), ("area", pa.string()), ("callee", pa.string())]
    )
    whole = pa.Table.from_pylist(made, schema=schema)
    for n in range(files):
        (folder / f"bucket={n}").mkdir(parents=True)
        part = whole.slice(n * rows // files, rows // files)
        pq.write_table(part, folder / f"bucket={n}" / "part-0.parquet", row_group_size=100)
    return whole


def worked(source: Path, target: Path, spec: Path, *more: str) -> list[dict]:
    command = [sys.executable, "-m", "services.anonymizer.transforms", str(source), str(target), "--spec", str(spec)]
    done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_workers_do_each_file_once_and_the_same_as_one_alone(tmp_path: Path):
    lake(tmp_path / "lake")
    spec, key = tmp_path / "spec.json", tmp_path / "key"
    columns = {"at": "hour", "caller": "number", "area": "keep"}
    asked = {"result": "pseudonymised", "columns": columns, "zone": "Europe/Stockholm", "purpose": "quality"}
    spec.write_text(json.dumps(asked | {"tenant": "00000000-0000-0000-0000-000000000001"}))
    key.write_bytes(bytes(32))
    told = [
        worked(tmp_path / "lake", tmp_path / "out", spec, "--key", str(key), "--index", f"{n}", "--of", "2")
        for n in (0, 1)
    ]
    assert sorted(one["file"] for each in told for one in each) == [f"bucket={n}/part-0.parquet" for n in range(4)]
    assert {one["result"] for each in told for one in each} == {"pseudonymised"}
    assert worked(tmp_path / "lake", tmp_path / "out", spec, "--key", str(key)) == [], "what stands there is done"
    alone = worked(tmp_path / "lake", tmp_path / "alone", spec, "--key", str(key))
    assert sum(one["rows"] for one in alone) == 1000
    for n in range(4):
        both = (
            pq.ParquetFile(tmp_path / place / f"bucket={n}" / "part-0.parquet").read() for place in ("out", "alone")
        )
        one, other = both
        assert one.equals(other) and one.schema.names == ["at", "caller", "caller_prefix", "area"]


def test_spark_does_the_very_same(tmp_path: Path):
    missing = [
        name
        for name, there in (("PySpark", importlib.util.find_spec("pyspark")), ("Java", shutil.which("java")))
        if not there
    ]
    if missing:
        pytest.skip(f"!!! the kernel on Spark: no {' and no '.join(missing)} here (the extra `spark`)")
    whole = lake(tmp_path / "lake", files=1)
    command = [
        sys.executable,
        "-m",
        "tests.anonymizer.sparking",
        str(tmp_path / "lake" / "bucket=0"),
        str(tmp_path / "out"),
    ]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tests.anonymizer.sparking import KEYS, SPEC
    expected = Transform(SPEC, KEYS).apply(whole.combine_chunks().to_batches()[0]).to_pylist()
    made = [
        row
        for path in (tmp_path / "out").glob("*.parquet")
        for row in pq.read_table(path, coerce_int96_timestamp_unit="us").to_pylist()
    ]
    assert len({row["caller"] for row in made}) == 300

    def plain(row: dict) -> tuple:
        return row["at"].replace(tzinfo=UTC), row["caller"], row["caller_prefix"], row["area"]

    assert sorted(map(plain, made)) == sorted(map(plain, expected))


def test_the_job_for_a_cluster_runs_that_worker_without_rights():
    job = yaml.safe_load((ROOT / "k8s" / "jobs" / "transform.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert job["spec"]["completionMode"] == "Indexed" and job["spec"]["completions"] == int(container["args"][-1])
    assert container["command"] == ["python", "-m", "services.anonymizer.transforms"]
    assert importlib.util.find_spec(container["command"][-1])
    assert container["securityContext"]["readOnlyRootFilesystem"] and pod["securityContext"]["runAsNonRoot"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
