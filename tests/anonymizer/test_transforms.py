"""What a record's columns become: nobody is told apart who should not be, and nothing is called anonymous unchecked."""

import random
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anonymizer.transforms import counts, fields, keys, numbers
from services.anonymizer.transforms.kernel import How, Spec, Transform

STOCKHOLM = ZoneInfo("Europe/Stockholm")
MASTER, TENANT, OTHER = bytes(range(32)), UUID(int=1), UUID(int=2)
KEYS = keys.derived(MASTER, TENANT, "quality")


def texts(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def pseudonyms(*values: str | None, by: keys.Keys = KEYS) -> list[bytes | None]:
    return numbers.pseudonyms(numbers.parsed(texts(*values)), by)[0].to_pylist()


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("46701740605", True),
        ("+46701740605", True),
        ("1234567", True),
        ("123456789012345", True),
        ("112", False),
        ("90510", False),
        ("1234567890123456", False),
        ("0701740605", False),
        ("0046701740605", False),
        (" 46701740605", False),
        ("46701740605 ", False),
        ("46 70 174 06 05", False),
        ("++46701740605", False),
        ("46_701740605", False),
        ("٤٦٧٠١٧٤٠٦٠٥", False),
        ("sip:anna@nordtel.example", False),
        ("anonymous", False),
        ("", False),
        ("-46701740605", False),
        ("18446744073709551615", False),
        ("18446744073709551617", False),
    ],
)
def test_only_strict_e164_is_taken_for_a_number(written, number):
    _, fallbacks = numbers.pseudonyms(numbers.parsed(texts(written)), KEYS)
    assert fallbacks == (0 if number else 1)


def test_a_person_keeps_one_pseudonym_within_a_purpose_and_has_another_in_each_other():
    twice = pseudonyms("46701740605", "+46701740605", "sip:a@b", "sip:a@b", None, "46701740606")
    assert twice[0] == twice[1] and twice[2] == twice[3] and twice[4] is None
    assert len(set(twice)) == 4
    elsewhere = [
        keys.derived(MASTER, OTHER, "quality"),
        keys.derived(MASTER, TENANT, "fraud"),
        keys.derived(MASTER, TENANT, "quality", "2026-11"),
        keys.derived(bytes(32), TENANT, "quality"),
        keys.fresh(),
        keys.fresh(),
    ]
    for value in ("46701740605", "sip:a@b"):
        assert len({pseudonyms(value, by=each)[0] for each in [KEYS, *elsewhere]}) == 7
    assert keys.derived(MASTER, TENANT, "quality") == KEYS
    assert "permutation" not in repr(KEYS)


def test_a_million_numbers_have_a_million_pseudonyms():
    column = pa.array(range(46_700_000_000, 46_701_000_000), pa.int64()).cast(pa.string())
    made, fallbacks = numbers.pseudonyms(numbers.parsed(column), KEYS)
    assert fallbacks == 0 and len(made.unique()) == 1_000_000


@settings(deadline=None)  # the first one makes the table of all prefixes
@given(st.integers(1_000_000, 999_999_999_999_999))
def test_a_prefix_is_the_country_and_what_follows_it(number):
    [told] = numbers.prefixes(numbers.parsed(texts(str(number)))).to_pylist()
    country, operator = told.split("-")
    assert str(number).startswith(country + operator) and len(operator) == 2 and 1 <= len(country) <= 3


def test_prefixes_of_known_countries():
    told = numbers.prefixes(numbers.parsed(texts("46701740605", "12025550123", "358401234567", "112", None)))
    assert told.to_pylist() == ["46-70", "1-20", "358-40", "other", None]


@pytest.mark.parametrize(
    "zone", ["Europe/Stockholm", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
)
def test_a_day_is_the_one_the_clocks_there_showed(zone):
    drawn, begin = random.Random(4), datetime(2025, 1, 1, tzinfo=UTC)
    at = [begin + timedelta(seconds=drawn.randrange(2 * 366 * 86_400)) for _ in range(2000)]
    for change in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)):
        at += [change + timedelta(minutes=15 * step) for step in range(-200, 200)]
    there = ZoneInfo(zone)
    made = fields.days(pa.array([*at, None], pa.timestamp("us", "UTC")), there).to_pylist()
    assert made == [*(each.astimezone(there).date() for each in at), None]


