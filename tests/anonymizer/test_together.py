"""Several people in one scan of a store: each is given what they are given alone, and nothing of the others'."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import uuid4

import orjson
import pytest

from sample.cases import PRIVATE
from services.anonymizer.contract import (
    CollectionsRequest,
    FindPrincipal,
    Identifier,
    IdentifierType,
    OfStore,
    PrincipalUnknown,
    StoreUnknown,
    Subject,
)
from tests.anonymizer.conftest import House

PEOPLE = ("anna", "erik", "nadia")  # Anna and Erik called each other
CROWD = ("K1001055", "K1001056", "K1001057", "K1001058")  # of whom other tests erase nothing


@pytest.mark.parametrize("store", ["billing", "calls", "helpdesk", "lake", "authlog", "recordings"])
async def test_of_several_people_each_is_given_what_they_are_given_alone(house: House, store: str):
    who = [await house.principal(key) for key in PEOPLE]
    for number in CROWD:
        wish = FindPrincipal(identifiers=[_customer(number)])
        who.append(await house.client.principal(wish, tenant=PRIVATE.id))
    alone = [await house.collected(store, one) for one in who]
    wanted = OfStore(store=store, of=[Subject(step=uuid4(), principal=one) for one in who])
    async with house.client.collect_together(CollectionsRequest(stores=[wanted]), tenant=PRIVATE.id) as [stream]:
        lines = [orjson.loads(line) for line in b"".join([chunk async for chunk in stream]).splitlines()]
    found, columns, table, file = [dict[str, list]() for _ in who], [], "", None
    for line in lines[:-1]:
        if isinstance(line, dict):
            table, columns, file = line["table"], [one["name"] for one in line["columns"]], line["file"]
            for place in line["subjects"] or range(len(who)):
                found[place].setdefault(table, [])
        elif file is None:
            place, *row = line
            found[place][table].append(dict(zip(columns, row, strict=True)))
    # Also the tables in which nothing of theirs was found.
    assert [by_row(each) for each in found] == [by_row(each) for each in alone]
    assert any(rows for each in alone for rows in each.values())
    counts = {name: sum(len(each.get(name, ())) for each in found) for name in lines[-1]["counts"]}
    assert lines[-1] == {"end": True, "counts": counts}
    told = {
        one["subject"]
        for one in await house.events("data.collected")
        if one["data"]["step"] in {str(one.step) for one in wanted.of}
    }
    assert told == {str(one) for one in who}


async def test_each_is_given_their_own_in_whatever_order_their_values_were_written(house: House):
    who = [
        await house.client.principal(FindPrincipal(identifiers=[_customer(number)]), tenant=PRIVATE.id)
        for number in CROWD[:2]
    ]
    later = "UPDATE anonymizer.principal_identifier SET id = uuidv7() WHERE principal = $1"
    await house.rows("wardline", later, min(who))
    wanted = OfStore(store="billing", of=[Subject(step=uuid4(), principal=one) for one in who])
    async with house.client.collect_together(CollectionsRequest(stores=[wanted]), tenant=PRIVATE.id) as [stream]:
        lines = [orjson.loads(line) for line in (await _whole(stream)).splitlines()]
    customers = [line[:2] for line in lines[1:3]]
    assert sorted(customers) == [[place, number] for place, number in enumerate(CROWD[:2])]


async def test_with_one_whom_nobody_knows_nobody_is_given_anything(house: House):
    of = [Subject(step=uuid4(), principal=one) for one in (await house.principal("anna"), uuid4())]
    with pytest.raises(PrincipalUnknown):
        wish = CollectionsRequest(stores=[OfStore(store="calls", of=of)])
        async with house.client.collect_together(wish, tenant=PRIVATE.id):
            raise AssertionError("it began")


async def test_of_several_stores_one_that_is_refused_stops_none_of_the_others(house: House):
    anna = await house.principal("anna")
    stores = ["billing", "nowhere", "lake", "recordings"]
    alone = [await house.collected(store, anna) for store in stores if store != "nowhere"]
    of = [OfStore(store=store, of=[Subject(step=uuid4(), principal=anna)]) for store in stores]
    async with house.client.collect_together(CollectionsRequest(stores=of), tenant=PRIVATE.id) as streams:
        found = await asyncio.gather(*map(_whole, streams), return_exceptions=True)
    assert isinstance(found.pop(1), StoreUnknown)
    for lines, expected in zip(found, alone, strict=True):
        tables = {line["table"] for line in map(orjson.loads, lines.splitlines()) if "table" in line}
        assert tables == set(expected)
    told = {one["data"]["step"] for one in await house.events("data.collected")}
    assert {str(each.of[0].step) for each in of} - told == {str(of[1].of[0].step)}


def _customer(number: str) -> Identifier:
    return Identifier(type=IdentifierType.customer, value=number)


async def _whole(stream: AsyncGenerator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


def by_row(tables: dict[str, list]) -> dict[str, list]:
    return {name: sorted(rows, key=str) for name, rows in tables.items()}
