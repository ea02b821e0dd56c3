"""The sample's OAuth clients: what each is called, what it may ask for, and its keys. README.md has the files' format."""

import json
import os
import secrets
from dataclasses import asdict, dataclass

from joserfc.jwk import ECKey

from ops.home import Home
from ops.keys import client, write_once
from sample.cases import PRIVATE

CODE = ("authorization_code", "refresh_token")
OWN = "client_credentials"


@dataclass(frozen=True)
class Client:
    """`tenant` is what its own tokens carry: one tenant, "*" (any, named in the request) or none. Without `key`: public."""

    client_id: str
    name: str
    grants: tuple[str, ...]
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    tenant: str | None = None
    key: bool = True
    redirect_uris: tuple[str, ...] = ()


# Loopback redirects match on any port (RFC 8252, 7.3): the edges take free ports in tests.
BACK = ("http://127.0.0.1/callback",)
CLIENTS = (
    Client(
        "selfservice",
        "Nordtel Mina sidor",
        CODE,
        ("public",),
        ("openid", "consent.read", "consent.write", "decision.ask", "rights.request", "registry.read", "ledger.read"),
        key=False,
        redirect_uris=BACK,
    ),
    Client(
        "staff",
        "Nordtel personal",
        CODE,
        ("internal", "public"),
        (
            "openid",
            "consent.read",
            "consent.write",
            "notice.publish",
            "rights.request",
            "rights.handle",
            "registry.read",
            "registry.export",
            "policy.read",
            "order.intake",
            "order.approve",
            "order.collect",
            "order.release",
            "order.read",
            "data.sweep",
            "data.read",
            "webhooks.manage",
            "events.read",
            "ledger.read",
        ),
        key=False,
        redirect_uris=BACK,
    ),
    Client(
        "helpdesk",
        "Nordtel ärendesystem",
        (OWN,),
        ("public",),
        ("ticket.post", "webhooks.manage", "events.read"),
        tenant=str(PRIVATE.id),
    ),
    Client(
        "callserver",
        "Nordtel samtalsserver",
        (OWN,),
        ("public",),
        ("decision.ask", "consent.read", "consent.write"),
        tenant="*",
    ),
    Client(
        "regulator",
        "Tillsynsmyndigheten",
        (OWN,),
        ("public",),
        ("registry.read", "registry.export", "policy.read", "ledger.read"),
        tenant=str(PRIVATE.id),
    ),
    Client(
        "authority-se",
        "Åklagarmyndigheten",
        (OWN,),
        ("internal",),
        ("order.submit", "order.read", "ledger.read"),
        tenant=str(PRIVATE.id),
    ),
    Client(
        "seeder",
        "Nordtel uppstart",
        (OWN,),
        ("identity", "consent", "anonymizer", "public", "internal"),
        ("accounts.write", "notice.publish", "data.resolve", "clock.set"),
        tenant="*",
    ),
)
SEALED_TO = "authority-se"


def make(home: Home) -> None:
    """Keys for every client that has one, and all of them registered with identity; nothing existing is replaced."""
    keys = home.path / "sample" / "clients"
    for known in CLIENTS:
        if known.key:
            client(home, known.client_id, keys / f"{known.client_id}.jwk")
    _encryption_key(home)
    _register(home)


def _encryption_key(home: Home) -> None:
    """Where sealed packages go: the private half stays with the authority, the public one is what its record holds."""
    folder = home.path / "sample" / "clients"
    private = folder / f"{SEALED_TO}.enc.jwk"
    about = {"kid": f"{SEALED_TO}-enc-{secrets.token_hex(4)}", "alg": "ECDH-ES", "use": "enc"}
    write_once(private, lambda: _bytes(ECKey.generate_key("P-256", about, private=True).as_dict(private=True)))
    key = ECKey.import_key(json.loads(private.read_bytes()))
    write_once(folder / f"{SEALED_TO}.enc.pub.jwk", lambda: _bytes(key.as_dict(private=False)))


def _register(home: Home) -> None:
    """Adds the sample's clients to whatever else is registered in the same file."""
    path = home.secrets("identity") / "clients.json"
    registered = json.loads(path.read_bytes()) if path.exists() else {}
    wanted = registered | {c.client_id: _metadata(c) for c in CLIENTS if c.client_id not in registered}
    if wanted == registered:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(_bytes(wanted))
    os.replace(fresh, path)


def _metadata(known: Client) -> dict:
    told = asdict(known)
    del told["client_id"], told["key"]
    return told | {"auth": "private_key_jwt" if known.key else "none"}


def _bytes(document: dict) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
