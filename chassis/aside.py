"""A stream that is read as fast as it comes and given on as fast as it is taken: whoever is slow holds nothing of where it comes from.

What lies in between is in a file that has no name, under a key that is nowhere but in memory: with the process both are gone.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryFile

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


async def aside(stream: AsyncGenerator[bytes], folder: Path) -> AsyncGenerator[bytes]:
    """The same pieces. What `stream` raises is raised after the pieces that came before, and OSError where the disk is full."""
    with TemporaryFile(dir=folder, buffering=0) as file:
        lying = _Lying(file.fileno())
        reading = asyncio.create_task(_read(stream, lying))
        reading.add_done_callback(lambda _: lying.more.set())
        try:
            while True:
                lying.more.clear()
                while lying.sizes:
                    yield await asyncio.to_thread(lying.next)
                if reading.done():
                    break
                await lying.more.wait()
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _read(stream: AsyncGenerator[bytes], lying: "_Lying") -> None:
    async with aclosing(stream):
        async for piece in stream:
            await asyncio.to_thread(lying.put, piece)
            lying.more.set()


class _Lying:
    """What was put and not yet taken, in order. One thread puts and one takes."""

    def __init__(self, file: int) -> None:
        self.file, self.lock = file, AESGCM(AESGCM.generate_key(256))
        self.sizes = deque[int]()
        self.more = asyncio.Event()
        self._put_at = self._next_at = 0

    def put(self, piece: bytes) -> None:
        # Where it begins is its nonce: no two begin at one place, and the key is this file's own.
        locked = self.lock.encrypt(_nonce(self._put_at), piece, None)
        written = 0
        while written < len(locked):
            written += os.pwrite(self.file, locked[written:], self._put_at + written)
        self._put_at += len(locked)
        self.sizes.append(len(locked))

    def next(self) -> bytes:
        locked = os.pread(self.file, self.sizes[0], self._next_at)
        piece = self.lock.decrypt(_nonce(self._next_at), locked, None)
        self._next_at += self.sizes.popleft()
        return piece


def _nonce(place: int) -> bytes:
    return place.to_bytes(12, "big")
