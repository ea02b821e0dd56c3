"""Who may log in at the sample operator: its planted customers, and people for each staff role, which seeding has granted."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from ops.keys import write_once
from sample.cases import FJALLRESOR, KUSTBANKEN, PEOPLE, PRIVATE

# Easy to read out and type, hard to guess: six of these and two digits are 45 bits, behind a slow hash and a rate limit.
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
        ("access1", "Berit Behörig", PRIVATE, "access_manager"),
        ("access2", "Bo Behörig", PRIVATE, "access_manager"),
        ("helpdesk", "Hilda Stödberg", PRIVATE, "helpdesk"),
        ("privacy", "Pontus Skyddman", PRIVATE, "privacy_officer"),
        ("counsel", "Lova Lagman", PRIVATE, "counsel"),
        ("privacy2", "Petronella Skyddman", PRIVATE, "privacy_officer"),
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


def make(folder: Path) -> None:
    """`logins.json`, once per house: every account with a password of its own; and `guide.txt`, what `./dev run` prints of it."""
    write_once(folder / "logins.json", _document)
    write_once(folder / "guide.txt", lambda: _guide(read(folder / "logins.json")).encode())


def read(path: Path) -> list[dict]:
    """[{username, password, name, kind, tenant, roles, person}]"""
    return json.loads(path.read_text())


def _guide(logins: list[dict]) -> str:
    shown = [login for login in logins if login["person"] in ("anna", "erik") or login["kind"] == "staff"]
    lines = (f"    {login['username']:<20} {login['password']:<18} {_whom(login)}" for login in shown)
    return "\n".join(("  log in as", *lines, f"    all {len(logins)}: sample/logins.json in the house's directory", ""))


def _whom(login: dict) -> str:
    return f"{login['name']}, {', '.join(login['roles']).replace('_', ' ') or 'customer'}"


def _document() -> bytes:
    logins = [{**asdict(a), "tenant": str(a.tenant), "password": _password()} for a in ACCOUNTS]
    return (json.dumps(logins, ensure_ascii=False, indent=1) + "\n").encode()


def _password() -> str:
    words = ("".join(secrets.choice(SYLLABLES) for _ in range(3)) for _ in range(2))
    return "-".join(words) + f"-{secrets.randbelow(100):02}"
