"""The sample's OAuth clients: their keys, and where identity finds the public halves. What each may do, identity's table says."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from joserfc.jwk import ECKey

from ops.home import Home
from ops.keys import write_once
from sample.cases import PRIVATE, REGULATOR

# Nobody listens there: the tour reads code and state from the redirect itself. Compared character by character.
CALLBACK = "http://127.0.0.1/callback"
SEALED_TO = "authority-se"


@dataclass(frozen=True)
class Client:
    """People log in by a client with a redirect address; one without proves itself with a key."""

    id: str
    tenant: UUID | None = None
    redirect_uris: tuple[str, ...] = ()


CLIENTS = (
    Client("selfservice", redirect_uris=(CALLBACK,)),
    Client("staff", redirect_uris=(CALLBACK,)),
    Client("helpdesk", PRIVATE.id),
    Client("callserver"),
    Client("api-consumer", PRIVATE.id),
    Client("regulator", REGULATOR),
    Client("authority-se", PRIVATE.id),
    Client("seeder"),
)


def folder(home: Home) -> Path:
    """`<client>.jwk`, private; and for the authority `<client>.enc.jwk`, what sealed packages are encrypted to."""
    return home.path / "sample" / "clients"


def make(home: Home) -> None:
    """A key for every client that needs one, and all of them registered with identity; nothing existing is replaced."""
    entries = {known.id: _entry(home, known) for known in CLIENTS}
    _key(folder(home) / f"{SEALED_TO}.enc.jwk", f"{SEALED_TO}-enc", "ECDH-ES", "enc")
    _register(home.secrets("identity") / "clients.json", entries)


def public_key(path: Path) -> dict:
    """The public half of a private JWK file."""
    return ECKey.import_key(json.loads(path.read_bytes())).as_dict(private=False)


def _entry(home: Home, known: Client) -> dict:
    tenant = {"tenant": str(known.tenant)} if known.tenant else {}
    if known.redirect_uris:
        return {"redirect_uris": list(known.redirect_uris), **tenant}
    path = folder(home) / f"{known.id}.jwk"
    _key(path, f"{known.id}-client", "ES256", "sig")
    return {"jwk": public_key(path), **tenant}


def _key(path: Path, name: str, algorithm: str, use: str) -> None:
    about = {"kid": f"{name}-{secrets.token_hex(4)}", "alg": algorithm, "use": use}
    write_once(
        path, lambda: json.dumps(ECKey.generate_key("P-256", about, private=True).as_dict(private=True)).encode()
    )


def _register(path: Path, entries: dict[str, dict]) -> None:
    """Adds the sample's clients to whatever else the installation has registered; identity reads the file again by itself."""
    registered = json.loads(path.read_bytes()) if path.exists() else {}
    if entries.items() <= registered.items():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(registered | entries, indent=1) + "\n")
    os.replace(fresh, path)
