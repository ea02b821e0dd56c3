"""Business time where several apps run in one process: each one's clock counts until it ends, and ends with it alone."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis import clock


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / str(days) for days in range(3)]
    for days, file in enumerate(found):
        clock.set_offset(file, timedelta(days=days))
    return found


def shift() -> int:
    return round((clock.now() - datetime.now(UTC)) / timedelta(days=1))


def test_whoever_ends_leaves_the_others_their_clock(files: list[Path]) -> None:
    with clock.shifted_by(files[1]):
        with clock.shifted_by(files[2]):
            assert shift() == 2
        assert shift() == 1
    assert shift() == 0


def test_whoever_ends_first_though_it_came_first_takes_only_its_own(files: list[Path]) -> None:
    with ExitStack() as later:
        with clock.shifted_by(files[1]):
            later.enter_context(clock.shifted_by(files[2]))
        assert shift() == 2
    assert shift() == 0


def test_whoever_has_no_clock_of_its_own_takes_nobody_elses(files: list[Path]) -> None:
    with clock.shifted_by(files[1]), clock.shifted_by(None):
        assert shift() == 1


def test_a_clock_is_moved_by_what_is_written_in_its_file_and_by_nothing_without_one(files: list[Path]) -> None:
    with clock.shifted_by(files[1]):
        clock.set_offset(files[1], timedelta(days=7))
        assert shift() == 7
        files[1].unlink()
        assert shift() == 0


def test_a_file_that_is_just_being_written_is_read_again(tmp_path):
    """A shell empties it before it writes: background work that looked in between ended until the house was started anew."""
    path = tmp_path / "clock"
    clock.set_offset(path, timedelta(days=1))
    with clock.shifted_by(path):
        ahead = clock.now()
        for half in ("", "-", "nan", "1e99"):
            path.write_text(half)
            assert timedelta(0) <= clock.now() - ahead < timedelta(hours=1)
        path.write_text("0")
        assert clock.now() < ahead
