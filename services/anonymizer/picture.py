"""A simulation as a picture: what would go, by the month the records are from and the rule that lets them go; and with a proposed book
what would become of how many records that the book in force treats differently.

It is drawn in a process that ends with it: what it takes to draw would stay in the service's memory.
"""

import asyncio
import sys
from collections import Counter
from io import BytesIO
from typing import TYPE_CHECKING

from services.anonymizer.contract import Change, Expected, Simulation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MONTHS, _CHANGES = 36, 20
_GOES, _STAYS, _OTHERWISE = "#b3261e", "#2e7d32", "#5f6368"


async def drawn(simulation: Simulation) -> bytes:
    """As SVG."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", __name__)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        picture, _ = await process.communicate(simulation.model_dump_json().encode())
    except asyncio.CancelledError:  # nobody waits for it any more
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(f"the picture was not drawn: {process.returncode}")
    return picture


def draw(simulation: Simulation) -> bytes:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    compared = simulation.proposed_version is not None
    # The same simulation is the same picture, and its words are words.
    with matplotlib.rc_context({"svg.hashsalt": "wardline", "svg.fonttype": "none"}):
        figure, axes = pyplot.subplots(
            2 if compared else 1, figsize=(11.5, 9 if compared else 4.5), squeeze=False, layout="constrained"
        )
        _by_month(axes[0][0], simulation.items)
        axes[0][0].set_title(
            f"What a sweep on {simulation.as_of:%Y-%m-%d} would take, by policy book {simulation.policy_version}"
        )
        if compared:
            _changes(axes[1][0], simulation.changes)
            axes[1][0].set_title(f"What policy book {simulation.proposed_version} would change of it")
        made = BytesIO()
        figure.savefig(made, format="svg", bbox_inches="tight", metadata={"Date": None})
        pyplot.close(figure)
    return made.getvalue()


def _by_month(axes: "Axes", items: list[Expected]) -> None:
    counts = Counter[tuple[str, str]]()
    for item in items:
        counts[item.rule, item.month] += item.count
    months = sorted({month for _, month in counts})[-_MONTHS:]
    below = [0] * len(months)
    for rule in sorted({rule for rule, _ in counts}):
        heights = [counts[rule, month] for month in months]
        axes.bar(months, heights, bottom=below, label=rule.replace("_", " "))
        below = [a + b for a, b in zip(below, heights, strict=True)]
    axes.set_ylabel("records")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(axis="x", rotation=60)
    axes.spines[["top", "right"]].set_visible(False)
    if months:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _changes(axes: "Axes", changes: list[Change]) -> None:
    """The most numerous first; red: goes and would have stayed, green: stays and would have gone."""
    shown = sorted(changes, key=lambda change: -change.count)[:_CHANGES]
    labels = [f"{one.store}.{one.table}: {_said(one)}" for one in shown]
    bars = axes.barh(range(len(shown)), [one.count for one in shown], color=[_colour(one) for one in shown])
    axes.bar_label(bars, [f"{one.count:,}" for one in shown], padding=3)
    axes.set_yticks(range(len(shown)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("records" if shown else "nothing is treated differently")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)


def _said(change: Change) -> str:
    before, after = change.before, change.after
    if before.action == after.action:
        return f"{after.action}, by {after.rule} instead of {before.rule}"
    return f"{before.action} → {after.action}, by {after.rule}"


def _colour(change: Change) -> str:
    kept = change.before.action == "keep", change.after.action == "keep"
    return {(True, False): _GOES, (False, True): _STAYS}.get(kept, _OTHERWISE)


if __name__ == "__main__":
    sys.stdout.buffer.write(draw(Simulation.model_validate_json(sys.stdin.buffer.read())))
