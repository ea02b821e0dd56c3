"""The sound of a recorded call for one of its parties: every other party's voice is silence (GDPR Art. 15(4)).

That works where each party has a channel of its own, as the data map says. Sound in which the voices are mixed, or that is written in a
way not known here, is withheld: nobody can take one voice out of it.
"""

import wave
from collections.abc import Collection, Iterator
from pathlib import Path

WITHHELD = "[motpartens röst kan inte tas bort / the other party's voice cannot be removed]"
_FRAMES = 1 << 15


def may_be_heard(path: Path, channels: int, own: Collection[int]) -> bool:
    """Whether the voices lie apart in this file, and one of them is the person's."""
    if not own or not path.exists():
        return False
    try:
        with wave.open(str(path)) as sound:
            return sound.getnchannels() == channels
    except (wave.Error, EOFError):
        return False


def only(path: Path, own: Collection[int]) -> Iterator[bytes]:
    """The same WAV with the other channels silent, in pieces of some hundred kilobytes."""
    with wave.open(str(path)) as sound:
        channels, width = sound.getnchannels(), sound.getsampwidth()
        # Eight bits are unsigned, all others signed.
        silence = b"\x80" if width == 1 else b"\0"
        out = _Held()
        with wave.open(out, "wb") as copy:  # type: ignore[call-overload]
            copy.setparams(sound.getparams())
            while frames := bytearray(sound.readframes(_FRAMES)):
                count = len(frames) // (channels * width)
                for place in range(channels * width):
                    if place // width not in own:
                        frames[place :: channels * width] = silence * count
                copy.writeframesraw(frames)
                yield out.taken()
        yield out.taken()


def whole(path: Path) -> Iterator[bytes]:
    """Every voice in it, for the organisation that had the call recorded. A recording that went meanwhile has no sound."""
    if path.exists():
        with path.open("rb") as sound:
            while piece := sound.read(_FRAMES * 4):
                yield piece


class _Held:
    """A file that cannot seek: the length is known before the first byte is written."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        """Nothing waits anywhere."""

    def taken(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return held
