"""Case 5: Saga is preserved by an order, her twin Sara is not, and nobody outside can tell which is which.

Whatever either of them, the helpdesk, a webhook's subscriber or an auditor of the public ledgers sees is compared byte
for byte once the ids, the instants and the twins' own names are taken out of it.
"""

import io
import json
import re
import zipfile
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from benchmarks.secrecy import Figures, Heard, by_chance, figures, limit, subscribed
from sample.actors import Actor
from sample.cases import PEOPLE
from services.requests.disclosure import verify
from services.requests.rights.package.unlock import unlock
from tests.nordtel import Nordtel, request_of, running, until

TWINS = ("saga", "sara")
PUBLIC_LEDGERS = ("rights", "consent", "anonymizer", "webhooks", "registry", "identity")
PASSPHRASE = "en hemlig mening om blåbär"
TABLES = (
    ("customer", "agreement", "service", "number_period", "invoice"),
    ("call_record", "retained_call_record", "location_record"),
)

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_NUMBER = re.compile(r"\d+")
_DIGEST = re.compile(r"[0-9a-f]{64}|[A-Za-z0-9_+/-]{43}=?")


@pytest.fixture(scope="module")
def nordtel() -> Iterator[Nordtel]:
    """A house of its own: what an order keeps can be seen best where no sweep and no month has gone before."""
    with running() as nordtel:
        yield nordtel


@pytest.fixture(scope="module")
def order(nordtel: Nordtel) -> dict[str, Any]:
    """Saga's traffic and subscriber data of the last four months, preserved on a prosecutor's order, approved by two."""
    now = nordtel.now()
    wish = {
        "instrument": "se_preservation",
        "reference": f"B {uuid4().hex[:8]}",
        "issuer": {"kind": "prosecutor", "name": "Åklagarmyndigheten, Uppsala"},
        "legal_provision": "RB 27 kap. 16 §",
        "served_at": (now - timedelta(minutes=1)).isoformat(),
        "period": {"from": (now - timedelta(days=120)).isoformat(), "to": (now - timedelta(minutes=1)).isoformat()},
        "identifiers": [{"type": "InternationalE164", "value": PEOPLE["saga"].msisdn}],
        "tasks": [{"kind": "LP", "category": "traffic"}, {"kind": "LP", "category": "subscriber"}],
    }
    authority = nordtel.machine("authority-se", "internal")
    return approved(nordtel, authority.post("/v1/orders", wish).json())


@pytest.fixture(scope="module")
def heard(nordtel: Nordtel) -> Iterator[Heard]:
    """What the helpdesk's system was told by webhook: the twins' events, and everybody's."""
    with subscribed(nordtel.machine("helpdesk")) as heard:
        yield heard


@pytest.fixture(scope="module")
def packages(nordtel: Nordtel, order: dict[str, Any], heard: Heard) -> dict[str, dict[str, bytes]]:
    """Both ask for their data while the order stands: the files of each one's package."""
    wish = {"kind": "access", "language": "sv", "passphrase": PASSPHRASE}
    asked = {twin: nordtel.person(twin).post("/v1/requests", wish).json()["request"] for twin in TWINS}
    found = {}
    for twin in TWINS:
        herself = nordtel.person(twin)
        in_state(herself, asked[twin], "answered")
        locked = herself.get(f"/v1/requests/{asked[twin]}/package").content
        path = nordtel.home / f"{twin}.html"
        path.write_bytes(locked)
        with zipfile.ZipFile(io.BytesIO(unlock(path, PASSPHRASE).archive)) as archive:
            found[twin] = {name: archive.read(name) for name in archive.namelist()}
    return found


