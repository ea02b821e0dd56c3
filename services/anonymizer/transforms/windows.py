"""Delinked: the kernel under a fresh key for every window of time. The keys are in memory only, and gone when the work is done."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from services.anonymizer.transforms import fields, keys
from services.anonymizer.transforms.kernel import Spec, Transform

if TYPE_CHECKING:
    import pyarrow as pa


class Windows:
    """`length`: of a window, by `at` · `chosen`: which rows of a batch go through (a mask), by the columns it reads; the others are dropped."""

    def __init__(
        self,
        spec: Spec,
        at: str,
        length: timedelta,
        chosen: Callable[["pa.RecordBatch"], "pa.Array"],
        reads: Iterable[str],
    ) -> None:
        self.spec, self.at, self.length, self.chosen = spec, at, length, chosen
        self.columns, self.kept = sorted({*spec.columns, at, *reads}), []
        self._transforms: dict[int, Transform] = {}

    def counted(self, batch: "pa.RecordBatch") -> tuple["pa.RecordBatch", Counter[str]]:
        """Window after window."""
        import numpy as np
        import pyarrow as pa

        rows = batch.filter(self.chosen(batch))
        window, made, fallbacks = fields.windows(rows.column(self.at), self.length), [], Counter[str]()
        for number in np.unique(window) if len(rows) else [0]:
            one, counted = self._transform(int(number)).counted(rows.filter(pa.array(window == number)))
            made.append(one)
            fallbacks += counted
        return pa.concat_batches(made), fallbacks

    def _transform(self, window: int) -> Transform:
        """One for all threads, whichever of them comes first."""
        return self._transforms.setdefault(window, Transform(self.spec, keys.fresh()))
