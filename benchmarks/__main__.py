"""`python -m benchmarks [name…]`: measures, prints a table, and keeps the rows in out/bench.json, each under its name."""

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import (
    calls,
    consent,
    crash,
    decisions,
    growth,
    house,
    imports,
    lake,
    persons,
    recording,
    register,
    rights,
    secrecy,
    sweeps,
)
from benchmarks.row import Row
from ops.home import ROOT, CannotRun
from ops.steps import complain, say, step

RESULTS = ROOT / "out" / "bench.json"
ASKING = ("identity", "registry", "consent")
WHOLE = (*ASKING, "rights", "disclosure", "anonymizer", "webhooks", "public", "internal")


@dataclass(frozen=True)
class Benchmark:
    """`processes` must run for it, with the sample operator's stores or without; `goal`: ("≥" or "≤", what is aimed at), for the
    ratio, or for what is `ours` where the goal is absolute; `within`: what other figures of the row may be at most; `beside`: the module
    without which the reference is another, and nothing is aimed at."""

    run: Callable[[house.House], Row]
    processes: tuple[str, ...] = WHOLE
    sample: bool = True
    goal: tuple[str, float] | None = None
    absolute: bool = False
    beside: str | None = None
    within: Mapping[str, float] = field(default_factory=dict)


BENCHMARKS = {
    "decision_http": Benchmark(consent.decision_http, ASKING, sample=False, goal=("≥", 0.8)),
    "decision_batch": Benchmark(decisions.decision_batch, ASKING, sample=False, goal=("≥", 200_000), absolute=True),
    "decision_scaling": Benchmark(decisions.decision_scaling, ASKING, sample=False),
    "consent_write": Benchmark(consent.consent_write, ASKING, sample=False, goal=("≥", 0.5)),
    "consent_import": Benchmark(
        imports.consent_import, (*ASKING, "public"), sample=False, goal=("≥", 5_000), absolute=True
    ),
    "consent_import_parquet": Benchmark(
        imports.consent_import_parquet, (*ASKING, "public"), sample=False, goal=("≥", 5_000), absolute=True
    ),
    "recording_stop": Benchmark(
        recording.recording_stop, (*ASKING, "webhooks"), sample=False, goal=("≤", 1_000), absolute=True
    ),
    "consent_memory": Benchmark(decisions.consent_memory, ASKING, sample=False, goal=("≤", 200), absolute=True),
    "consent_start": Benchmark(decisions.consent_start, ASKING, sample=False, goal=("≤", 10), absolute=True),
    "gateway_added": Benchmark(consent.gateway_added, (*ASKING, "public"), sample=False),
    "requests_50": Benchmark(rights.requests_50, goal=("≥", 58), absolute=True),
    "clocks_10k": Benchmark(rights.clocks_10k, (*ASKING, "rights"), sample=False, goal=("≤", 1), absolute=True),
    "access_100k": Benchmark(calls.access_100k, goal=("≤", 2.5), within={"growth_mb": 100}),
    "access_1k": Benchmark(persons.access_1k, goal=("≤", 50), absolute=True),
    "erase_100k": Benchmark(calls.erase_100k, goal=("≤", 3)),
    "erase_1k": Benchmark(persons.erase_1k, goal=("≤", 0.1), absolute=True),
    "find": Benchmark(persons.find, goal=("≤", 5), absolute=True),
    "find_lake": Benchmark(persons.find_lake, (), sample=False, goal=("≤", 10), absolute=True),
    "collect_10m": Benchmark(persons.collect_10m, goal=("≤", 256), absolute=True),
    "package_10m": Benchmark(persons.package_10m, goal=("≤", 256), absolute=True),
    "sweep_lake": Benchmark(lake.sweep_lake, (), sample=False, goal=("≥", 1)),
    "sweep_partition": Benchmark(sweeps.sweep_partition, (), sample=False, goal=("≤", 0.01)),
    "sweep_swap": Benchmark(sweeps.sweep_swap, (), sample=False, goal=("≤", 0.25)),
    "sweep_growth": Benchmark(sweeps.sweep_growth, (), sample=False, goal=("≤", 0.01)),
    "kcheck": Benchmark(lake.kcheck, (), sample=False, goal=("≤", 0.5), within={"growth_mb": 256}),
    "text": Benchmark(lake.text, (), sample=False, goal=("≥", 10), beside="presidio_analyzer"),
    "register_exports": Benchmark(register.register_exports, ASKING, sample=False, goal=("≤", 1.5)),
    "order_seen": Benchmark(secrecy.order_seen, goal=("≥", 1)),
    "crash_resume": Benchmark(crash.crash_resume, goal=("≤", 1)),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"all, or some of: {', '.join(BENCHMARKS)}")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="of sweep_lake, sweep_growth and kcheck, where 1 is twenty million rows, and of consent_import and its twin, where it is one",
    )
    told = parser.parse_args()
    os.environ[lake.SCALE] = str(told.scale)
    names = told.names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        complain(f"There is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}.")
        return 2
    try:
        rows = measure([name for name in BENCHMARKS if name in names])
    except CannotRun as reason:
        complain(str(reason))
        return 1
    keep(rows, RESULTS)
    print(
        "\n"
        + table(rows)
        + f"\n\nEvery figure of each row: {RESULTS.relative_to(ROOT)}; how they are taken: benchmarks/README.md"
    )
    return 0


