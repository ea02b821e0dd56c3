"""What a store gives of several people in one scan, kept for each of them apart."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from cryptography.exceptions import InvalidTag

from chassis.errors import Unavailable
from services.requests.rights.package import spool
from services.requests.rights.package.spool import Kept, Rows, Spool

LINES = [
    {"table": "chat", "columns": []},
    [0, "Anna, till Erik"],
    [1, "Erik, till Anna"],
    [0, "[1, ett citat]\n{"],
    {"table": "agent", "columns": [], "subjects": [1]},
    {"table": "sound", "columns": [], "file": "a.wav", "subjects": [1]},
    ["UklGRg=="],
    {"end": True, "counts": {"chat": 3, "agent": 0}},
]
ANNA = ["chat", ["Anna, till Erik"], ["[1, ett citat]\n{"]]
ROWS = [[n % 2, f"{n} {'x' * 4000}"] for n in range(800)]
LONG = [{"table": "chat", "columns": []}, *ROWS, {"end": True, "counts": {"chat": 800}}]
ERIK = ["chat", ["Erik, till Anna"], "agent", "sound", ["UklGRg=="]]


def _spools(folder: Path, count: int = 2) -> list[Spool]:
    return [Spool(folder / f"{n}.spool", os.urandom(32), uuid4()) for n in range(count)]


async def _stream(lines: list[Any], piece: int = 7) -> AsyncIterator[bytes]:
    """Cut anywhere, as it comes over the wire."""
    whole = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    for at in range(0, len(whole), piece):
        yield whole[at : at + piece]


def _read(one: Spool, kept: Kept) -> list[Any]:
    found: list[Any] = []
    for part in spool.parts(kept.little or one.path, one.key, one.step):
        found += map(orjson.loads, part.lines.splitlines()) if isinstance(part, Rows) else [part.table]
    return found


async def test_each_is_given_what_is_hers_and_nothing_of_the_others(tmp_path: Path):
    both = _spools(tmp_path)
    kept = await spool.keep(both, _stream(LINES))
    assert [one.counts for one in kept] == [{"chat": 2}, {"chat": 1, "agent": 0}]
    assert [*map(_read, both, kept)] == [ANNA, ERIK]


async def test_what_is_little_makes_no_file_and_tells_nothing_without_its_key(tmp_path: Path):
    both = _spools(tmp_path)
    hers, his = await spool.keep(both, _stream(LINES))
    assert list(tmp_path.iterdir()) == [] and b"Anna" not in hers.little
    with pytest.raises(InvalidTag):
        _read(both[0], his)


async def test_of_one_alone_no_row_says_whose_it_is(tmp_path: Path):
    [one] = _spools(tmp_path, 1)
    lines = [{"table": "chat", "columns": []}, ["1", "Anna"], {"end": True, "counts": {"chat": 1}}]
    [kept] = await spool.keep([one], _stream(lines))
    assert kept.counts == {"chat": 1}
    assert _read(one, kept) == ["chat", ["1", "Anna"]]


async def test_what_is_longer_than_a_frame_comes_back_whole(tmp_path: Path):
    both = _spools(tmp_path)
    kept = await spool.keep(both, _stream(LONG, 1 << 16))
    assert [one.counts for one in kept] == [{"chat": 400}, {"chat": 400}]
    assert [*map(_read, both, kept)] == [["chat", *([text] for whose, text in ROWS if whose == n)] for n in (0, 1)]
    assert both[0].path.stat().st_size > 1 << 20 and oct(both[0].path.stat().st_mode)[-3:] == "600"


async def test_a_stream_that_was_cut_leaves_what_was_there_and_nothing_else(tmp_path: Path):
    both = _spools(tmp_path)
    kept = await spool.keep(both, _stream(LONG, 1 << 16))
    with pytest.raises(Unavailable):
        await spool.keep(both, _stream(LONG[:-1], 1 << 16))
    assert _read(both[0], kept[0])[:2] == ["chat", ROWS[0][1:]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.spool", "1.spool"]
