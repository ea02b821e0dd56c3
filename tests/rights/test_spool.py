"""What a store gives of several people in one scan, kept for each of them apart."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from chassis.errors import Unavailable
from services.requests.rights.package import spool
from services.requests.rights.package.spool import Rows, Spool

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
ERIK = ["chat", ["Erik, till Anna"], "agent", "sound", ["UklGRg=="]]


def _spools(folder: Path, count: int = 2) -> list[Spool]:
    return [Spool(folder / f"{n}.spool", os.urandom(32), uuid4()) for n in range(count)]


async def _stream(lines: list[Any], piece: int = 7) -> AsyncIterator[bytes]:
    """Cut anywhere, as it comes over the wire."""
    whole = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    for at in range(0, len(whole), piece):
        yield whole[at : at + piece]


def _kept(one: Spool) -> list[Any]:
    found: list[Any] = []
    for part in spool.parts(one.path, one.key, one.step):
        found += map(orjson.loads, part.lines.splitlines()) if isinstance(part, Rows) else [part.table]
    return found


async def test_each_is_given_what_is_hers_and_nothing_of_the_others(tmp_path: Path):
    both = _spools(tmp_path)
    assert await spool.keep(both, _stream(LINES)) == [{"chat": 2}, {"chat": 1, "agent": 0}]
    assert [_kept(one) for one in both] == [ANNA, ERIK]


async def test_of_one_alone_no_row_says_whose_it_is(tmp_path: Path):
    [one] = _spools(tmp_path, 1)
    lines = [{"table": "chat", "columns": []}, ["1", "Anna"], {"end": True, "counts": {"chat": 1}}]
    assert await spool.keep([one], _stream(lines)) == [{"chat": 1}]
    assert _kept(one) == ["chat", ["1", "Anna"]]


async def test_what_is_longer_than_a_frame_comes_back_whole(tmp_path: Path):
    both = _spools(tmp_path)
    rows = [[n % 2, f"{n} {'x' * 4000}"] for n in range(800)]
    lines = [{"table": "chat", "columns": []}, *rows, {"end": True, "counts": {"chat": 800}}]
    assert await spool.keep(both, _stream(lines, 1 << 16)) == [{"chat": 400}, {"chat": 400}]
    assert [_kept(one) for one in both] == [["chat", *([text] for whose, text in rows if whose == n)] for n in (0, 1)]
    assert both[0].path.stat().st_size > 1 << 20 and oct(both[0].path.stat().st_mode)[-3:] == "600"


async def test_a_stream_that_was_cut_leaves_what_was_there_and_nothing_else(tmp_path: Path):
    both = _spools(tmp_path)
    await spool.keep(both, _stream(LINES))
    with pytest.raises(Unavailable):
        await spool.keep(both, _stream(LINES[:-1]))
    assert [_kept(one) for one in both] == [ANNA, ERIK]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.spool", "1.spool"]