def measure(names: list[str]) -> list[dict[str, Any]]:
    """One house for all of them."""
    wanted = [BENCHMARKS[name] for name in names]
    processes = [name for name in WHOLE if any(name in each.processes for each in wanted)]
    say(f"starting a house of its own: {', '.join(processes)}" if processes else "no process is needed")
    rows = []
    needed = house.running(processes, sample=any(each.sample for each in wanted)) if processes else nullcontext()
    with needed as measured:
        for name in names:
            with step(f"measuring {name}"):
                rows.append(BENCHMARKS[name].run(measured).told())
            say("  " + line(rows[-1]))
    return rows


def keep(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Rows measured now replace earlier ones of the same name."""
    kept = {row["name"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    kept |= {row["name"]: row for row in rows}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(list(kept.values()), indent=1, ensure_ascii=False) + "\n")
    growth.draw(kept.values(), path.with_name("growth.svg"))


def line(row: dict[str, Any]) -> str:
    return f"{row['name']}: {_number(row['ours'])} {row['unit']}, reference {_number(row['reference'])}, ratio {row['ratio']}"


def table(rows: list[dict[str, Any]]) -> str:
    head = ("name", "ours", "reference", "unit", "ratio", "goal", "", "peak MB", "reference is")
    body = [
        (
            row["name"],
            _number(row["ours"]),
            _number(row["reference"]),
            row["unit"],
            _number(row["ratio"]),
            *judged(row),
            str(row["peak_mb"]),
            row["reference_is"],
        )
        for row in rows
    ]
    widths = [max(len(cells[column]) for cells in (head, *body)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(cells, widths, strict=True)).rstrip() for cells in (head, *body)
    )


def judged(row: dict[str, Any]) -> tuple[str, str]:
    """The goal, and whether this machine met it just now."""
    benchmark = BENCHMARKS[row["name"]]
    if benchmark.goal is None or (benchmark.beside and not importlib.util.find_spec(benchmark.beside)):
        return "", ""
    sign, wanted = benchmark.goal
    seen = row["ours" if benchmark.absolute else "ratio"]
    met = seen >= wanted if sign == "≥" else seen <= wanted
    met &= all(row[name] <= most for name, most in benchmark.within.items())
    unit = f" {row['unit']}" if benchmark.absolute else ""
    also = "".join(f", {name} ≤ {_number(most)}" for name, most in benchmark.within.items())
    return f"{sign} {_number(wanted)}{unit}{also}", "met" if met else "MISSED"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


if __name__ == "__main__":
    sys.exit(main())
