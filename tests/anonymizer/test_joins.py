"""People are followed from any identifier to the others, across stores; a device only while it was seen with nobody else."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest

from sample.cases import OMAR, PEOPLE, PRIVATE
from services.anonymizer.contract import FindPrincipal, Identifier, IdentifierType
from services.anonymizer.rules.joins import Sighting, followed
from services.anonymizer.rules.person import Known
from tests.anonymizer.conftest import House

ACCOUNT, EMAIL, MAC = IdentifierType.account, IdentifierType.email, IdentifierType.mac
DEVICE = "02:00:5e:10:00:99"
OMARS_DEVICE = "02:00:5e:10:00:6b"
DAY = [datetime(2027, 1, day, tzinfo=UTC) for day in range(1, 8)]


def sighting(day: int, who: str, device: str = DEVICE) -> Sighting:
    return Sighting(DAY[day], frozenset({(ACCOUNT, who), (EMAIL, f"{who}@epost.example"), (MAC, device)}))


def test_a_device_is_somebody_s_from_one_sighting_until_it_is_seen_with_somebody_else():
    seen = [sighting(1, "ann"), sighting(3, "ann"), sighting(4, "bo"), sighting(5, "ann")]
    found = followed([Known(EMAIL, "ann@epost.example")], seen)
    assert found == [Known(ACCOUNT, "ann"), Known(MAC, DEVICE, DAY[1], DAY[4]), Known(MAC, DEVICE, DAY[5])]
    assert followed([Known(EMAIL, "ann@epost.example"), *found], seen) == [], "found once"


def test_a_device_leads_to_whom_it_was_last_seen_with():
    seen = [sighting(1, "ann"), sighting(4, "bo")]
    found = followed([Known(MAC, DEVICE)], seen)
    assert {one.value for one in found if one.type == ACCOUNT} == {"bo"}
    then = followed([Known(MAC, DEVICE, DAY[0], DAY[3])], seen)
    assert {one.value for one in then if one.type == ACCOUNT} == {"ann"}


def test_nothing_stands_beside_a_number_alone():
    assert followed([Known(IdentifierType.msisdn, "46700000001")], [sighting(1, "ann")]) == []


async def found(house: House, type: IdentifierType, value: str, tenant=PRIVATE.id):
    wish = FindPrincipal(identifiers=[Identifier(type=type, value=value)])
    return await house.client.principal(wish, tenant=tenant)


@pytest.mark.parametrize("type", ["mac", "account", "email", "customer", "msisdn"])
async def test_from_any_identifier_the_same_person_is_found_in_every_store(house: House, type: str):
    cilla = PEOPLE["cilla"]
    value = cilla.customer_number if type == "customer" else getattr(cilla, type)
    who = await found(house, IdentifierType(type), value)
    [customer] = (await house.collected("billing", who))["customer"]
    assert customer["personnummer"] == cilla.personnummer
    assert len((await house.collected("authlog", who))["login"]) > 0


async def test_an_account_that_is_nobody_s_customer_is_followed_to_its_device(house: House):
    """A later record names the device alone."""
    today = house.stores / "authlog" / f"{house.today:%Y-%m-%d}.jsonl"
    at = datetime.combine(house.today, datetime.min.time(), UTC) + timedelta(hours=9)
    line = {"time": at.isoformat(), "tenant": str(OMAR.tenant.id), "event": "login", "account": str(uuid4())}
    alone = line | {"account": None, "email": None, "msisdn": None, "ip": "192.0.2.1", "mac": OMARS_DEVICE}
    today.write_bytes(orjson.dumps(alone | {"outcome": "success"}) + b"\n")
    try:
        who = await found(house, EMAIL, OMAR.email, OMAR.tenant.id)
        rows = (await house.collected("authlog", who, OMAR.tenant.id))["login"]
    finally:
        today.unlink()
    assert [row for row in rows if row["email"] is None and row["mac"] == OMARS_DEVICE]
