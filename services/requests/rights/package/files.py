"""Files that only this process's user may read, from their first byte."""

import os
from pathlib import Path
from typing import BinaryIO, Literal


def private(path: Path, mode: Literal["wb", "ab"] = "wb") -> BinaryIO:
    """A new file, open for writing; or more of it."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))
