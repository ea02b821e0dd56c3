"""Retention over whole stores: what would go, seen first as a picture; then swept."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from sample.actors import Cast
from sample.tour.narrator import Narrator

_MONTHS = 30


def retention_is_simulated_and_swept(cast: Cast, tell: Narrator) -> None:
    tell.scene("Retention is simulated, looked at, and swept")
    with cast.person("operations") as operations:
        expected = operations.post("/v1/simulations").json()
        by_rule = _added_up(expected["items"], "count")
        tell.say(f"a simulation by policy book {expected['policy_version']} writes nothing; today's sweep would take:")
        tell.table(("store", "table", "rule", "records"), [(*key, f"{count:,}") for key, count in by_rule.items()])
        plot(expected["items"], tell.out / "retention.png")
        tell.picture("retention.png", "What a sweep would take, by the month the data are from")
        sweep = operations.post("/v1/sweeps").json()["sweep"]

        def look() -> dict[str, Any] | None:
            seen = operations.get(f"/v1/sweeps/{sweep}").json()
            return seen if seen["state"] == "done" else None

        swept = tell.until("finished sweep", look, patience=120)
        how = _added_up(swept["items"], "count", keys=("how",))
        tell.say("swept: " + ", ".join(f"{count:,} by {key[0]}" for key, count in how.items()))
        left = operations.post("/v1/simulations").json()["items"]
        tell.must(not left, "simulated again, nothing is left whose time is over")


def plot(items: list[dict[str, Any]], path: Path) -> None:
    """Stacked bars: records by month of origin, one colour for each rule."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    months = sorted({item["month"] for item in items})[-_MONTHS:]
    figure, axes = pyplot.subplots(figsize=(11.5, 4.5), layout="constrained")
    below = [0] * len(months)
    for rule in sorted({item["rule"] for item in items}):
        heights = [sum(i["count"] for i in items if i["rule"] == rule and i["month"] == month) for month in months]
        axes.bar(months, heights, bottom=below, label=rule.replace("_", " "))
        below = [a + b for a, b in zip(below, heights, strict=True)]
    axes.set_ylabel("records")
    axes.set_title("What a sweep today would take, by the month the data are from")
    axes.tick_params(axis="x", rotation=60)
    axes.spines[["top", "right"]].set_visible(False)
    if months:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _added_up(
    items: list[dict[str, Any]], what: str, keys: tuple[str, ...] = ("store", "table", "rule")
) -> dict[tuple, int]:
    sums: dict[tuple, int] = defaultdict(int)
    for item in items:
        sums[tuple(item[key] for key in keys)] += item[what]
    return dict(sorted(sums.items()))
