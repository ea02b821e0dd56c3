"""Files that only this process's user may read, from their first byte."""

import os
from pathlib import Path
from typing import BinaryIO


def private(path: Path) -> BinaryIO:
    """A new file, open for writing."""
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))
