"""Opens a locked package in the terminal: `python -m services.requests.rights.open_package FILE [--into FOLDER]`.

The passphrase is asked for, or read from standard input when that is not a terminal.
"""

import argparse
import getpass
import io
import sys
import zipfile
from pathlib import Path

from services.requests.rights.package.unlock import DoesNotOpen, unlock


def main() -> int:
    arguments = argparse.ArgumentParser(prog="open_package", description=__doc__.splitlines()[0])
    arguments.add_argument("file", type=Path)
    arguments.add_argument("--into", type=Path, help="folder for the archive's files; else they are only listed")
    chosen = arguments.parse_args()
    passphrase = getpass.getpass("Passphrase: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    try:
        unlocked = unlock(chosen.file, passphrase)
    except (OSError, DoesNotOpen) as refused:
        print(f"{chosen.file}: {refused}", file=sys.stderr)
        return 1
    with zipfile.ZipFile(io.BytesIO(unlocked.archive)) as archive:
        for member in archive.infolist():
            print(f"{member.file_size:>12} {member.filename}")
        if chosen.into:
            archive.extractall(chosen.into)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
