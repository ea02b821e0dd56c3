"""Makes the sample operator known to an empty Wardline, over HTTP as its seeder: principals, logins, the first notice, the duty to record.

Every call bears the same Idempotency-Key each time, so that a seeding that was interrupted goes on where it was. One that was
finished is not repeated: only grants of access that ended meanwhile are given again.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from chassis import clock
from sample import accounts
from sample.actors import Actor, Cast, Machine, Refused
from sample.cases import FJALLRESOR, KUSTBANKEN, PEOPLE, PRIVATE
from sample.manifest import Manifest
from sample.register import ACTIVITIES, CONTRACTS

NOTICE = "service_quality"
MANAGER = "access_manager"
_ABREAST = 4
_APPROVED = {"approve": True, "reason": "Needed for the sample operator's first run."}
_TEXTS = {
    "sv": {
        "title": "Samtal, trafikdata och hur vi utvecklar tjänsten",
        "body": "Med ditt samtycke spelar vi in samtal med kundtjänst för att förbättra kvaliteten, och använder trafikdata för att utveckla tjänsten.",
        "rights": "Du kan när som helst återkalla ditt samtycke, begära utdrag, rättelse och radering, och klaga hos Integritetsskyddsmyndigheten.",
        "consequence": "Säger du nej eller återkallar du fungerar din tjänst som vanligt; vi spelar då inte in samtalet.",
    },
    "en": {
        "title": "Calls, traffic data and how we develop the service",
        "body": "With your consent we record calls with customer service to improve quality, and use traffic data to develop the service.",
        "rights": "You may withdraw your consent at any time, ask for access, correction and deletion, and complain to the Swedish Authority for Privacy Protection.",
        "consequence": "If you refuse or withdraw, your service works as before; we then do not record the call.",
    },
}


def seed(home: Path, public: str, internal: str, say: Callable[[str], None] = lambda _: None) -> dict[str, UUID]:
    """The principal of every planted person, by her key in `sample.cases.PEOPLE`; also written to HOME/sample/principals.json."""
    cast = Cast(home, public, internal)
    made = home / "sample" / "principals.json"
    if made.exists() and (home / "sample" / "subjects.json").exists():
        # Everything is there; what ends by itself is given again.
        _grants(cast, _staff(home))
        return {key: UUID(id) for key, id in json.loads(made.read_text()).items()}
    manifest = Manifest.read(home / "sample" / "manifest.json")
    logins = accounts.read(home / "sample" / "logins.json")
    with ExitStack() as open_until_then:
        seeders = {
            tenant.id: open_until_then.enter_context(cast.machine("seeder", "internal", tenant.id))
            for tenant in (PRIVATE, KUSTBANKEN, FJALLRESOR)
        }
        principals = {key: _principal(seeders, key, manifest.people[key].identifiers) for key in PEOPLE}
        # Hashing passwords is slow on purpose: several at a time.
        with ThreadPoolExecutor(_ABREAST) as together:
            subjects = dict(
                together.map(lambda login: (login["username"], _account(seeders, login, principals)), logins)
            )
    (home / "sample" / "subjects.json").write_text(json.dumps(subjects, indent=1))
    say(f"{len(principals)} people and {len(logins)} logins are known")
    _grants(cast, _staff(home))
    _register(cast)
    _notice(cast)
    _duty_to_record(cast)
    _authority(cast)
    _controllers(cast)
    made.write_text(json.dumps({key: str(id) for key, id in principals.items()}, indent=1))
    return principals


def _staff(home: Path) -> list[tuple[dict[str, Any], str]]:
    """Logins of staff, each with who she is to all services."""
    subjects = json.loads((home / "sample" / "subjects.json").read_text())
    logins = accounts.read(home / "sample" / "logins.json")
    return [(login, subjects[login["username"]]) for login in logins if login["kind"] == "staff"]


def _principal(seeders: dict[UUID, Machine], key: str, identifiers: list[dict[str, Any]]) -> UUID:
    seeder = seeders[PEOPLE[key].tenant.id]
    found = seeder.post("/v1/principals", {"identifiers": identifiers}, key=f"seed-principal-{key}")
    return UUID(found.json()["principal"])


def _account(seeders: dict[UUID, Machine], login: dict[str, Any], principals: dict[str, UUID]) -> str:
    """Who the login is to all services."""
    wish = {"username": login["username"], "password": login["password"], "kind": login["kind"]}
    if login["person"]:
        wish["principal"] = str(principals[login["person"]])
    seeder = seeders[UUID(login["tenant"])]
    made = seeder.post("/v1/accounts", wish, key=f"seed-login-{login['person'] or login['username']}")
    return made.json()["subject"]


def _grants(cast: Cast, staff: list[tuple[dict[str, Any], str]]) -> None:
    """Each of staff gets her roles from the access register: one manager asks, the other approves; the two are its founders."""
    managers = [(login, subject) for login, subject in staff if MANAGER in login["roles"]]
    with cast.machine("seeder", "internal", PRIVATE.id) as seeder:
        founding = {
            "managers": [{"person": subject, "organisation": login["tenant"]} for login, subject in managers],
            "purpose": "maintaining_service",
            "justification": "The sample operator's two access managers.",
            "valid_to": _in_a_year(),
        }
        _unless("registry.already_founded", lambda: seeder.post("/v1/access/founding", founding))
    with cast.person("access1") as asks, cast.person("access2") as approves:
        # Before several of them act at once: both have logged in.
        asks.token(), approves.token()
        with ThreadPoolExecutor(_ABREAST) as together:
            list(together.map(lambda one: give_roles(asks, approves, *one), staff))


def give_roles(asks: Actor, approves: Actor, login: dict[str, Any], subject: str) -> None:
    """The roles of a login that she does not hold yet, for the data of its tenant."""
    held = {grant["role"] for grant in _held(asks, subject)}
    for role in (role for role in login["roles"] if role not in held):
        wish = {
            "person": subject,
            "role": role,
            "system": "wardline",
            "organisation": login["tenant"],
            "purpose": "maintaining_service",
            "justification": f"The sample operator's {role.replace('_', ' ')}.",
            "valid_to": _in_a_year(),
        }
        grant = asks.post("/v1/access/grants", wish).json()["id"]
        approves.post(f"/v1/access/grants/{grant}/decision", _APPROVED)


def _held(manager: Actor, person: str) -> list[dict[str, Any]]:
    grants = manager.get("/v1/access/grants", person=person, limit=500).json()["items"]
    return [grant for grant in grants if grant["state"] == "approved"]


def _in_a_year() -> str:
    return (clock.now() + timedelta(days=360)).isoformat()


def _register(cast: Cast) -> None:
    with cast.person("privacy") as officer:
        for row in ACTIVITIES:
            officer.post("/v1/activities", row, key=f"seed-activity-{row['key']}")
        for row in CONTRACTS:
            officer.post("/v1/contracts", row, key=f"seed-contract-{row['reference']}")


def _notice(cast: Cast) -> None:
    notice = {
        "notice": NOTICE,
        "channel": "web",
        "texts": _TEXTS,
        "controller": "Nordtel AB",
        "purposes": [
            {"purpose": "communication", "categories": ["helpdesk_recording", "recorded_call"]},
            {"purpose": "development", "categories": ["traffic"]},
        ],
        "withdrawal_url": "https://nordtel.example/samtycke",
    }
    with cast.machine("seeder", tenant=PRIVATE.id) as seeder:
        seeder.post("/v1/notices", notice, key="seed-notice")


def _duty_to_record(cast: Cast) -> None:
    duty = {"state": "recorded", "legal_ref": "Lag (2007:528) om värdepappersmarknaden, 9 kap."}
    with cast.machine("seeder", tenant=KUSTBANKEN.id) as seeder:
        seeder.put("/v1/duties/communication", duty, key="seed-duty")


def _authority(cast: Cast) -> None:
    """The prosecutors' office of the sample, registered by one person and confirmed by another."""
    office = {
        "id": "SE-aklagarmyndigheten",
        "name": "Åklagarmyndigheten",
        "country": "SE",
        "kind": "prosecutor",
        "clients": ["authority-se"],
        "instruments": ["se_preservation", "se_secret_surveillance", "se_subscription", "epoc_subscriber"],
        "jwks": {"keys": [cast.key("authority-se").as_dict(private=False)]},
        "encryption_key": cast.key("authority-se.enc").as_dict(private=False),
        "callback_number": "+46101050000",
        "expires_at": (clock.now() + timedelta(days=365)).isoformat(),
    }
    with cast.person("intake") as intake, cast.person("approver1") as approver:
        _unless("disclosure.authority_exists", lambda: intake.post("/v1/authorities", office, key="seed-authority"))
        approver.post(f"/v1/authorities/{office['id']}/confirmation", key="seed-authority-confirmed")


def _controllers(cast: Cast) -> None:
    """The companies decide themselves about their recordings, chats and agents, through their privacy contacts."""
    for login, tenant in (("privacy.kustbanken", KUSTBANKEN), ("privacy.fjallresor", FJALLRESOR)):
        said = {"name": tenant.name, "contact": f"{login.replace('.', '@', 1)}.example"}
        with cast.person(login) as contact:
            contact.put("/staff/v1/controller", said, key="seed-controller")


def _unless(code: str, act: Callable[[], Any]) -> None:
    """Does it, unless it is refused because it is done already."""
    try:
        act()
    except Refused as refusal:
        if refusal.code != code:
            raise
