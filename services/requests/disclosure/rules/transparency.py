"""The report of a year: how many orders came by which instrument and what became of them, and nothing
by which one of them could be told.

A number below the book's least is hidden. A hidden number that a total would give away takes another with it: in no row and no column
does what is shown say one hidden number, or that all hidden ones together are fewer than the least.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from services.registry.contract import TransparencyRow

OUTCOMES = ("executed", "nothing", "refused", "withdrawn", "pending")
_SUM = "requests"
TOTAL = "total"

Cell = tuple[str, str]


@dataclass(frozen=True)
class Case:
    """One order: by which instrument, how it ended, and after how many days it was handed out, if it was."""

    instrument: str
    outcome: str
    days: float | None


def report(cases: Sequence[Case], instruments: Sequence[str], least: int) -> list[TransparencyRow]:
    """A row for each instrument and one for all of them; None is what is hidden."""
    counted = _counted(cases, instruments)
    hidden = _hidden(counted, instruments, least)
    return [_row(name, counted, hidden, cases, least) for name in (*instruments, TOTAL)]


def _counted(cases: Sequence[Case], instruments: Sequence[str]) -> dict[Cell, int]:
    table = {(name, column): 0 for name in (*instruments, TOTAL) for column in (*OUTCOMES, _SUM)}
    for case in cases:
        for name in (case.instrument, TOTAL):
            for column in (case.outcome, _SUM):
                table[name, column] += 1
    return table


def _hidden(counted: Mapping[Cell, int], instruments: Sequence[str], least: int) -> frozenset[Cell]:
    hidden = {cell for cell, count in counted.items() if count < least}
    while more := next(_given_away(counted, instruments, hidden, least), None):
        hidden.add(more)
    return frozenset(hidden)


def _given_away(
    counted: Mapping[Cell, int], instruments: Sequence[str], hidden: set[Cell], least: int
) -> Iterator[Cell]:
    """The smallest number still shown of each line that says too much of what it hides."""
    for parts, total in _lines(instruments):
        missing = [cell for cell in (*parts, total) if cell in hidden]
        shown = [cell for cell in (*parts, total) if cell not in hidden]
        tells = total not in hidden and sum(counted[cell] for cell in missing) < least
        if missing and shown and (len(missing) == 1 or tells):
            yield min(shown, key=lambda cell: (counted[cell], cell))


def _lines(instruments: Sequence[str]) -> Iterator[tuple[list[Cell], Cell]]:
    """Every sum in the table: (its parts, the total)."""
    for name in (*instruments, TOTAL):
        yield [(name, column) for column in OUTCOMES], (name, _SUM)
    for column in (*OUTCOMES, _SUM):
        yield [(name, column) for name in instruments], (TOTAL, column)


def _row(
    name: str, counted: Mapping[Cell, int], hidden: frozenset[Cell], cases: Sequence[Case], least: int
) -> TransparencyRow:
    took = [case.days for case in cases if case.days is not None and name in (case.instrument, TOTAL)]
    shown = {column: None if (name, column) in hidden else counted[name, column] for column in (*OUTCOMES, _SUM)}
    few = len(took) < least or shown["executed"] is None
    return TransparencyRow(instrument=name, median_days=None if few else round(median(took)), **shown)