def test_addresses_cells_times_and_lengths_are_made_coarse():
    assert fields.vendors(
        texts("00:1b:44:11:3a:b7", "001B.4411.3AB7", "02:00:00:00:00:01", "mac", None)
    ).to_pylist() == [*("00:1B:44", "00:1B:44", "local", None, None)]
    assert fields.networks(texts("198.18.3.44", "2001:db8:1:2::7", "host", None)).to_pylist() == [
        *("198.18.3.0/24", "2001:db8:1::/48", None, None)
    ]
    assert fields.cells(texts("240-24-01-1004", "nowhere", None)).to_pylist() == ["240-24-01", None, None]
    assert fields.minutes(pa.array([0, 1, 60_000, 60_001, None])).to_pylist() == [0, 1, 1, 2, None]
    [hour, nothing] = fields.hours(pa.array([datetime(2026, 11, 3, 14, 59, 59, tzinfo=UTC), None])).to_pylist()
    assert (hour, nothing) == (datetime(2026, 11, 3, 14, tzinfo=UTC), None)


def call(caller: str, callee: str | None, day: int = 3, area: str = "01", kind: str = "mobile_call") -> dict:
    return {
        "id": 1,
        "started_at": datetime(2026, 11, day, 12, tzinfo=UTC),
        "caller": caller,
        "callee": callee,
        "area": area,
        "kind": kind,
        "duration_ms": 61_000,
        "agent_number": "A1",
    }


