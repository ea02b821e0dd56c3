"""A MariaDB server of a test's own: Debian's, in a folder, on a free port."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from tests.patience import PATIENCE


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """The port it listens on. Skips, loudly, where there is none."""
    if not shutil.which("mariadbd"):
        pytest.skip("!!! mariadbd is missing: apt-get install mariadb-server; the MariaDB connector is not tested here")
    data, user = folder / "data", f"--user={_user()}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            user,
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ],
        check=True,
        **quiet,
    )
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    running = subprocess.Popen(
        [
            "mariadbd", "--no-defaults", f"--datadir={data}", user, f"--port={port}", "--bind-address=127.0.0.1",
            f"--socket={folder}/s", f"--pid-file={folder}/pid", "--skip-name-resolve", "--innodb-buffer-pool-size=16M",
        ],
        **quiet,
    )  # fmt: skip
    try:
        _until_up(port)
        yield port
    finally:
        running.terminate()
        running.wait(PATIENCE)


def admin(port: int, database: str | None = None) -> pymysql.Connection:
    return pymysql.connect(host="127.0.0.1", port=port, user="root", database=database, autocommit=True)


def _user() -> str:
    return "root" if os.getuid() == 0 else os.environ.get("USER", "nobody")


def _until_up(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            admin(port).close()
            return
        except pymysql.err.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
