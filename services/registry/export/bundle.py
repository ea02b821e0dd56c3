"""A bundle for a regulator: files, `manifest.json` with the hash of each, and the manifest's signature, in one zip.

The bytes depend on nothing but the contents: fixed times, sorted names, nothing compressed. So a bundle asked for again
is the same, and a verifier can build it anew from its parts and see any byte that was changed. Files are read and written
in pieces: a bundle may be larger than memory.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from services.registry.contract.replies import BundleFile

MANIFEST, SIGNATURE = "manifest.json", "manifest.jws"
POLICY_BOOK, POLICY_SIGNATURE = "policy-book.json", "policy-book.jws"

TYPES = {
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "jsonld": "application/ld+json",
    "jws": "application/jose",
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20


class Sink(Protocol):
    """Where an archive is written to, from its beginning to its end."""

    def write(self, piece: bytes, /) -> int: ...

    def flush(self) -> None: ...


def pack(files: Mapping[str, Callable[[], BinaryIO]], sink: Sink) -> None:
    """The archive of these files, each opened when its turn comes: the same files always give the same bytes."""
    with ZipFile(_Forwards(sink), "w", ZIP_STORED) as archive:
        for path in sorted(files):
            entry = ZipInfo(path, _LONG_AGO)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            with files[path]() as source, archive.open(entry, "w", force_zip64=True) as target:
                for piece in pieces(source):
                    target.write(piece)


class _Forwards:
    """A sink that cannot be gone back in, so that each entry is written as it comes and its sums follow it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, piece: bytes) -> int:
        self._sink.write(piece)
        return len(piece)

    def flush(self) -> None:
        self._sink.flush()


def pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(_PIECE):
        yield piece


def listed(folder: Path) -> list[BundleFile]:
    """The manifest's lines about the files of a folder, by path."""
    return [_listed(path) for path in sorted(folder.iterdir())]


def _listed(path: Path) -> BundleFile:
    with path.open("rb") as source:
        return BundleFile(path=path.name, sha256=digest(source), length=path.stat().st_size, type=type_of(path.name))


def digest(source: BinaryIO) -> str:
    total = sha256()
    for piece in pieces(source):
        total.update(piece)
    return total.hexdigest()


def type_of(path: str) -> str:
    return TYPES[path.rpartition(".")[2]]
