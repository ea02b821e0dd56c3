"""The offline verifier of what the registry hands out: `python -m services.registry.verify bundle.zip --keys jwks.json`.

It needs public keys only. Of a regulator's bundle it checks the manifest's signature, the hash of every file, the
signature of the policy book, the proof that this version stands in the registry's ledger, and that the archive is,
byte for byte, what these files give; of a customer's Art. 28 pack the same but for the book, and the certificate of a
contract's end if there is one.
Exit status: 0 everything holds, 1 something was changed, 2 it could not be checked.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile
from zlib import error as BadBytes

from joserfc.jwk import KeySet
from pydantic import ValidationError

from chassis.ledger import checkpoint
from chassis.ledger.verify import verify_receipt
from chassis.verifying import CannotCheck, exit_status, public_keys, say
from services.registry.contract import Manifest
from services.registry.contract.pack import Ending, EndingCertificate, PackManifest
from services.registry.contract.signed import BUNDLE, ENDING, PACK, POLICY, NotSigned, WrongKind, opened
from services.registry.export import bundle
from services.registry.rules.book import digest

Signed = Manifest | PackManifest
# Bytes of a manifest, a book or a signature: none of them is longer, and what is read whole should not fill the memory.
_LONGEST = 1 << 26
_ENCRYPTED = 0x1
_ENDING = "ending.json"
_SHOWN = 20


@dataclass
class Report:
    """`faults` are sentences; `manifest`: what was signed, once the signature was checked."""

    manifest: Signed | None = None
    faults: list[str] = field(default_factory=list)


def check(raw: bytes, jwks: dict[str, Any]) -> list[str]:
    """What does not hold of a bundle or pack, each as a sentence; nothing when all of it holds. Raises CannotCheck without keys."""
    return check_file(BytesIO(raw), jwks).faults


def check_file(source: BinaryIO, jwks: dict[str, Any]) -> Report:
    """The same, read in pieces: a bundle may be larger than memory."""
    if not isinstance(jwks, dict) or not jwks.get("keys"):
        raise CannotCheck("there is no key to check with")
    report = Report()
    try:
        with ZipFile(source) as archive:
            report.faults += _check(report, source, archive, jwks)
    except (BadZipFile, BadBytes, ValueError, EOFError, NotImplementedError, OSError) as broken:
        report.faults.append(f"the archive is damaged: {broken}")
    return report


def _check(report: Report, source: BinaryIO, archive: ZipFile, jwks: dict[str, Any]) -> Iterator[str]:
    names = set(archive.namelist())
    if any(entry.compress_type != ZIP_STORED or entry.flag_bits & _ENCRYPTED for entry in archive.infolist()):
        yield "the archive was packed by somebody else: in ours nothing is compressed or locked"
        return
    for needed in (bundle.MANIFEST, bundle.SIGNATURE):
        if needed not in names:
            yield f"{needed} is missing"
            return
    keys = KeySet.import_key_set(jwks)
    try:
        said, report.manifest = _signed(_read(archive, bundle.SIGNATURE), keys)
    except NotSigned as refused:
        yield f"{bundle.SIGNATURE}: {refused}"
        return
    yield from _files_differ(archive, names, said, report.manifest)
    if isinstance(report.manifest, Manifest):
        yield from _book_differs(archive, names, report.manifest, keys)
        yield from _not_in_ledger(report.manifest, jwks)
        yield from _register_not_in_ledger(report.manifest, jwks)
    else:
        yield from _ending_differs(archive, names, report.manifest, keys)
    yield from _archive_differs(source, archive)


def _signed(signature: bytes, keys: KeySet) -> tuple[bytes, Signed]:
    """The manifest that one of `keys` signed, and its bytes. Raises NotSigned."""
    text, kind = signature.decode("ascii", "replace"), Manifest
    try:
        said = opened(text, keys, BUNDLE)
    except WrongKind:
        said, kind = opened(text, keys, PACK), PackManifest
    try:
        return said, kind.model_validate_json(said)
    except ValidationError:
        raise CannotCheck(
            "it is signed, and says what this release does not know: take the verifier of its own"
        ) from None


def _read(archive: ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LONGEST:
        raise ValueError(f"{name} is longer than any that we write")
    return archive.read(name)


def _files_differ(archive: ZipFile, names: set[str], said: bytes, manifest: Signed) -> Iterator[str]:
    written = _read(archive, bundle.MANIFEST)
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
        book = opened(_read(archive, bundle.POLICY_SIGNATURE).decode("ascii", "replace"), keys, POLICY)
    except NotSigned as refused:
        yield f"{bundle.POLICY_SIGNATURE}: {refused}"
        return
    if book != _read(archive, bundle.POLICY_BOOK) or digest(book) != manifest.policy.sha256:
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


def _ending_differs(archive: ZipFile, names: set[str], manifest: PackManifest, keys: KeySet) -> Iterator[str]:
    """That the certificate of the contract's end is signed, and is about this customer."""
    if _ENDING not in names:
        return
    ending = Ending.model_validate_json(_read(archive, _ENDING))
    if ending.certificate is None:
        return
    try:
        said = EndingCertificate.model_validate_json(opened(ending.certificate, keys, ENDING))
    except NotSigned as refused:
        yield f"{_ENDING}: its certificate: {refused}"
        return
    if said.tenant != manifest.tenant:
        yield f"{_ENDING}: its certificate is another customer's"


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
    parser.add_argument("bundle", type=Path, help="a regulator's bundle or a customer's Art. 28 pack")
    parser.add_argument("--keys", type=Path, required=True, help="the registry's public keys (GET /keys/registry)")
    asked = parser.parse_args(arguments)

    def check() -> bool:
        jwks = public_keys(asked.keys)
        with asked.bundle.open("rb") as source:
            report = check_file(source, jwks)
        _tell(report, asked.bundle)
        return not report.faults

    return exit_status(check)


def _tell(report: Report, path: Path) -> None:
    for sentence in report.faults[:_SHOWN]:
        say(f"DOES NOT HOLD  {sentence}")
    if len(report.faults) > _SHOWN:
        say(f"  … and {len(report.faults) - _SHOWN} more")
    if report.faults or report.manifest is None:
        return
    say(f"holds: {path.name}, {path.stat().st_size} bytes, every file, signature and proof that is in it")
    say(f"  {_about(report.manifest)}")


def _about(manifest: Signed) -> str:
    """What it is of, and of when: an older one holds as well as the newest."""
    if isinstance(manifest, Manifest):
        return f"{manifest.profile} as of {manifest.as_of}, as it was known at {manifest.known_at}"
    return f"the Art. 28 pack of customer organisation {manifest.tenant} as of {manifest.as_of}"


if __name__ == "__main__":
    sys.exit(main())
