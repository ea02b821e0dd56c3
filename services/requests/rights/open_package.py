"""Opens a locked package in the terminal: `python -m services.requests.rights.open_package FILE [--key KEY] [--into FOLDER]`.

The passphrase is asked for, or read from standard input when that is not a terminal; a package that was locked for a key of the person's
own opens with the file of its private half, a JWK.
"""

import argparse
import getpass
import io
import sys
import zipfile
from pathlib import Path

from joserfc.jwk import ECKey

from chassis.verifying import CannotCheck, private_key
from services.requests.rights.package.unlock import DoesNotOpen, is_for_a_key, unlock


def main() -> int:
    arguments = argparse.ArgumentParser(prog="open_package", description=__doc__.splitlines()[0])
    arguments.add_argument("file", type=Path)
    arguments.add_argument("--into", type=Path, help="folder for the archive's files; else they are only listed")
    arguments.add_argument("--key", type=Path, help="file of the private key for which it was locked, a JWK")
    chosen = arguments.parse_args()
    try:
        unlocked = unlock(chosen.file, _opens_with(chosen.file, chosen.key))
    except (OSError, DoesNotOpen) as refused:
        print(f"{chosen.file}: {refused}", file=sys.stderr)
        return 1
    with zipfile.ZipFile(io.BytesIO(unlocked.archive)) as archive:
        for member in archive.infolist():
            print(f"{member.file_size:>12} {member.filename}")
        if chosen.into:
            archive.extractall(chosen.into)
    return 0


def _opens_with(file: Path, key: Path | None) -> str | ECKey:
    if key is not None:
        try:
            return private_key(key, "it was locked")
        except CannotCheck:
            raise DoesNotOpen(f"{key} holds no private key on P-256 as a JWK") from None
    if is_for_a_key(file):
        raise DoesNotOpen("it was locked for a key of your own: name its file with --key")
    return getpass.getpass("Passphrase: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


if __name__ == "__main__":
    raise SystemExit(main())
