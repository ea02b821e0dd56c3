"""Reads the reviewed table and this installation's keys, and refuses a table that says more than its audiences know."""

from pathlib import Path
from typing import Annotated, Literal

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from services.identity.contract import InstalledClient, Role
from services.identity.rules import Client, Table

Scopes = frozenset[str]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")

    grants: frozenset[Literal["client", "code", "exchange"]]
    proof: Literal["key", "none"]
    tenants: Literal["any", "own", "none"]
    audiences: dict[str, Scopes]
    exchanges: Scopes = frozenset()
    page: str | None = None


class _Book(BaseModel):
    model_config = ConfigDict(extra="forbid")

    audiences: dict[str, Scopes]
    clients: dict[str, _Row]
    roles: dict[Role, Scopes]

    @model_validator(mode="after")
    def stays_within_its_audiences(self) -> "_Book":
        for id, row in self.clients.items():
            for audience, scopes in row.audiences.items():
                if unknown := scopes - self.audiences.get(audience, frozenset()):
                    raise ValueError(f"{id} is given {sorted(unknown)}, which {audience} does not know")
            if unknown := row.exchanges - self.audiences.keys():
                raise ValueError(f"{id} exchanges for {sorted(unknown)}, which are no audiences")
            if row.proof == "none" and row.grants != {"code"}:
                raise ValueError(f"{id} proves nothing, so people may log in by it and nothing else")
        return self


_INSTALLED: TypeAdapter[dict[Annotated[str, "client id"], InstalledClient]] = TypeAdapter(dict[str, InstalledClient])


def load(table: Path, secrets_dir: Path, issuer: str = "") -> Table:
    """The table with the keys of `secrets_dir`; a client with a `page` has that address of the issuer's own. Raises ValueError, in words for whoever installs, for a faulty one."""
    book = _Book.model_validate(yaml.safe_load(table.read_text()))
    installed = _installed(secrets_dir)
    if strangers := installed.keys() - book.clients.keys():
        raise ValueError(f"clients.json names {sorted(strangers)}, which {table.name} does not")
    return Table(
        clients={
            id: _client(id, row, installed.get(id, InstalledClient()), issuer) for id, row in book.clients.items()
        },
        audiences=book.audiences,
        roles=book.roles,
    )


def _installed(secrets_dir: Path) -> dict[str, InstalledClient]:
    """The processes' public keys, one file each, and the other clients' entries."""
    processes = {
        path.stem: InstalledClient(jwk=orjson.loads(path.read_bytes()))
        for path in sorted((secrets_dir / "clients").glob("*.jwk"))
    }
    others = secrets_dir / "clients.json"
    return processes | (_INSTALLED.validate_json(others.read_bytes()) if others.exists() else {})


def _client(id: str, row: _Row, here: InstalledClient, issuer: str) -> Client:
    own = [issuer + row.page] if row.page and issuer else []
    return Client(
        id=id,
        grants=row.grants,
        proof=row.proof,
        tenants=row.tenants,
        audiences=row.audiences,
        exchanges=row.exchanges,
        jwk=here.jwk,
        redirect_uris=frozenset([*here.redirect_uris, *own]),
        tenant=here.tenant,
    )


class Shelf:
    """The table as it is now: read again when clients.json or a key appears, since a sample operator is filled after the start."""

    def __init__(self, table: Path, secrets_dir: Path, issuer: str) -> None:
        self.table, self.secrets_dir, self.issuer = table, secrets_dir, issuer
        self._seen = self._state()
        self._held = load(table, secrets_dir, issuer)

    def current(self) -> Table:
        state = self._state()
        if state != self._seen:
            self._held, self._seen = load(self.table, self.secrets_dir, self.issuer), state
        return self._held

    def _state(self) -> tuple[int | None, ...]:
        return tuple(_changed(path) for path in (self.secrets_dir / "clients", self.secrets_dir / "clients.json"))


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
