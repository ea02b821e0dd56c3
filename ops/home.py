"""Where everything generated lives: one directory per running house, `.data` unless told otherwise."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED_BYTES = 1_000_000_000


class CannotRun(Exception):
    """Why the house does not start or stay up, in one sentence for the person at the terminal."""


@dataclass(frozen=True)
class Home:
    path: Path

    @classmethod
    def at(cls, path: str | Path | None = None) -> "Home":
        return cls(Path(path or os.environ.get("WARDLINE_HOME") or ROOT / ".data").absolute())

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def clock(self) -> Path:
        return self.path / "clock"

    @property
    def stack(self) -> Path:
        """What is running: {"processes": {name: {"url", "pid"}}, …}; there only while everything is ready."""
        return self.path / "stack.json"

    @property
    def data_map(self) -> Path:
        """The stores of this house alone, a file each; while there is no such folder, `policy/stores` is what is known."""
        return self.path / "stores"

    def secrets(self, process: str) -> Path:
        """What is mounted as that process's own Secret elsewhere."""
        return self.path / "secrets" / process

    def make(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.path).free < NEEDED_BYTES:
            raise CannotRun(f"There is less than 1 GB free on the disk of {self.path}; make room or set WARDLINE_HOME.")
        self.logs.mkdir(exist_ok=True)
        (self.path / "secrets").mkdir(exist_ok=True, mode=0o700)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held as long as this house runs, and let go by the kernel however the process ends."""
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise CannotRun(
                    f"Another run (process {file.read().strip() or 'unknown'}) is using {self.path}; "
                    "stop it first, or set WARDLINE_HOME to another directory."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def explain(failure: OSError) -> str:
    """An operating system's refusal as one sentence."""
    where = failure.filename or "a file"
    match failure.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"The disk is full: {where} could not be written."
        case errno.EACCES | errno.EPERM:
            return f"No permission for {where}; run as its owner, or set WARDLINE_HOME to a directory of your own."
        case errno.EROFS:
            return f"The file system of {where} is read-only; set WARDLINE_HOME to a directory that can be written."
        case _:
            return f"{failure.strerror}: {where}."
