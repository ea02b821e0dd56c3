"""The sound of a recorded call, as one of its parties gets it: the others are silent, or nothing is handed over."""

import io
import wave
from array import array
from base64 import b64decode
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from sample.cases import PRIVATE
from services.anonymizer.connectors.files import voices
from services.anonymizer.contract import CollectionRequest
from tests.anonymizer.conftest import House


def written(path: Path, channels: int, width: int = 2, frames: int = 70_000) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((channels, width, 8000, frames, "NONE", "not compressed"))
        sound.writeframes(bytes(range(1, channels * width + 1)) * frames)
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("own", [0, 1])
def test_only_her_own_channel_is_heard_however_long_and_deep_the_sound_is(tmp_path: Path, width: int, own: int):
    whole = written(tmp_path / "call.wav", 2, width)
    pieces = list(voices.only(whole, [own]))
    assert max(map(len, pieces)) < 1 << 19, "piece by piece"
    with wave.open(io.BytesIO(b"".join(pieces))) as heard, wave.open(str(whole)) as before:
        assert heard.getparams() == before.getparams()
        said, silence = bytes(range(1, 2 * width + 1)), b"\x80" if width == 1 else bytes(width)
        frame = said[:width] + silence if own == 0 else silence + said[width:]
        assert heard.readframes(heard.getnframes()) == frame * heard.getnframes()


@pytest.mark.parametrize(
    ("content", "own"),
    [("mono", [0]), ("nobody's", []), ("no sound", [0]), ("not there", [0])],
)
def test_mixed_or_unknown_sound_is_withheld(tmp_path: Path, content: str, own: list[int]):
    path = tmp_path / "call.wav"
    if content != "not there":
        written(path, 1 if content == "mono" else 2)
    if content == "no sound":
        path.write_bytes(b"OggS and so on")
    assert not voices.may_be_heard(path, 2, own)


async def test_a_caller_gets_the_sound_of_her_calls_without_the_desk(house: House):
    nadia = await house.principal("nadia")
    wish = CollectionRequest(step=uuid4(), store="recordings", principal=nadia)
    async with house.client.collect(wish, tenant=PRIVATE.id) as stream:
        lines = [orjson.loads(line) for line in b"".join([chunk async for chunk in stream]).splitlines()]
    names = [column["name"] for column in lines[0]["columns"]]
    rows = lines[1 : next(place for place, line in enumerate(lines[1:], 1) if isinstance(line, dict))]
    told = {row[names.index("sound")] for row in rows}
    files = [line["file"] for line in lines if isinstance(line, dict) and line.get("file")]
    # 4711 with its versions goes in a test of deletion, which may have run before.
    assert told == set(files) >= {"4710.wav", "4712.wav"}
    at = next(place for place, line in enumerate(lines) if isinstance(line, dict) and line.get("file") == "4710.wav")
    [piece] = lines[at + 1]
    with wave.open(io.BytesIO(b64decode(piece))) as sound:
        samples = array("h", sound.readframes(sound.getnframes()))
    assert any(samples[0::2]) and not any(samples[1::2])
