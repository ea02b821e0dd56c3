"""What is kept and shown of a measurement."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks.row import Row, cpu_seconds, rounded, watched


def row(name: str = "decision_http", **other: Any) -> dict[str, Any]:
    measured = {
        "ours": 400.0,
        "reference": 1000.0,
        "unit": "decisions/s",
        "peak_mb": 50.4,
        "reference_is": "hello world",
    }
    return Row(name, **measured | other).told()


def test_a_row_says_what_was_measured_beside_what_it_is_measured_by() -> None:
    told = row(more={"p99_ms": 1.23456})
    expected = {
        "name": "decision_http",
        "ours": 400.0,
        "reference": 1000,
        "ratio": 0.4,
        "unit": "decisions/s",
        "peak_mb": 50,
        "reference_is": "hello world",
        "p99_ms": 1.23,
    }
    assert expected.items() <= told.items()


@pytest.mark.parametrize(("value", "said"), [(12345.6, 12346), (0.012345, 0.0123), (999.4, 999.0)])
def test_a_figure_has_no_more_digits_than_it_can_bear(value: float, said: float) -> None:
    assert rounded(value) == said


def test_a_row_measured_again_replaces_the_earlier_one_and_leaves_the_others(tmp_path: Path) -> None:
    results = tmp_path / "out" / "bench.json"
    bench.keep([row("decision_http"), row("consent_write")], results)
    bench.keep([row("decision_http", ours=500.0)], results)
    kept = json.loads(results.read_text())
    assert [(each["name"], each["ours"]) for each in kept] == [("decision_http", 500.0), ("consent_write", 400.0)]


@pytest.mark.parametrize(
    ("name", "ours", "verdict"),
    [
        ("decision_http", 800.0, ("≥ 0.8", "met")),
        ("decision_http", 790.0, ("≥ 0.8", "MISSED")),
        ("erase_100k", 3000.0, ("≤ 3", "met")),
        ("erase_100k", 3100.0, ("≤ 3", "MISSED")),
        ("gateway_added", 1.0, ("", "")),
    ],
)
def test_a_missed_goal_is_said(name: str, ours: float, verdict: tuple[str, str]) -> None:
    assert bench.judged(row(name, ours=ours)) == verdict


@pytest.mark.parametrize(
    ("ours", "growth", "verdict"), [(2500.0, 100, "met"), (2500.0, 101, "MISSED"), (2600.0, 100, "MISSED")]
)
def test_a_goal_of_two_figures_is_met_by_both(ours: float, growth: float, verdict: str) -> None:
    judged = bench.judged(row("access_100k", ours=ours) | {"growth_mb": growth})
    assert judged == ("≤ 2.5, growth_mb ≤ 100", verdict)


def test_the_table_has_a_line_for_each_row() -> None:
    lines = bench.table([row("decision_http"), row("erase_100k", ours=7000.0)]).splitlines()
    assert [line.split()[0] for line in lines] == ["name", "decision_http", "erase_100k"]
    assert "MISSED" in lines[2]


def test_an_unknown_name_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "decision_htp"])
    assert bench.main() == 2
    assert "There is no benchmark 'decision_htp'" in capsys.readouterr().err


def test_memory_is_watched_while_it_is_used() -> None:
    with watched([os.getpid()]) as peak:
        held = bytearray(64 << 20)
        held[::4096] = b"x" * len(held[::4096])
        while peak.growth < 32:
            pass
    assert peak.highest >= peak.before + 32


def test_processor_time_is_counted() -> None:
    before = cpu_seconds([os.getpid()])
    while cpu_seconds([os.getpid()]) < before + 0.05:
        pass
    assert cpu_seconds([]) == 0
