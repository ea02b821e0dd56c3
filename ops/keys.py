"""Makes every secret of the house once, as files that only their process may read.

Nothing is ever overwritten: to rotate a key, a new file is put beside the old one (docs/house.md, Settings).
"""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from joserfc.jwk import ECKey, Key, OKPKey

from ops.catalogue import PROCESSES, SERVICES, Process
from ops.home import Home

OWN_INDEX = {"disclosure"}  # its blind index must not be comparable with the public services'


def make(home: Home) -> None:
    """Every process's secrets directory, complete; a second call changes nothing."""
    _password(home.secrets("postgres") / "superuser.password")
    shared_index = _index_in_use(home) or secrets.token_bytes(32)
    for process in PROCESSES:
        folder = home.secrets(process.name)
        client(home, process.name, folder / "client.jwk")
        if process.database:
            _service_secrets(home, process, shared_index)


def client(home: Home, name: str, path: Path) -> None:
    """An OAuth client's key pair: the private half at `path`, the public one registered with identity."""
    write_once(path, lambda: _jwk(name, "client", "ES256"))
    private = ECKey.import_key(json.loads(path.read_bytes()))
    public = json.dumps(private.as_dict(private=False)).encode()
    write_once(home.secrets("identity") / "clients" / f"{name}.jwk", lambda: public)


def _service_secrets(home: Home, process: Process, shared_index: bytes) -> None:
    folder = home.secrets(process.name)
    for role in ("db", "db_system"):
        _password(folder / f"{role}.password")
    # The process itself never sees the migrator's password.
    _password(home.secrets("migrate") / f"{process.name}.password")
    write_once(folder / "ledger.jwk", lambda: _jwk(process.name, "ledger", "Ed25519"))
    if process.name == "identity":
        write_once(folder / "token.jwk", lambda: _jwk(process.name, "token", "ES256"))
    else:
        write_once(folder / "signing.jwk", lambda: _jwk(process.name, "signing", "Ed25519"))
    if process.name == "rights":
        # What another operator seals for: a package that a person has brought here from there.
        write_once(folder / "portability.jwk", lambda: _jwk(process.name, "portability", "ECDH-ES+A256KW"))
    own = process.name in OWN_INDEX
    write_once(folder / "index.key", lambda: secrets.token_bytes(32) if own else shared_index)
    write_once(folder / "epochs" / "1.key", lambda: secrets.token_bytes(32))


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
