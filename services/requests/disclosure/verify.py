"""Opens and checks a sealed package, offline.

    python -m services.requests.disclosure.verify package.jwe --keys keys.json --key own.jwk

`--keys` are the operator's public keys (GET /keys of the disclosure service); `--key` is the recipient's private key,
needed only to open the package: a ZIP that was opened before is checked with the public keys alone. `--into` writes
what holds to a folder.
Exit status: 0 everything holds, 1 something was changed, 2 it could not be checked.
"""

import argparse
import io
import json
import sys
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from chassis.verifying import CannotCheck, exit_status, private_key, public_keys, say
from services.requests.disclosure.package import MANIFEST, opened, root_of, signed_manifest

_LONGEST = 1 << 27  # bytes of a manifest: twice what is signed, since a signature is base64
# What a damaged or hostile archive may raise while it is read.
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    ValueError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
)


@dataclass
class Report:
    """`faults` are sentences; `files` only what is exactly as it was signed."""

    manifest: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.faults


def verify_package(content: bytes, keys: KeySet, private: ECKey | None = None) -> Report:
    """Everything that can be said about a package. Raises CannotCheck where it is sealed and no key was given."""
    report = Report()
    if content[:2] != b"PK":
        if private is None:
            raise CannotCheck("the package is sealed: give the recipient's private key with --key")
        try:
            content = opened(content, private)
        except (JoseError, ValueError, TypeError):
            report.faults.append("the seal is broken: it is for another key, or a byte of the package was changed")
            return report
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check(report, archive, keys)
    except _UNREADABLE:
        report.faults.append("the archive inside cannot be read: a byte of it was changed")
    return report


def _check(report: Report, archive: zipfile.ZipFile, keys: KeySet) -> None:
    names = archive.namelist()
    if MANIFEST not in names:
        report.faults.append("there is no manifest")
        return
    if archive.getinfo(MANIFEST).file_size > _LONGEST:
        report.faults.append("the manifest is longer than any that is sealed")
        return
    try:
        report.manifest = json.loads(signed_manifest(archive.read(MANIFEST), keys))
    except (JoseError, ValueError, TypeError):
        report.faults.append("the manifest was changed, or none of these keys signed it")
        return
    items = report.manifest["items"]
    for item in items:
        _check_item(report, archive, names, item)
    listed = {MANIFEST, *(item["path"] for item in items)}
    report.faults += [f"{name}: stands in no manifest" for name in names if name not in listed]
    if len(names) != len(set(names)):
        report.faults.append("a file is there twice")
    if root_of(items) != report.manifest["root"]:
        report.faults.append("the Merkle root is not that of the items")


def _check_item(report: Report, archive: zipfile.ZipFile, names: list[str], item: dict[str, Any]) -> None:
    path = item["path"]
    if path not in names:
        report.faults.append(f"{path}: missing")
        return
    try:
        # Whatever it unpacks to, no more is read than the archive says of it.
        content = archive.read(path) if archive.getinfo(path).file_size == item["length"] else None
    except _UNREADABLE:
        report.faults.append(f"{path}: was changed (it cannot be unpacked)")
        return
    if content is None or sha256(content).hexdigest() != item["sha256"]:
        report.faults.append(f"{path}: was changed")
    elif item["order_hash"] != report.manifest["order_hash"]:
        report.faults.append(f"{path}: belongs to another order")
    else:
        report.files[path] = content


def _write(report: Report, folder: Path) -> None:
    for path, content in report.files.items():
        inside = PurePosixPath(path)
        if inside.is_absolute() or ".." in inside.parts:
            raise CannotCheck(f"{path} would be written outside the folder")
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(report.manifest, indent=1, ensure_ascii=False) + "\n")


def _tell(report: Report, path: Path) -> None:
    manifest = report.manifest
    if manifest:
        say(f"{path}: order {manifest['reference']} of {manifest['authority']}, sealed {manifest['sealed_at']}")
        for item in manifest["items"]:
            mark = "      ok" if item["path"] in report.files else " CHANGED"
            say(f"{mark}  {item['path']}  {item['rows']} rows of {item['store']}, sha256 {item['sha256'][:16]}…")
    else:
        say(f"{path}:")
    for fault in report.faults:
        say(f" CHANGED  {fault}")
    say("  everything holds" if report.holds else "  NOT what was sealed")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m services.requests.disclosure.verify", description="Opens and checks a sealed package."
    )
    parser.add_argument("package", type=Path)
    parser.add_argument("--keys", type=Path, required=True, help="the operator's public keys (JWKS)")
    parser.add_argument("--key", type=Path, help="the recipient's private key (JWK), to open the package")
    parser.add_argument("--into", type=Path, help="a folder for what holds")
    asked = parser.parse_args(arguments)

    def check() -> bool:
        private = private_key(asked.key, "packages are sealed") if asked.key else None
        keys = KeySet.import_key_set(public_keys(asked.keys))
        report = verify_package(asked.package.read_bytes(), keys, private)
        _tell(report, asked.package)
        if asked.into and report.manifest:
            _write(report, asked.into)
        return report.holds

    return exit_status(check)


if __name__ == "__main__":
    sys.exit(main())
