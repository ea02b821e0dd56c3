"""What a PDF has packed into streams of objects, unpacked in a process of its own: `python -m services.requests.rights.inside`.

A stranger's file is read there in pure Python, with little time and memory, and nothing of it is run. Whatever cannot be read strictly as
the standard says is refused: a reader that mends it might see something else than we.
"""

import asyncio
import resource
import sys
from collections.abc import Iterator

MEMORY, PROCESSOR, PATIENCE = 320 << 20, 5, 15.0
"""Bytes of address space and seconds of processor time that one may take; seconds that anybody waits for it."""

_AT_ONCE = asyncio.Semaphore(2)
_LARGEST = 16 << 20


class Unreadable(Exception):
    """It is broken, locked by a password, larger than anybody's paper, or takes too much of the processor."""


async def unpacked(content: bytes, streams: int) -> bytes:
    """The text of all objects that are packed in it. `streams`: so many say that they hold some. Raises Unreadable, and TimeoutError where this
    machine had no time for it: that is no word of what is there."""
    async with _AT_ONCE:
        return await _elsewhere(content, streams)


async def _elsewhere(content: bytes, streams: int) -> bytes:
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    command = (sys.executable, "-m", __name__, str(streams))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=nowhere)
    try:
        text, _ = await asyncio.wait_for(process.communicate(content), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Unreadable
    return text


def unpack(content: bytes, streams: int) -> Iterator[bytes]:
    """Raises whatever the library does, and Unreadable for a stream of objects that its own table does not name."""
    from io import BytesIO

    from pypdf import PdfReader
    from pypdf.generic import StreamObject

    reader = PdfReader(BytesIO(content), strict=True)
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable
    named, left, kept = 0, _LARGEST, {number for number, _ in reader.xref_objStm.values()}
    for number in {number for each in reader.xref.values() for number in each} | kept:
        found = reader.get_object(number)
        if isinstance(found, StreamObject) and (number in kept or "/First" in found or found.get("/Type") == "/ObjStm"):
            named += 1
            text = found.get_data()
            left -= len(text)
            if left < 0:
                raise Unreadable
            yield text
    if named < streams:
        raise Unreadable


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for text in unpack(sys.stdin.buffer.read(), int(sys.argv[1])):
        sys.stdout.buffer.write(text + b"\n")


if __name__ == "__main__":
    main()
