"""The offline verifier of bundles: `python -m services.registry.verify bundle.zip --keys jwks.json`.

It needs public keys only, and checks the manifest's signature, the hash of every file, the signature of the policy
book, the proof that this version stands in the registry's ledger, and that the archive is, byte for byte, what these
files give.
Exit status: 0 everything holds, 1 something was changed, 2 it could not be checked.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile
from zlib import error as BadBytes

from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import ValidationError

from chassis.ledger import checkpoint
from chassis.ledger.verify import verify_receipt
from services.registry.contract import Manifest
from services.registry.contract.signed import BUNDLE, POLICY, NotSigned, opened
from services.registry.export import bundle
from services.registry.rules.book import digest


class CannotCheck(Exception):
    """There is nothing to check with: no answer is better than a wrong one."""


def check(raw: bytes, jwks: dict[str, Any]) -> list[str]:
    """What does not hold of a bundle, each as a sentence; nothing when all of it holds."""
    return check_file(BytesIO(raw), jwks)


def check_file(source: BinaryIO, jwks: dict[str, Any]) -> list[str]:
    """The same, read in pieces: a bundle may be larger than memory. Raises CannotCheck without keys."""
    if not isinstance(jwks, dict) or not jwks.get("keys"):
        raise CannotCheck("there is no key to check with")
    try:
        with ZipFile(source) as archive:
            return _check(source, archive, jwks)
    except (BadZipFile, BadBytes, ValueError, EOFError, NotImplementedError, OSError) as broken:
        return [f"the archive is damaged: {broken}"]


def _check(source: BinaryIO, archive: ZipFile, jwks: dict[str, Any]) -> list[str]:
    names = set(archive.namelist())
    for needed in (bundle.MANIFEST, bundle.SIGNATURE):
        if needed not in names:
            return [f"{needed} is missing"]
    keys = KeySet.import_key_set(jwks)
    try:
        said = opened(archive.read(bundle.SIGNATURE).decode("ascii"), keys, BUNDLE)
        manifest = Manifest.model_validate_json(said)
    except (NotSigned, ValidationError, UnicodeDecodeError) as refused:
        return [f"{bundle.SIGNATURE}: {refused}"]
    return [
        *_files_differ(archive, names, said, manifest),
        *_book_differs(archive, names, manifest, keys),
        *_not_in_ledger(manifest, jwks),
        *_register_not_in_ledger(manifest, jwks),
        *_archive_differs(source, archive),
    ]


def _files_differ(archive: ZipFile, names: set[str], said: bytes, manifest: Manifest) -> Iterator[str]:
    written = archive.read(bundle.MANIFEST)
    if written != said:
        yield f"{bundle.MANIFEST} is not what was signed (first difference at byte {_first_difference(written, said)})"
    promised = {row.path: row for row in manifest.files}
    for path in sorted(promised.keys() - names):
        yield f"{path} is missing"
    for path in sorted(names - promised.keys() - {bundle.MANIFEST, bundle.SIGNATURE}):
        yield f"{path} was added"
    for path in sorted(promised.keys() & names):
        with archive.open(path) as file:
            if bundle.digest(file) != promised[path].sha256:
                yield f"{path} is not the file that was signed"


def _book_differs(archive: ZipFile, names: set[str], manifest: Manifest, keys: KeySet) -> Iterator[str]:
    if not {bundle.POLICY_BOOK, bundle.POLICY_SIGNATURE} <= names:
        return
    try:
        book = opened(archive.read(bundle.POLICY_SIGNATURE).decode("ascii"), keys, POLICY)
    except (NotSigned, UnicodeDecodeError) as refused:
        yield f"{bundle.POLICY_SIGNATURE}: {refused}"
        return
    if book != archive.read(bundle.POLICY_BOOK) or digest(book) != manifest.policy.sha256:
        yield f"{bundle.POLICY_BOOK} is not the book that was signed"


def _not_in_ledger(manifest: Manifest, jwks: dict[str, Any]) -> Iterator[str]:
    yield from (f"ledger: {fault}" for fault in verify_receipt(manifest.ledger, checkpoint.public_keys(jwks)).faults)
    fact = json.loads(manifest.ledger.body)
    if fact["type"] != "policy.in_force" or (fact["data"].get("version"), fact["data"].get("sha256")) != (
        manifest.policy.version,
        manifest.policy.sha256,
    ):
        yield "ledger: the event is not about this version of the policy book"


def _register_not_in_ledger(manifest: Manifest, jwks: dict[str, Any]) -> Iterator[str]:
    """That the newest row of the register stands in the ledger, and that it was known by then."""
    proof = manifest.register_row
    if proof is None:
        return
    yield from (f"register: {fault}" for fault in verify_receipt(proof, checkpoint.public_keys(jwks)).faults)
    if json.loads(proof.body)["type"] != "register.changed":
        yield "register: the event is not about the register"


def _archive_differs(source: BinaryIO, archive: ZipFile) -> Iterator[str]:
    """Builds the archive anew from its files and compares it, piece by piece, with what was given."""
    given = _Compared(source)
    bundle.pack({name: partial(archive.open, name) for name in archive.namelist()}, given)
    if (place := given.difference()) is not None:
        yield f"the archive itself was changed at byte {place}"


class _Compared:
    """A sink that keeps nothing: it remembers where what it is given first differs from the file."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self._at, self._differs = source, 0, None

    def write(self, piece: bytes) -> int:
        if self._differs is None:
            # The archive reads its entries from the same file in between.
            self._source.seek(self._at)
            said = self._source.read(len(piece))
            if said != piece:
                self._differs = self._at + _first_difference(said, piece)
        self._at += len(piece)
        return len(piece)

    def flush(self) -> None:
        return None

    def difference(self) -> int | None:
        self._source.seek(self._at)
        longer = bool(self._source.read(1))
        return self._at if self._differs is None and longer else self._differs


def _first_difference(one: bytes, other: bytes) -> int:
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.registry.verify", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--keys", type=Path, required=True, help="the registry's public keys (GET /keys)")
    told = parser.parse_args(arguments)
    try:
        jwks = json.loads(told.keys.read_bytes())
        with told.bundle.open("rb") as source:
            found = check_file(source, jwks)
    except (OSError, ValueError, KeyError, JoseError, CannotCheck) as unreadable:
        print(f"cannot check: {unreadable}", file=sys.stderr)
        return 2
    if found:
        print("\n".join(f"DOES NOT HOLD  {sentence}" for sentence in found))
        return 1
    print(f"holds: {told.bundle.name}, {told.bundle.stat().st_size} bytes, every file, signature and ledger proof")
    return 0


if __name__ == "__main__":
    sys.exit(main())
