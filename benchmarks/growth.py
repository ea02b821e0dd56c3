"""out/growth.svg: how costs grow with the number of rows, of every benchmark that told them (`s_for_100000`, `s_for_1000000_swap`).

Both axes are logarithmic: a line of slope one is a cost in proportion, a flat one a cost that does not depend on how much there is.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TOLD = re.compile(r"s_for_(\d+)(?:_(\w+))?")


def lines(rows: Iterable[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """Cost by rows, for each thing measured."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        for name, seconds in row.items():
            if told := _TOLD.fullmatch(name):
                of = f"{row['name']}: {told[2].replace('_', ' ')}" if told[2] else row["name"]
                found.setdefault(of, {})[int(told[1])] = seconds
    return found


def draw(rows: Iterable[dict[str, Any]], path: Path) -> None:
    costs = lines(rows)
    if not costs:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, cost in costs.items():
        sizes = sorted(cost)
        axes.loglog(sizes, [cost[size] for size in sizes], marker="o", label=name)
    axes.set(xlabel="rows", ylabel="seconds", title="How costs grow with the number of rows")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)
    pyplot.close(figure)