def batch(calls: list[dict]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(calls)


DELINKED = Spec(
    "delinked",
    {
        "started_at": How.hour,
        "caller": How.number,
        "callee": How.number,
        "area": How.keep,
        "duration_ms": How.minutes,
    },
    STOCKHOLM,
)


def test_what_a_spec_does_not_name_goes():
    calls = batch([call("46701740605", "112")])
    made, fallbacks = Transform(DELINKED, keys.fresh()).counted(calls)
    assert made.schema.names == [
        *("started_at", "caller", "caller_prefix", "callee", "callee_prefix", "area", "duration_ms")
    ]
    assert dict(fallbacks) == {"caller": 0, "callee": 1}
    assert b"46701740605" not in b"".join(bytes(part) for column in made.columns for part in column.buffers() if part)


def test_two_windows_share_no_pseudonym():
    calls = batch([call(f"4670{n:07}", f"4673{n:07}") for n in range(500)])
    one, other = (Transform(DELINKED, keys.fresh()).apply(calls) for _ in range(2))
    assert not {*one["caller"].to_pylist()} & {*other["caller"].to_pylist()}


GROUPS = counts.Groups("started_at", "callee", "area", "kind", ("caller", "callee"), STOCKHOLM)


def anonymous(*batches: list[dict], k: int = 10) -> counts.Counts:
    return counts.anonymous([counts.coarse(batch(each), GROUPS) for each in batches], GROUPS, k)


def released(made: counts.Counts) -> list[tuple]:
    return [tuple(row.values())[1:] for row in made.released.to_pylist()]


def test_a_group_stands_only_with_enough_people_on_both_sides():
    enough = [call(f"4670{n:07}", f"4673{n:07}") for n in range(10)]
    few_callers = [call(f"4670{n % 9:07}", f"4676{n:07}") for n in range(300)]
    few_callees = [call(f"4670{n:07}", f"4672{n % 9:07}") for n in range(300)]
    made = anonymous(enough + few_callers + few_callees)
    assert released(made) == [("46-73", "01", "mobile_call", 10)]
    assert (made.suppressed_groups, made.suppressed_rows) == (2, 600)
    assert released(anonymous(enough, k=11)) == []


def test_people_are_counted_over_all_batches_together():
    """Six callers in each of two batches are six when they are the same, and twelve when they are not."""
    one = [call(f"4670{n:07}", f"4673{n:07}") for n in range(6)]
    same = [call(f"4670{n:07}", f"4673{n + 50:07}") for n in range(6)]
    others = [call(f"4670{n + 50:07}", f"4673{n + 50:07}") for n in range(6)]
    assert released(anonymous(one, same)) == []
    assert released(anonymous(one, others)) == [("46-73", "01", "mobile_call", 12)]


def test_a_data_session_has_no_other_party_to_hide():
    sessions = [call(f"4670{n:07}", None, kind="data") for n in range(12)]
    assert released(anonymous(sessions)) == [("", "01", "data", 12)]
    assert released(anonymous(sessions[:9])) == []
    one_helpline = [call(f"4670{n:07}", "90510") for n in range(40)]
    assert released(anonymous(one_helpline)) == []


@pytest.mark.parametrize("wrong", ["a small group", "a wrong count"])
def test_a_count_that_the_second_look_does_not_bear_out_is_not_released(wrong):
    calls = [call(f"4670{n:07}", f"4673{n:07}") for n in range(12)]
    calls += [call("46700000001", f"4673{n:07}", day=4) for n in range(12)]
    rows = pa.Table.from_batches([counts.coarse(batch(calls), GROUPS)])
    made = counts.anonymous(rows.to_batches(), GROUPS, 10)
    assert len(made.released) == 1
    counts.check(made.released, rows, GROUPS, 10)
    if wrong == "a small group":
        false = counts.anonymous(rows.to_batches(), GROUPS, 1).released
    else:
        false = made.released.set_column(4, "count", pa.array([13]))
    with pytest.raises(counts.NotAnonymous):
        counts.check(false, rows, GROUPS, 10)


@pytest.mark.parametrize("seed", range(8))
def test_the_counts_are_those_of_a_loop(seed):
    drawn = random.Random(seed)
    calls = [
        call(
            f"4670{drawn.randrange(40):07}",
            drawn.choice([None, "112", f"467{drawn.randrange(4)}{drawn.randrange(60):07}"]),
            day=drawn.randrange(1, 4),
            area=drawn.choice(["01", "12"]),
        )
        for _ in range(3000)
    ]
    k, groups = 20, {}
    for one in calls:
        prefix = "" if one["callee"] is None else "other" if one["callee"] == "112" else f"46-{one['callee'][2:4]}"
        groups.setdefault((one["started_at"].date(), prefix, one["area"]), []).append(one)
    large = {
        group: len(rows)
        for group, rows in groups.items()
        if len({row["caller"] for row in rows}) >= k
        and len({row["callee"] for row in rows}) >= (1 if group[1] == "" else k)
    }
    made = anonymous(calls[:1000], calls[1000:], k=k)
    assert {(row["day"], row["prefix"], row["area"]): row["count"] for row in made.released.to_pylist()} == large
    assert made.suppressed_rows == len(calls) - sum(large.values()) > 0


@pytest.mark.parametrize("table", [1 << 24, 1])
@pytest.mark.parametrize("portion", [3, 1 << 20])
@pytest.mark.parametrize("seed", range(3))
def test_the_second_look_finds_each_group_that_is_too_small_wherever_its_people_stand(
    monkeypatch: pytest.MonkeyPatch, seed: int, portion: int, table: int
):
    """Group by group: those that a loop finds large enough are borne out, each of the others alone is enough to refuse."""
    monkeypatch.setattr(counts, "_LEAST", portion)
    monkeypatch.setattr(counts, "_MOST", 2 * portion)
    monkeypatch.setattr(counts, "_TABLE", table)
    drawn, k = random.Random(seed), 5
    calls = [
        call(
            f"4670{drawn.randrange(2 + 3 * day):07}",
            None if day > 4 and drawn.random() < 0.9 else drawn.choice(["112", f"4673{drawn.randrange(9):07}"]),
            day=day,
        )
        for day in range(1, 8)
        for _ in range(drawn.choice([6, 12, 60]))
    ]
    drawn.shuffle(calls)
    rows = pa.Table.from_batches([counts.coarse(batch(calls), GROUPS)])
    released, refused = counts.anonymous(rows.to_batches(), GROUPS, 1).released, 0
    for at, group in enumerate(released.to_pylist()):
        here = [row for row in rows.to_pylist() if all(row[name] == group[name] for name in counts.BY)]
        callers, callees = ({row[side]: 1 for row in here if row[side] is not None} for side in ("caller", "callee"))
        small = len(callers) < k or 0 < len(callees) < k
        refused += small
        with pytest.raises(counts.NotAnonymous) if small else nullcontext():
            counts.check(released.slice(at, 1), rows, GROUPS, k)
    assert 0 < refused < len(released)
    with pytest.raises(counts.NotAnonymous):
        counts.check(released, rows, GROUPS, k)
    counts.check(released.slice(0, 0), rows, GROUPS, k)
