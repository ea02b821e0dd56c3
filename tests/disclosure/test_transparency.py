"""A year's report shows no number by which one order could be told, whatever is added and subtracted."""

import random
from collections import Counter
from itertools import product

import pytest

from services.registry.contract import TransparencyRow
from services.requests.disclosure.rules.transparency import OUTCOMES, TOTAL, Case, report

LEAST = 5
KINDS = ("epoc_subscriber", "se_subscription", "se_preservation", "third_country")
COLUMNS = (*OUTCOMES, "requests")


def cases(**counts: int) -> list[Case]:
    """`se_subscription__refused=7`, and so on."""
    return [Case(*name.split("__"), None) for name, count in counts.items() for _ in range(count)]


def by_kind(rows: list[TransparencyRow]) -> dict[str, TransparencyRow]:
    return {row.instrument: row for row in rows}


def test_large_numbers_are_told_as_they_are() -> None:
    told = by_kind(
        report(cases(**{f"{kind}__{outcome}": 9 for kind, outcome in product(KINDS, OUTCOMES)}), KINDS, LEAST)
    )
    assert (told["se_subscription"].executed, told["se_subscription"].requests) == (9, 45)
    assert (told[TOTAL].refused, told[TOTAL].requests) == (36, 180)


def test_a_small_number_is_hidden_and_no_sum_gives_it_away() -> None:
    many = {f"{kind}__{outcome}": 9 for kind, outcome in product(KINDS, OUTCOMES)}
    told = by_kind(report(cases(**many | {"se_subscription__refused": 1}), KINDS, LEAST))
    row = told["se_subscription"]
    assert row.refused is None
    hidden = [name for name in COLUMNS if getattr(row, name) is None]
    others = [kind for kind in (*KINDS, TOTAL) if told[kind].refused is None]
    assert len(hidden) >= 2 and len(others) >= 2, "one hidden number beside its sum is told by it"


@pytest.mark.parametrize("seed", range(40))
def test_whatever_came_no_row_and_no_column_tells_a_small_number(seed: int) -> None:
    chance = random.Random(seed)
    found = [
        Case(kind, outcome, None)
        for kind, outcome in product(KINDS, OUTCOMES)
        for _ in range(chance.choice((0, 0, 1, 3, 6, 20, 200)))
    ]
    truth = Counter((each.instrument, each.outcome) for each in found)
    told = by_kind(report(found, KINDS, LEAST))
    lines = [([(kind, column) for column in OUTCOMES], (kind, "requests")) for kind in (*KINDS, TOTAL)]
    lines += [([(kind, column) for kind in KINDS], (TOTAL, column)) for column in COLUMNS]

    def real(kind: str, column: str) -> int:
        kinds = KINDS if kind == TOTAL else (kind,)
        columns = OUTCOMES if column == "requests" else (column,)
        return sum(truth[each] for each in product(kinds, columns))

    def shown(kind: str, column: str) -> int | None:
        return getattr(told[kind], column)

    for cell in product((*KINDS, TOTAL), COLUMNS):
        assert shown(*cell) in (None, real(*cell)) and (shown(*cell) is None or real(*cell) >= LEAST)
    for parts, total in lines:
        hidden = [cell for cell in parts if shown(*cell) is None]
        if shown(*total) is not None and hidden:
            assert len(hidden) >= 2 and sum(real(*cell) for cell in hidden) >= LEAST
        if shown(*total) is None:
            assert hidden, "the parts would add up to it"


def test_how_long_it_took_is_told_of_many_only() -> None:
    few = [Case("se_subscription", "executed", 2.0)] * 4
    assert by_kind(report(few, KINDS, LEAST))["se_subscription"].median_days is None
    many = [Case(kind, "executed", days) for kind in KINDS for days in (1.0, 2.0, 3.0, 4.0, 9.0, 30.0)]
    told = by_kind(report(many, KINDS, LEAST))
    assert told["se_subscription"].executed is None or told["se_subscription"].median_days == 4
