"""What every customer concerned is told with proof: changes of sub-processors, open to objections for as long as its agreement says,
and breaches of its data."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from chassis import clock
from ops.postgres import Postgres
from tests.days import today
from tests.mailbox import Mailbox, mailbox
from tests.patience import PATIENCE
from tests.registry.conftest import Registry, new_site
from tests.registry.dataplane import DataPlane

OFFICER = "registry.read registry.write"
BREACHES = "breach.read breach.write"


@dataclass(frozen=True)
class World:
    registry: Registry
    plane: DataPlane
    mailbox: Mailbox
    clock_file: Path

    def wait_until(self, later: timedelta) -> None:
        clock.set_offset(self.clock_file, later)

    async def officer(self, method: str, path: str, body: Any = None) -> Any:
        return (await self.registry.send(method, path, body, "officer", OFFICER)).json()

    async def contract(self, window: str, services: list[str], **more: Any) -> UUID:
        customer = uuid4()
        wish = {
            "reference": f"A-{uuid4().hex[:8]}",
            "customer": str(customer),
            "name": "Bolaget AB",
            "services": services,
            "objection_window": window,
            "notices_to": f"{customer.hex[:8]}@bolaget.example",
            "source": "house: agreements",
        }
        kept = await self.registry.send("POST", "/v1/contracts", wish | more, "officer", OFFICER)
        assert kept.status_code == 201, kept.text
        return customer

    async def propose(self, **said: Any) -> dict[str, Any]:
        answer = await self.registry.send("POST", "/v1/subprocessor-changes", said, "officer", OFFICER)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def announced(self, **said: Any) -> dict[str, Any]:
        change = (await self.propose(**said))["change"]
        await self.officer("POST", f"/v1/subprocessor-changes/{change}/notice")
        return await self.until(change, "objection_open")

    async def until(self, change: str, status: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while (told := await self.read(change))["status"] != status:
                await asyncio.sleep(0.1)
        return told

    async def read(self, change: str) -> dict[str, Any]:
        return (await self.registry.get(f"/v1/subprocessor-changes/{change}", OFFICER)).json()

    async def object(self, change: str, customer: UUID) -> Any:
        wish = {"grounds": "transfer", "statement": "Vi får inte lämna uppgifter utanför EES."}
        path = f"/v1/subprocessor-changes/{change}/objections"
        return await self.registry.send("POST", path, wish, "contact", "pack.manage", tenant=str(customer))

    def delivers(self, tenant: UUID, event: str, delivery: str) -> None:
        """Webhooks' feed says that a receiver took an event."""
        self.plane.deliveries.append(delivery_made(len(self.plane.deliveries) + 1, tenant, event, delivery))

    async def breach(self, *tenants: UUID) -> str:
        now = datetime.now(UTC)
        statement = {
            "title": "Backup tape lost in transport",
            "facts": "An encrypted tape did not arrive.",
            "effects": "None expected: the key is elsewhere.",
            "remedies": "Transport stopped; a search is on.",
            "occurred_from": (now - timedelta(days=2)).isoformat(),
            "categories": ["traffic"],
            "risk": "risk",
            "as_controller": False,
            "tenants": [str(tenant) for tenant in tenants],
        }
        wish = {"aware_at": (now - timedelta(hours=1)).isoformat(), "statement": statement}
        return (await self.registry.send("POST", "/v1/breaches", wish, "officer", BREACHES)).json()["id"]

    async def letters(self, breach: str, method: str = "GET") -> Any:
        answer = await self.registry.send(method, f"/v1/breaches/{breach}/letters", None, "officer", BREACHES)
        assert answer.status_code in (200, 202), answer.text
        return answer.json().get("items")

    async def clocks(self, breach: str) -> dict[str, Any]:
        told = (await self.registry.send("GET", f"/v1/breaches/{breach}", None, "officer", BREACHES)).json()
        return {clock["tenant"]: clock for clock in told["clocks"]}

    async def met(self, breach: str, tenant: UUID) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while (clock := (await self.clocks(breach))[str(tenant)])["state"] != "met":
                await asyncio.sleep(0.1)
        return clock

    async def pack(self, tenant: UUID, path: str = "/v1/pack") -> Any:
        return await self.registry.send("GET", path, None, "contact", "pack.manage", tenant=str(tenant))

    async def listed(self, **query: Any) -> dict[str, dict[str, Any]]:
        return {row["key"]: row for row in (await self.registry.get("/v1/subprocessors", **query)).json()["items"]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    clock_file = tmp_path_factory.mktemp("clock") / "offset"
    with mailbox() as box:
        more = {
            "clock_file": clock_file,
            "smtp_host": "127.0.0.1",
            "smtp_port": box.port,
            "smtp_from": "dataskydd@nordtel.example",
            "smtp_starttls": False,
        }
        async with new_site(server) as site, site.registry(**more) as registry:
            yield World(registry, site.plane, box, clock_file)


@pytest.fixture(autouse=True)
def from_now(world: World) -> None:
    world.wait_until(timedelta(0))


def row(**said: Any) -> dict[str, Any]:
    usual = {
        "key": f"sms_{uuid4().hex[:8]}",
        "legal_name": "Meddelanden GmbH",
        "purpose": {"sv": "SMS-avisering", "en": "SMS notification"},
        "places": ["de"],
        "services": ["sms_notification"],
        "covers": ["participants"],
        "source": "house: purchase",
    }
    return usual | said


def addition(**said: Any) -> dict[str, Any]:
    engaged = row(**said)
    return {
        "kind": "addition",
        "subprocessor": engaged["key"],
        "row": engaged,
        "reason": {"sv": "Bättre leverans", "en": "Better delivery"},
        "effective_on": str(today()),
    }


async def test_an_addition_takes_effect_when_every_window_is_over(world: World) -> None:
    short = await world.contract("14 days", ["sms_notification"])
    long = await world.contract("30 days", ["sms_notification", "mobile"])
    beside = await world.contract("30 days", ["broadband"])
    wish = addition()
    told = await world.announced(**wish)
    by_customer = {UUID(notice["customer"]): notice for notice in told["notices"]}
    assert by_customer.keys() >= {short, long} and beside not in by_customer
    assert (by_customer[short]["window"], by_customer[long]["window"]) == ("14 days", "30 days")
    assert wish["subprocessor"] not in await world.listed()
    world.wait_until(timedelta(days=15, hours=2))
    await asyncio.sleep(2.5)
    assert (await world.read(told["change"]))["status"] == "objection_open", "the longer window is still open"
    world.wait_until(timedelta(days=31, hours=2))
    await world.until(told["change"], "active")
    listed = (await world.listed())[wish["subprocessor"]]
    assert (listed["status"], listed["tier"]) == ("active", 1) and listed["customers"] >= 2
    before = (datetime.now(UTC) + timedelta(days=20)).isoformat()
    assert wish["subprocessor"] not in await world.listed(as_of=before)


async def test_the_letter_is_in_the_customer_s_language_and_the_server_s_answer_is_kept(world: World) -> None:
    swedish = await world.contract("30 days", ["sms_notification"])
    english = await world.contract("30 days", ["sms_notification"], language="en")
    told = await world.announced(**addition())
    sent = await all_sent(world, told["change"])
    assert sent[swedish]["state"] == "delivered" and "Taken" in sent[swedish]["proof"]
    [letter] = world.mailbox.texts(f"{swedish.hex[:8]}@bolaget.example")
    assert "Ni kan invända till och med" in letter and "Parter i kommunikationen" in letter
    [letter] = world.mailbox.texts(f"{english.hex[:8]}@bolaget.example")
    assert "You may object until and including" in letter and "Participants of a communication" in letter


async def test_a_letter_that_nobody_takes_is_kept_as_refused(world: World) -> None:
    nowhere = await world.contract("30 days", ["sms_notification"])
    world.mailbox.answer = "550 no such mailbox"
    try:
        sent = await all_sent(world, (await world.announced(**addition()))["change"])
    finally:
        world.mailbox.answer = "250 OK"
    assert sent[nowhere]["state"] == "refused"


async def all_sent(world: World, change: str) -> dict[UUID, dict[str, Any]]:
    """What became of each customer's letter, once all are settled."""
    async with asyncio.timeout(PATIENCE):
        while True:
            notices = (await world.read(change))["notices"]
            sent = {UUID(notice["customer"]): notice["sent"][0] for notice in notices}
            if all(each["state"] != "waiting" for each in sent.values()):
                return sent
            await asyncio.sleep(0.1)


async def test_an_upheld_objection_rejects_the_change_and_the_customer_hears_of_it(world: World) -> None:
    customer = await world.contract("30 days", ["sms_notification"])
    wish = addition()
    change = (await world.announced(**wish))["change"]
    objected = await world.object(change, customer)
    assert objected.status_code == 201, objected.text
    path = f"/v1/objections/{customer}/{objected.json()['objection']}/resolution"
    answer = {"outcome": "upheld", "statement": "Ni har rätt."}
    assert (await world.officer("POST", path, answer))["outcome"] == "upheld"
    told = await world.until(change, "rejected")
    assert (told["objections"], told["upheld"]) == (1, 1)
    assert wish["subprocessor"] not in await world.listed()
    heard = await heard_of(world, customer, "subprocessor.change_decided")
    assert [each["data"]["status"] for each in heard] == ["rejected"]
    again = await world.registry.send("POST", path, answer, "officer", OFFICER)
    assert (again.status_code, again.json()["code"]) == (409, "registry.change_decided")


async def test_an_unresolved_objection_holds_the_change_after_its_window(world: World) -> None:
    customer = await world.contract("5 days", ["sms_notification"])
    change = (await world.announced(**addition()))["change"]
    objection = (await world.object(change, customer)).json()["objection"]
    world.wait_until(timedelta(days=40))
    await asyncio.sleep(2.5)
    assert (await world.read(change))["status"] == "objection_open"
    late = await world.object(change, customer)
    assert (late.status_code, late.json()["code"]) == (409, "registry.window_closed")
    answer = {"outcome": "accommodated", "statement": "Era SMS går en annan väg."}
    await world.officer("POST", f"/v1/objections/{customer}/{objection}/resolution", answer)
    await world.until(change, "active")


async def heard_of(world: World, customer: UUID, type: str) -> list[dict[str, Any]]:
    """Once there is something: what is committed gets its place in the ledger afterwards."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await events(world, customer, type)):
            await asyncio.sleep(0.05)
    return found


async def events(world: World, customer: UUID, type: str) -> list[dict[str, Any]]:
    items = (await world.registry.get("/events", types=type, limit=500)).json()["items"]
    return [item for item in items if item["tenant"] == str(customer)]


async def test_each_customer_hears_of_its_own_notice_on_the_feed(world: World) -> None:
    customer = await world.contract("30 days", ["sms_notification"])
    told = await world.announced(**addition())
    [heard] = await heard_of(world, customer, "subprocessor.change_announced")
    [notice] = [notice for notice in told["notices"] if notice["customer"] == str(customer)]
    assert heard["data"] == {
        "change": told["change"],
        "notice": notice["notice"],
        "objections_until": notice["objections_until"],
    }


async def test_a_delivery_that_a_receiver_took_is_kept_as_proof(world: World) -> None:
    customer = await world.contract("30 days", ["sms_notification"], notices_to=None)
    change = (await world.announced(**addition()))["change"]
    [heard] = await heard_of(world, customer, "subprocessor.change_announced")
    delivery, beside = str(uuid4()), str(uuid4())
    for tenant, made in ((customer, delivery), (uuid4(), beside)):
        world.delivers(tenant, heard["id"], made)
    async with asyncio.timeout(PATIENCE):
        while not (sent := await sent_to(world, change, customer)):
            await asyncio.sleep(0.1)
    assert [(each["by"], each["state"], each["proof"]) for each in sent] == [("webhook", "delivered", delivery)]


async def sent_to(world: World, change: str, customer: UUID) -> list[dict[str, Any]]:
    notices = (await world.read(change))["notices"]
    return next(notice["sent"] for notice in notices if notice["customer"] == str(customer))


def delivery_made(position: int, tenant: UUID, event: str, delivery: str) -> dict[str, Any]:
    """What webhooks' feed says of a delivery."""
    return {
        "position": position,
        "specversion": "1.0",
        "id": str(uuid4()),
        "type": "delivery.made",
        "source": "/wardline/webhooks",
        "time": datetime.now(UTC).isoformat(),
        "tenant": str(tenant),
        "dataschema": "/schemas/delivery.made/v1",
        "data": {"endpoint": str(uuid4()), "delivery": delivery, "event": event},
    }


async def test_a_customer_sees_its_own_notices_only_and_no_change_it_was_not_told_of(world: World) -> None:
    mine, other, beside = [
        await world.contract("30 days", [s]) for s in ("sms_notification", "sms_notification", "fixed")
    ]
    change = (await world.announced(**addition()))["change"]
    await world.object(change, other)
    path = f"/v1/subprocessor-changes/{change}"
    told = (await world.registry.send("GET", path, None, "contact", "pack.manage", tenant=str(mine))).json()
    assert {notice["customer"] for notice in told["notices"]} == {str(mine)} and told["objections_raised"] == []
    hidden = await world.registry.send("GET", path, None, "contact", "pack.manage", tenant=str(beside))
    assert (hidden.status_code, hidden.json()["code"]) == (404, "registry.change_unknown")
    assert (await world.object(change, beside)).status_code == 404
    regulator = (await world.registry.get(path, "registry.read")).json()
    assert regulator["told"] >= 2 and regulator["notices"] == [] and regulator["objections_raised"] == []


async def test_an_officer_of_a_customer_organisation_keeps_no_register_of_the_operator_s(world: World) -> None:
    mine, other = [await world.contract("30 days", ["sms_notification"]) for _ in range(2)]
    announced = (await world.announced(**addition()))["change"]
    proposed = (await world.propose(**addition()))["change"]
    objection = (await world.object(announced, other)).json()["objection"]

    async def try_to(method: str, path: str, body: Any = None) -> Any:
        return await world.registry.send(method, path, body, "theirs", OFFICER, tenant=str(mine))

    answer = {"outcome": "overruled", "statement": "nej"}
    for path, body in (
        ("/v1/subprocessor-changes", addition()),
        (f"/v1/subprocessor-changes/{proposed}/notice", None),
        (f"/v1/objections/{other}/{objection}/resolution", answer),
        ("/v1/transfers", {}),
    ):
        assert (await try_to("POST", path, body)).status_code == 404, path
    told = (await try_to("GET", f"/v1/subprocessor-changes/{announced}")).json()
    assert (told["notices"], told["objections_raised"]) == ([], [])
    assert (await world.read(announced))["objections_raised"][0]["outcome"] is None


async def test_a_replacement_ends_the_one_it_replaces_and_its_chain_has_tiers(world: World) -> None:
    first = addition()
    await in_effect(world, first, days=60)
    below = addition(parent=first["subprocessor"])
    await in_effect(world, below, days=120)
    assert (await world.listed())[below["subprocessor"]]["tier"] == 2
    second = row()
    wish = {"kind": "replacement", "subprocessor": second["key"], "row": second, "replaces": below["subprocessor"]}
    await in_effect(world, addition() | wish, days=180)
    listed = await world.listed()
    assert second["key"] in listed and below["subprocessor"] not in listed


async def in_effect(world: World, wish: dict[str, Any], days: int) -> None:
    change = (await world.announced(**wish))["change"]
    world.wait_until(timedelta(days=days))
    await world.until(change, "active")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"row": row(key="twilio")} | {"subprocessor": "twilio"}, "registry.unknown_reference"),
        ({"kind": "retirement"}, "registry.unknown_reference"),
        ({"kind": "replacement"}, "registry.unknown_reference"),
        ({"row": row(key="new_one", places=["moon"]), "subprocessor": "new_one"}, "registry.unknown_reference"),
        ({"row": row(key="new_one", places=["us"]), "subprocessor": "new_one"}, "registry.transfer_unstated"),
        ({"row": row(key="new_one", parent="new_one"), "subprocessor": "new_one"}, "registry.chain_circular"),
        ({"row": row(key="new_one", parent="nobody"), "subprocessor": "new_one"}, "registry.unknown_reference"),
    ],
    ids=[
        "engaged already",
        "retires with a row",
        "replaces nobody",
        "nowhere",
        "no mechanism",
        "its own parent",
        "orphan",
    ],
)
async def test_a_change_that_cannot_be_is_refused(world: World, said: dict[str, Any], code: str) -> None:
    refused = await world.registry.send("POST", "/v1/subprocessor-changes", addition() | said, "officer", OFFICER)
    assert (refused.status_code, refused.json()["code"]) == (422, code)