@pytest.fixture(scope="module")
def answered(nordtel: Nordtel, order: dict[str, Any], packages: dict[str, dict[str, bytes]]) -> dict[str, str]:
    """Both ask for deletion, confirm, and are answered when the cooling-off time is over: each one's request."""
    asked = {}
    for twin in TWINS:
        herself = nordtel.person(twin)
        asked[twin] = herself.post("/v1/requests", {"kind": "deletion", "language": "sv"}).json()["request"]
        in_state(herself, asked[twin], "previewed")
        preview = herself.get(f"/v1/requests/{asked[twin]}/preview").json()
        herself.post(f"/v1/requests/{asked[twin]}/confirm", {"preview": preview["digest"]})
    nordtel.move_to(nordtel.now() + timedelta(hours=73))
    for twin in TWINS:
        in_state(nordtel.person(twin), asked[twin], "closed")
    return asked


SOME = 24


@pytest.fixture(scope="module")
async def found(nordtel: Nordtel, answered: dict[str, str], heard: Heard) -> Figures:
    """How long and how large everything was for some people, half of whom are preserved on an order."""
    return await figures(nordtel.stack, nordtel.cast, heard, SOME)


def test_no_order_shows_in_how_long_or_how_large_anything_is(found: Figures) -> None:
    """Each store's work, the whole way, packages, webhooks and answers, of an access and of an erasure: a rank test cannot tell whose
    figures are whose. One honest house in a thousand would fail here. A heavier one is the benchmark `order_seen`."""
    ways = {"answered", "package", "collect in calls", "webhooks", "number of webhooks", "GET /answer"}
    assert {f"access: {one}" for one in ways} <= set(found)
    ways = {
        "previewed",
        "carried out",
        "erase in billing",
        "erase in calls",
        "verify in calls",
        "webhooks",
        "GET /answer",
    }
    assert {f"erasure: {one}" for one in ways} <= set(found)
    assert all(len(held) == len(free) == SOME // 2 for held, free in found.values())
    assert {what: by_chance(*both) for what, both in found.items() if by_chance(*both) < limit(found)} == {}


def test_the_rank_test_sees_a_difference_where_there_is_one() -> None:
    """Though it is small beside what people differ by, and though forty figures are compared."""
    most, quick = limit({f"{n}": ([], []) for n in range(40)}), [0.100 + n / 1000 for n in range(SOME // 2)]
    assert by_chance(quick, [each + 0.009 for each in quick]) < most
    assert by_chance([each + 0.009 for each in quick], quick) < most
    assert by_chance(quick, [each + 0.0005 for each in quick]) > 0.5
    assert by_chance(quick, quick) == 1.0


def test_both_see_the_same(nordtel: Nordtel, answered: dict[str, str]) -> None:
    for part in ("", "/preview", "/answer"):
        saga, sara = [
            seen_by(nordtel, nordtel.person(twin), twin, f"/v1/requests/{answered[twin]}{part}") for twin in TWINS
        ]
        assert saga == sara, part


def test_both_certificates_say_the_same(nordtel: Nordtel, answered: dict[str, str]) -> None:
    saga, sara = [certificate(nordtel, twin, answered[twin]) for twin in TWINS]
    assert saga == sara
    assert "hold" not in saga and "order" not in saga.lower().replace("recorder", "")


def test_the_helpdesk_sees_no_flag(nordtel: Nordtel, answered: dict[str, str]) -> None:
    helpdesk = nordtel.person("helpdesk")
    saga, sara = [seen_by(nordtel, helpdesk, twin, f"/staff/v1/requests/{answered[twin]}") for twin in TWINS]
    assert saga == sara


def test_every_public_ledger_tells_the_same_of_both(nordtel: Nordtel, answered: dict[str, str]) -> None:
    saga, sara = [ledgers(nordtel, twin) for twin in TWINS]
    assert [type for type, _ in saga] == [type for type, _ in sara]
    assert saga == sara and "erasure.done" in [type for type, _ in saga]


def test_both_packages_hold_the_same(nordtel: Nordtel, packages: dict[str, dict[str, bytes]]) -> None:
    """What each of them has by way of calls and bills is her own; how much of it, and every word around it, is not."""
    saga, sara = [
        [(_NUMBER.sub("‹n›", name), _words(nordtel, twin, content)) for name, content in packages[twin].items()]
        for twin in TWINS
    ]
    assert [name for name, _ in saga] == [name for name, _ in sara]
    assert saga == sara


def test_the_helpdesk_s_system_is_told_the_same_of_both(
    nordtel: Nordtel, answered: dict[str, str], heard: Heard
) -> None:
    def of(twin: str) -> list[tuple[str, str]]:
        own = str(nordtel.principals[twin])
        told = [(each["type"], json.dumps(each, sort_keys=True)) for each in heard.told if each.get("subject") == own]
        return sorted((type, plain(nordtel, twin, text)) for type, text in told)

    closed = "request.closed"
    until("webhooks of both", lambda: all(closed in {type for type, _ in of(twin)} for twin in TWINS))
    until("the last of them", lambda: len(of("saga")) == len(of("sara")))
    assert of("saga") == of("sara")
    assert not [one["type"] for one in heard.told if one["type"].startswith(("order.", "hold", "task.", "authority."))]


async def test_the_ordinary_tables_hold_the_same_of_both_and_only_sagas_rows_are_kept_aside(
    nordtel: Nordtel, answered: dict[str, str]
) -> None:
    counted = {twin: await ordinary(nordtel, twin) for twin in TWINS}
    assert counted["saga"] == counted["sara"]
    kept = await preserved(nordtel)
    assert kept["46701740611"] > 0 and "46701740612" not in kept


async def test_what_was_preserved_can_still_be_disclosed_and_when_the_hold_ends_it_goes(
    nordtel: Nordtel, order: dict[str, Any], answered: dict[str, str]
) -> None:
    kept = await preserved(nordtel)
    disclosed = disclosure(nordtel, order)
    assert disclosed >= 1
    said = {"reason_code": "lifted", "reference": "Åklagarens beslut"}
    lifted = nordtel.machine("authority-se", "internal").post(f"/v1/orders/{order['order']}/cancellation", said).json()
    assert {task["status"] for task in lifted["tasks"]} == {"Cancelled"}
    assert kept["46701740611"] > 0
    until("end of the preserved rows", lambda: released(nordtel, order))
    assert "46701740611" not in await preserved(nordtel)
    assert ledgers(nordtel, "saga") == ledgers(nordtel, "sara")


# --- acting -----------------------------------------------------------------------------------------------------------


def approved(nordtel: Nordtel, order: dict[str, Any]) -> dict[str, Any]:
    assert order["errors"] == []
    for name in ("approver1", "approver2"):
        said = {"order_hash": order["order_hash"], "verdict": "approve"}
        order = nordtel.person(name).post(f"/v1/orders/{order['order']}/reviews", said).json()
    assert order["status"] == "Approved"
    return order


def disclosure(nordtel: Nordtel, preserved: dict[str, Any]) -> int:
    """A court's order for what was preserved: collected, released, fetched, opened; how many calls were in it."""
    authority, reader = nordtel.machine("authority-se", "internal"), nordtel.person("approver1")
    wish = reader.get(f"/v1/orders/{preserved['order']}").json()["content"]
    wish |= {"instrument": "se_secret_surveillance", "reference": f"T {uuid4().hex[:8]}"}
    wish |= {"issuer": {"kind": "court", "name": "Uppsala tingsrätt"}, "tasks": [{"kind": "LD", "category": "traffic"}]}
    order = approved(nordtel, authority.post("/v1/orders", wish).json())
    collector, path = nordtel.person("collector"), f"/v1/orders/{order['order']}"
    collector.post(f"{path}/collection")
    [package] = until("sealed package", lambda: collector.get(f"{path}/packages").json()["items"])
    nordtel.person("releaser").post(f"/v1/packages/{package['package']}/release")
    sealed = authority.get(f"/v1/packages/{package['package']}/content").content
    keys = verify.KeySet.import_key_set(authority.get("/keys/disclosure").json())
    report = verify.verify_package(sealed, keys, nordtel.cast.key("authority-se.enc"))
    assert report.holds
    return sum(len(content.splitlines()) for content in report.files.values())


def in_state(who: Actor, request: str, state: str) -> None:
    until(f"request in the state {state}", lambda: request_of(who, request)["state"] == state)


def released(nordtel: Nordtel, order: dict[str, Any]) -> bool:
    holds = {task["hold"] for task in order["tasks"]}
    told = entries(nordtel.person("auditor"), "/ledger/disclosure")
    return holds <= {event["data"]["hold"] for event in told if event["type"] == "hold.released"}


# --- looking ----------------------------------------------------------------------------------------------------------


def seen_by(nordtel: Nordtel, who: Actor, twin: str, path: str) -> str:
    """An answer. Steps run side by side, so they are put into one order, and how often a busy store was asked is left
    out.
    """
    seen = who.get(path).json()
    for step in seen.get("steps", ()):
        del step["tries"], step["step"]
    if "steps" in seen:
        seen["steps"].sort(key=json.dumps)
    return plain(nordtel, twin, json.dumps(seen, ensure_ascii=False))


def certificate(nordtel: Nordtel, twin: str, request: str) -> str:
    """What the certificate says; its ledger proof differs for any two entries."""
    issued = nordtel.person(twin).get(f"/v1/requests/{request}/certificate").json()
    _, payload, _ = issued["jws"].split(".")
    return plain(nordtel, twin, urlsafe_b64decode(payload + "==").decode())


def ledgers(nordtel: Nordtel, twin: str) -> list[tuple[str, str]]:
    """(type, data) of every event about her in the ledgers that are open to auditors, each service's in order.

    Steps run side by side, so the events of one request are compared in a fixed order.
    """
    own, found = str(nordtel.principals[twin]), []
    for service in PUBLIC_LEDGERS:
        for event in entries(nordtel.person("auditor"), f"/staff/ledger/{service}"):
            if event.get("subject") == own:
                found.append((event["type"], plain(nordtel, twin, json.dumps(event["data"], sort_keys=True))))
    return sorted(found)


def entries(auditor: Actor, ledger: str) -> list[dict[str, Any]]:
    found, after = [], None
    while True:
        page = auditor.get(f"{ledger}/entries", after=after, limit=500).json()
        found += [json.loads(entry["body"]) for entry in page["items"] if entry["body"]]
        after = page["next"]
        if after is None:
            return found


async def ordinary(nordtel: Nordtel, twin: str) -> dict[str, int]:
    """How many rows of each ordinary table name her, as the database's owner counts them."""
    person, counts = PEOPLE[twin], {}
    for store, tables in zip(("billing", "calls"), TABLES, strict=True):
        connection = await nordtel.stack.postgres.connect(f"sample_{store}")
        for table in tables:
            named = f"SELECT count(*) FROM {table} t WHERE to_jsonb(t)::text ~ $1"
            words = "|".join((person.msisdn, person.customer_number, person.name))
            counts[table] = await connection.fetchval(named, words)
        await connection.close()
    return counts


async def preserved(nordtel: Nordtel) -> dict[str, int]:
    """How many rows are kept aside, by the identifier they are kept for."""
    counts: dict[str, int] = {}
    for store in ("billing", "calls", "helpdesk"):
        connection = await nordtel.stack.postgres.connect(f"sample_{store}")
        rows = await connection.fetch("SELECT identifier_value, count(*) FROM wardline.preserved GROUP BY 1")
        await connection.close()
        for value, count in rows:
            counts[value] = counts.get(value, 0) + count
    return counts


def plain(nordtel: Nordtel, twin: str, text: str) -> str:
    """Without what differs between any two people: their own values, ids, instants and digests."""
    for value in sorted(nordtel.manifest.people[twin].values, key=len, reverse=True):
        text = text.replace(value, "‹herself›")
    for name, pattern in (("id", _ID), ("instant", _INSTANT), ("digest", _DIGEST)):
        text = pattern.sub(f"‹{name}›", text)
    return text


def _words(nordtel: Nordtel, twin: str, content: bytes) -> str:
    """Of a sound its length."""
    return (
        str(len(content)) if content.startswith(b"RIFF") else _NUMBER.sub("‹n›", plain(nordtel, twin, content.decode()))
    )
