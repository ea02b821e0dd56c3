"""What a person sees while the house starts: each step as it begins, and how long it took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_began = time.monotonic()


def say(line: str) -> None:
    print(f"[{time.monotonic() - _began:6.1f} s] {line}", flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    say(f"{name} …")
    began = time.monotonic()
    yield
    if time.monotonic() - began > 2:
        say(f"{name}: done in {time.monotonic() - began:.1f} s")


def complain(sentence: str) -> None:
    print(f"wardline: {sentence}", file=sys.stderr, flush=True)
