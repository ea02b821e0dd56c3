"""Who is who: one principal per person, each number for the time in which it was theirs."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from sample.cases import PEOPLE, PRIVATE, RECYCLED_NUMBER
from services.anonymizer.contract import FindPeople, FindPrincipal, Identifier, IdentifiersConflict, IdentifierType
from tests.anonymizer.conftest import House

ANNA = PEOPLE["anna"]


def known(*pairs: tuple[str, str], **period: datetime) -> FindPrincipal:
    return FindPrincipal(
        identifiers=[Identifier(type=IdentifierType(type), value=value, **period) for type, value in pairs]
    )


async def test_every_way_of_naming_a_customer_finds_the_same_person(house: House):
    by_number = await house.client.principal(known(("customer", ANNA.customer_number)), tenant=PRIVATE.id)
    for wish in (
        known(("email", ANNA.email.upper())),
        known(("msisdn", "+46 70-174 06 05")),
        known(("msisdn", "070-1740605")),
    ):
        assert await house.client.principal(wish, tenant=PRIVATE.id) == by_number
        assert await house.client.lookup(wish, tenant=PRIVATE.id) == by_number


async def test_looking_up_mints_nobody(house: House):
    assert await house.client.lookup(known(("email", "nobody@post.example")), tenant=PRIVATE.id) is None
    assert await house.client.lookup(known(("customer", PEOPLE["ines"].customer_number)), tenant=PRIVATE.id) is None


async def test_of_a_recycled_number_the_time_tells_whose_it_was(house: House):
    petra = await house.client.principal(known(("customer", PEOPLE["petra"].customer_number)), tenant=PRIVATE.id)
    rasmus = await house.client.principal(known(("customer", PEOPLE["rasmus"].customer_number)), tenant=PRIVATE.id)
    now = datetime.now(UTC)
    assert await house.client.lookup(known(("msisdn", RECYCLED_NUMBER)), tenant=PRIVATE.id) == rasmus
    then = known(("msisdn", RECYCLED_NUMBER), from_=now - timedelta(days=600))
    assert await house.client.lookup(then, tenant=PRIVATE.id) == petra
    linked = [one["data"] for one in await house.events("principal.linked") if one["data"]["type"] == "msisdn"]
    [ended] = [one["to"] for one in linked if one["principal"] == str(petra) and one["to"]]
    assert [ended] <= [one["from"] for one in linked if one["principal"] == str(rasmus) and not one["to"]]


async def test_identifiers_of_two_people_are_refused(house: House):
    wish = known(("email", PEOPLE["erik"].email), ("customer", PEOPLE["saga"].customer_number))
    with pytest.raises(IdentifiersConflict):
        await house.client.principal(wish, tenant=PRIVATE.id)


async def test_many_who_ask_for_a_stranger_at_once_get_one_principal(house: House):
    wish = known(("customer", PEOPLE["greta"].customer_number), ("email", PEOPLE["greta"].email))
    found = await asyncio.gather(*(house.client.principal(wish, tenant=PRIVATE.id) for _ in range(20)))
    assert len(set(found)) == 1


async def test_another_tenant_knows_nobody_of_ours(house: House):
    assert await house.client.lookup(known(("customer", ANNA.customer_number)), tenant=uuid4()) is None


async def test_values_are_kept_sealed_and_events_tell_not_even_indexes(house: House):
    await house.client.principal(known(("customer", ANNA.customer_number)), tenant=PRIVATE.id)
    rows = await house.rows("wardline", "SELECT value, index FROM anonymizer.principal_identifier")
    stored = b"".join(row["value"] + row["index"] for row in rows)
    linked = str(await house.events("principal.linked"))
    assert rows and not [row for row in rows if row["index"].hex() in linked]
    for value in (ANNA.email, ANNA.msisdn, ANNA.customer_number, ANNA.personnummer, ANNA.name):
        assert value.encode() not in stored and value not in linked


async def test_of_many_at_once_each_is_found_minted_or_nobody(house: House):
    """As one by one; whom only billing knows is minted, once."""
    erik = await house.client.principal(known(("customer", PEOPLE["erik"].customer_number)), tenant=PRIVATE.id)
    petra = await house.client.principal(known(("customer", PEOPLE["petra"].customer_number)), tenant=PRIVATE.id)
    then = {"from_": datetime.now(UTC) - timedelta(days=600)}
    asked = [
        *known(("email", PEOPLE["erik"].email.upper())).identifiers,
        *known(("msisdn", RECYCLED_NUMBER), **then).identifiers,
        *known(("customer", PEOPLE["lars"].customer_number), ("email", PEOPLE["lars"].email)).identifiers,
        *known(
            ("email", "nobody@post.example"), ("msisdn", "no number"), ("personnummer", ANNA.personnummer)
        ).identifiers,
    ]
    found = (await house.client.known(FindPeople(identifiers=asked), tenant=PRIVATE.id)).principals
    assert found[:2] == [erik, petra] and found[2] == found[3] is not None and found[4:] == [None, None, None]
    lars = known(("msisdn", PEOPLE["lars"].msisdn))
    assert await house.client.lookup(lars, tenant=PRIVATE.id) == found[2]
    again = (await house.client.known(FindPeople(identifiers=asked), tenant=PRIVATE.id)).principals
    assert again == found
    assert (await house.client.known(FindPeople(identifiers=asked), tenant=uuid4())).principals == [None] * len(asked)