async def test_a_circle_of_two_is_refused(world: World) -> None:
    """Twilio below Zendesk, and then Zendesk below Twilio."""
    told = await world.listed()
    wish = {
        "kind": "correction",
        "reason": {"sv": "Rättelse", "en": "Correction"},
        "effective_on": str(today()),
    }
    for key, parent, status in (("idm", "microsoft", 201), ("microsoft", "idm", 422)):
        body = wish | {"subprocessor": key, "row": as_row(told[key], parent)}
        answer = await world.registry.send("POST", "/v1/subprocessor-changes", body, "officer", OFFICER)
        assert answer.status_code == status, answer.text
    assert answer.json()["code"] == "registry.chain_circular"
    assert (await world.listed())["idm"]["chain"] == [told["microsoft"]["legal_name"], told["idm"]["legal_name"]]


def as_row(told: dict[str, Any], parent: str) -> dict[str, Any]:
    places = {"idm": ["de"], "microsoft": ["europe"]}[told["key"]]
    kept = ("key", "legal_name", "purpose", "services", "covers", "source")
    return {name: told[name] for name in kept} | {"places": places, "parent": parent}


async def test_each_customer_concerned_is_told_of_a_breach_and_the_proof_meets_its_clock(world: World) -> None:
    by_mail = await world.contract("30 days", ["mobile"], language="en")
    by_webhook, beside = uuid4(), await world.contract("30 days", ["mobile"])
    breach = await world.breach(by_mail, by_webhook)
    for _ in range(2):
        await world.letters(breach, "POST")
    clock = await world.met(breach, by_mail)
    assert clock["reference"].startswith("email: ") and "Taken" in clock["reference"]
    [text] = world.mailbox.texts(f"{by_mail.hex[:8]}@bolaget.example")
    assert "Article 33(2) GDPR" in text and "An encrypted tape did not arrive." in text
    assert "Not known yet: Number of people concerned" in text
    assert (await world.clocks(breach))[str(by_webhook)]["state"] == "running", "nothing proves yet that it heard"
    [heard] = await heard_of(world, by_webhook, "breach.notified")
    assert heard["data"].keys() == {"breach", "letter"}
    world.delivers(by_webhook, heard["id"], str(delivery := uuid4()))
    assert (await world.met(breach, by_webhook))["reference"] == f"webhook: {delivery}"
    assert {letter["tenant"] for letter in await world.letters(breach)} == {str(by_mail), str(by_webhook)}
    assert await events(world, beside, "breach.notified") == []
    own = (await world.pack(by_mail, "/v1/pack/breaches")).json()["items"]
    assert [letter["sent"][0]["state"] for letter in own] == ["delivered"]
    assert (await world.pack(beside, "/v1/pack/breaches")).json()["items"] == []


async def test_a_breach_that_concerns_no_customer_is_told_to_none(world: World) -> None:
    breach = await world.breach(uuid4())
    said = {"occurred_from": datetime.now(UTC).isoformat(), "title": "Wrong letter", "facts": "A letter went astray."}
    more = {"effects": "None.", "remedies": "None.", "categories": ["traffic"], "risk": "none", "as_controller": True}
    wish = {"aware_at": datetime.now(UTC).isoformat(), "statement": said | more}
    own = (await world.registry.send("POST", "/v1/breaches", wish, "officer", BREACHES)).json()["id"]
    refused = await world.registry.send("POST", f"/v1/breaches/{own}/letters", None, "officer", BREACHES)
    assert (refused.status_code, refused.json()["code"]) == (409, "registry.not_concerned")
    assert await world.letters(breach) == [], "nobody announced it"
