"""The very same kernel on a Spark cluster: `transformed(frame, spec, keys)`. PySpark is the extra `spark`; nothing else needs it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from services.anonymizer.transforms.kernel import Spec, Transform
from services.anonymizer.transforms.keys import Keys

if TYPE_CHECKING:
    import pyarrow as pa


def transformed(frame: Any, spec: Spec, keys: Keys) -> Any:
    """A PySpark DataFrame through `mapInArrow`: batches go through the kernel where their partition lies. The keys travel inside the
    job's own closure and are written nowhere."""
    import pyarrow as pa
    from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

    columns = frame.select(*spec.columns)
    nothing = pa.RecordBatch.from_pylist([], schema=to_arrow_schema(columns.schema, timezone="UTC"))
    made = _spark_readable(Transform(spec, keys).apply(nothing))
    return columns.mapInArrow(_kernel(spec, keys), from_arrow_schema(made.schema))


def _kernel(spec: Spec, keys: Keys) -> Any:
    def run(batches: Iterator["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        transform = Transform(spec, keys)
        return (_spark_readable(transform.apply(batch)) for batch in batches)

    return run


def _spark_readable(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """Spark has no binary of fixed size, and no dictionaries."""
    import pyarrow as pa

    columns = [column.cast(_plain(column.type)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _plain(type: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    if pa.types.is_fixed_size_binary(type):
        return pa.binary()
    return type.value_type if pa.types.is_dictionary(type) else type
