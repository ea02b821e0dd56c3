"""Who may log in at the sample operator: its planted customers, and one person per staff role."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from ops.keys import write_once
from sample.cases import FJALLRESOR, KUSTBANKEN, PEOPLE, PRIVATE

# Easy to read out and type, hard to guess: four of these and two digits are 42 bits, behind a slow hash and a rate limit.
SYLLABLES = [a + b for a in "bdfghjklmnprstv" for b in "aeiouy"]


@dataclass(frozen=True)
class Account:
    """`person` names the planted person (`sample.cases.PEOPLE`); staff have roles instead."""

    username: str
    name: str
    kind: str
    tenant: UUID
    roles: tuple[str, ...] = ()
    person: str | None = None


CUSTOMERS = tuple(Account(p.account, p.name, "customer", p.tenant.id, person=key) for key, p in PEOPLE.items())
STAFF = tuple(
    Account(username, name, "staff", tenant.id, (role,))
    for username, name, tenant, role in (
        ("helpdesk", "Hilda Stödberg", PRIVATE, "helpdesk"),
        ("privacy", "Pontus Skyddman", PRIVATE, "privacy_officer"),
        ("intake", "Isa Inkommande", PRIVATE, "intake"),
        ("approver1", "Gunilla Granskare", PRIVATE, "approver"),
        ("approver2", "Gösta Granskare", PRIVATE, "approver"),
        ("collector", "Ingvar Insamlare", PRIVATE, "collector"),
        ("releaser", "Ulla Utlämnare", PRIVATE, "releaser"),
        ("auditor", "Rut Revisor", PRIVATE, "auditor"),
        ("operations", "Olof Driftman", PRIVATE, "operations"),
        ("privacy.kustbanken", "Kajsa Kontakt", KUSTBANKEN, "privacy_contact"),
        ("privacy.fjallresor", "Frida Kontakt", FJALLRESOR, "privacy_contact"),
    )
)
ACCOUNTS = (*CUSTOMERS, *STAFF)


def make(path: Path) -> None:
    """`HOME/sample/logins.json`, once per house: every account with a password of its own."""
    write_once(path, lambda: _document())


def read(path: Path) -> list[dict]:
    """[{username, password, name, kind, tenant, roles, person}]"""
    return json.loads(path.read_text())


def _document() -> bytes:
    logins = [{**asdict(a), "tenant": str(a.tenant), "password": _password()} for a in ACCOUNTS]
    return (json.dumps(logins, ensure_ascii=False, indent=1) + "\n").encode()


def _password() -> str:
    words = ("".join(secrets.choice(SYLLABLES) for _ in range(3)) for _ in range(2))
    return "-".join(words) + f"-{secrets.randbelow(100):02}"
