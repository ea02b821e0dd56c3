"""Makes every secret of the house once, as files that only their process may read.

Nothing is ever overwritten: to rotate a key, a new file is put beside the old one (docs/house.md, Settings). Nor is a lost one
replaced, for what it sealed and signed is read and proven by no other, and what another one seals meanwhile the old one never opens.
A whole folder that is lost looks here like one that is still to be made: the process itself sees that it has strange keys, and does
not begin (chassis/own_keys.py).
"""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from joserfc.jwk import ECKey, Key, OKPKey

from ops.catalogue import PROCESSES, SERVICES, Process
from ops.home import CannotRun, Home

OWN_INDEX = {"disclosure"}  # its blind index must not be comparable with the public services'


def make(home: Home) -> None:
    """Every process's secrets directory, complete; a second call changes nothing. Raises CannotRun for a key that is lost."""
    _password(home.secrets("postgres") / "superuser.password")
    shared_index = _index_in_use(home) or _first_index(home)
    for process in PROCESSES:
        folder = home.secrets(process.name)
        client(home, process.name, folder / "client.jwk")
        if process.database:
            _service_secrets(home, process, shared_index)


def client(home: Home, name: str, path: Path) -> None:
    """An OAuth client's key pair: the private half at `path`, the public one registered with identity."""
    registered = home.secrets("identity") / "clients" / f"{name}.jwk"
    write_once(path, lambda: _jwk(name, "client", "ES256"))
    private = ECKey.import_key(json.loads(path.read_bytes()))
    public = json.dumps(private.as_dict(private=False)).encode()
    if registered.exists() and registered.read_bytes() != public:
        # It says who speaks and nothing else: after a loss another one does as well, and so does the old one that was put back.
        registered.unlink()
    write_once(registered, lambda: public)


def _service_secrets(home: Home, process: Process, shared_index: bytes) -> None:
    folder = home.secrets(process.name)
    own, signing = process.name in OWN_INDEX, "token" if process.name == "identity" else "signing"
    makers = {
        "ledger.jwk": lambda: _jwk(process.name, "ledger", "Ed25519"),
        f"{signing}.jwk": lambda: _jwk(process.name, signing, "ES256" if signing == "token" else "Ed25519"),
        "index.key": lambda: secrets.token_bytes(32) if own else shared_index,
    }
    if not any((folder / "epochs").glob("*.key")):
        makers["epochs/1.key"] = lambda: secrets.token_bytes(32)
    for name, content in makers.items():
        # The others' copy of the shared one is as good.
        if _is_complete(folder) and (own or name != "index.key"):
            _must_be_there(folder / name)
        write_once(folder / name, content)
    if process.name == "rights":
        # What another operator seals for: a package that a person has brought here from there.
        write_once(folder / "portability.jwk", lambda: _jwk(process.name, "portability", "ECDH-ES+A256KW"))
    # The process itself never sees the migrator's password.
    _password(home.secrets("migrate") / f"{process.name}.password")
    _password(folder / "db_system.password")
    _password(folder / "db.password")


def _is_complete(folder: Path) -> bool:
    """The last file that is written: where it lies, all keys did."""
    return (folder / "db.password").exists()


def _must_be_there(path: Path) -> None:
    if not path.exists():
        raise CannotRun(
            f"{path} is lost: put it back from a copy. A new one could read and prove nothing of what there is."
        )


def _first_index(home: Home) -> bytes:
    for process in SERVICES:
        if process.name not in OWN_INDEX and _is_complete(home.secrets(process.name)):
            _must_be_there(home.secrets(process.name) / "index.key")
    return secrets.token_bytes(32)


def write_once(path: Path, content: Callable[[], bytes]) -> None:
    """Writes a file only its owner may read, whole or not at all; an existing one stays as it is."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _password(path: Path) -> None:
    write_once(path, lambda: secrets.token_urlsafe(24).encode())


def _jwk(process: str, use: str, algorithm: str) -> bytes:
    """A private JWK whose `kid` says whose it is and what for."""
    for_sealing = algorithm.startswith("ECDH")
    kid = {"kid": f"{process}-{use}-{secrets.token_hex(4)}", "alg": algorithm, "use": "enc" if for_sealing else "sig"}
    key: Key
    if algorithm == "ES256" or for_sealing:
        key = ECKey.generate_key("P-256", kid, private=True)
    else:
        key = OKPKey.generate_key("Ed25519", kid, private=True)
    return json.dumps(key.as_dict(private=True)).encode()


def _index_in_use(home: Home) -> bytes | None:
    for process in SERVICES:
        path = home.secrets(process.name) / "index.key"
        if process.name not in OWN_INDEX and path.exists():
            return path.read_bytes()
    return None
