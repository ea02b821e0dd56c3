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
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile
from zlib import error as BadBytes

from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import ValidationError

from chassis.ledger import checkpoint
from chassis.ledger.verify import verify_receipt
from services.registry import bundle
from services.registry.contract import Manifest, PolicyInForce
from services.registry.contract.signed import BUNDLE, POLICY, NotSigned, opened
from services.registry.rules.book import digest


class CannotCheck(Exception):
    """The material to check, or the keys, cannot be read at all."""


def check(raw: bytes, jwks: dict[str, Any]) -> list[str]:
    """What does not hold of a bundle, each as a sentence; nothing when all of it holds."""
    try:
        files = _files(raw)
    except (BadZipFile, BadBytes, ValueError, EOFError, NotImplementedError, OSError) as broken:
        return [f"the archive is damaged: {broken}"]
    for needed in (bundle.MANIFEST, bundle.SIGNATURE):
        if needed not in files:
            return [f"{needed} is missing"]
    keys = KeySet.import_key_set(jwks)
    try:
        said = opened(files[bundle.SIGNATURE].decode("ascii"), keys, BUNDLE)
        manifest = Manifest.model_validate_json(said)
    except (NotSigned, ValidationError, UnicodeDecodeError) as refused:
        return [f"{bundle.SIGNATURE}: {refused}"]
    return [
        *_files_differ(files, said, manifest),
        *_book_differs(files, manifest, keys),
        *_not_in_ledger(manifest, jwks),
        *_archive_differs(files, raw),
    ]


def _files(raw: bytes) -> dict[str, bytes]:
    with ZipFile(BytesIO(raw)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def _files_differ(files: dict[str, bytes], said: bytes, manifest: Manifest) -> Iterator[str]:
    if files[bundle.MANIFEST] != said:
        place = _first_difference(files[bundle.MANIFEST], said)
        yield f"{bundle.MANIFEST} is not what was signed (first difference at byte {place})"
    promised = {row.path: row for row in manifest.files}
    for path in sorted(promised.keys() - files.keys()):
        yield f"{path} is missing"
    for path in sorted(files.keys() - promised.keys() - {bundle.MANIFEST, bundle.SIGNATURE}):
        yield f"{path} was added"
    for path in sorted(promised.keys() & files.keys()):
        if digest(files[path]) != promised[path].sha256:
            yield f"{path} is not the file that was signed"


def _book_differs(files: dict[str, bytes], manifest: Manifest, keys: KeySet) -> Iterator[str]:
    try:
        book = opened(files.get(bundle.POLICY_SIGNATURE, b"").decode("ascii"), keys, POLICY)
    except (NotSigned, UnicodeDecodeError) as refused:
        yield f"{bundle.POLICY_SIGNATURE}: {refused}"
        return
    if book != files.get(bundle.POLICY_BOOK) or digest(book) != manifest.policy.sha256:
        yield f"{bundle.POLICY_BOOK} is not the book that was signed"


def _not_in_ledger(manifest: Manifest, jwks: dict[str, Any]) -> Iterator[str]:
    yield from (f"ledger: {fault}" for fault in verify_receipt(manifest.ledger, checkpoint.public_keys(jwks)).faults)
    fact = json.loads(manifest.ledger.body)
    told = PolicyInForce.model_validate_json(json.dumps(fact["data"]))
    if fact["type"] != "policy.in_force" or (told.version, told.sha256) != (
        manifest.policy.version,
        manifest.policy.sha256,
    ):
        yield "ledger: the event is not about this version of the policy book"


def _archive_differs(files: dict[str, bytes], raw: bytes) -> Iterator[str]:
    expected = bundle.zipped(files)
    if raw != expected:
        yield f"the archive itself was changed at byte {_first_difference(raw, expected)}"


def _first_difference(one: bytes, other: bytes) -> int:
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.registry.verify", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--keys", type=Path, required=True, help="the registry's public keys (GET /keys)")
    told = parser.parse_args(arguments)
    try:
        raw, jwks = told.bundle.read_bytes(), json.loads(told.keys.read_bytes())
        found = check(raw, jwks)
    except (OSError, ValueError, KeyError, JoseError) as unreadable:
        print(f"cannot check: {unreadable}", file=sys.stderr)
        return 2
    if found:
        print("\n".join(f"DOES NOT HOLD  {sentence}" for sentence in found))
        return 1
    print(f"holds: {told.bundle.name}, {len(raw)} bytes, every file, signature and ledger proof")
    return 0


if __name__ == "__main__":
    sys.exit(main())
