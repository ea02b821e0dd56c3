"""Several people in one scan of a store: each is given what they are given alone, and nothing of the others'."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from sample.cases import KUSTBANKEN, OMAR, PRIVATE
from services.anonymizer.contract import (
    CollectionRequest,
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

PEOPLE = ("anna", "erik", "nadia", "petra", "rasmus")  # Anna and Erik called each other; Petra's number is Rasmus's now
CROWD = ("K1001055", "K1001056", "K1001057", "K1001058")  # of whom other tests erase nothing
STORES = ("billing", "calls", "helpdesk", "lake", "authlog", "recordings")


async def known(house: House, type: str, value: str, tenant: UUID) -> UUID:
    wish = FindPrincipal(identifiers=[Identifier(type=IdentifierType(type), value=value)])
    return await house.client.principal(wish, tenant=tenant)


@pytest.mark.parametrize("store", STORES)
async def test_of_several_people_each_is_given_what_they_are_given_alone(house: House, store: str):
    who = [await house.principal(key) for key in PEOPLE]
    who += [await known(house, "customer", number, PRIVATE.id) for number in CROWD]
    await each_as_alone(house, store, who, PRIVATE.id)


@pytest.mark.parametrize("store", STORES)
async def test_of_an_agent_and_whom_he_spoke_with_each_is_given_what_they_are_given_alone(house: House, store: str):
    """Of each other they see nothing else than alone, and one has tables in which the other can't be found."""
    who = [await known(house, "agent", OMAR.number, KUSTBANKEN.id)]
    who += [await house.principal(key, KUSTBANKEN.id) for key in ("cilla", "lars")]
    await each_as_alone(house, store, who, KUSTBANKEN.id)


async def each_as_alone(house: House, store: str, who: list[UUID], tenant: UUID) -> None:
    alone = []
    for one in who:
        wish = CollectionRequest(step=uuid4(), store=store, principal=one)
        async with house.client.collect(wish, tenant=tenant) as stream:
            [given], _ = given_to(await _whole(stream), 1)
        alone.append(given)
    wanted = OfStore(store=store, of=[Subject(step=uuid4(), principal=one) for one in who])
    async with house.client.collect_together(CollectionsRequest(stores=[wanted]), tenant=tenant) as [stream]:
        found, end = given_to(await _whole(stream), len(who))
    # Also the tables in which nothing of theirs was found.
    assert found == alone
    assert store == "lake" or any(rows for each in alone for rows in each.tables.values())
    assert not (store == "recordings") or any(each.sounds for each in alone)
    counts = {name: sum(len(each.tables.get(name, ())) for each in found) for name in end["counts"]}
    assert end == {"end": True, "counts": counts}
    told = {
        one["subject"]
        for one in await house.events("data.collected")
        if one["data"]["step"] in {str(one.step) for one in wanted.of}
    }
    assert told == {str(one) for one in who}


async def test_each_is_given_their_own_in_whatever_order_their_values_were_written(house: House):
    who = [await known(house, "customer", number, PRIVATE.id) for number in CROWD[:2]]
    later = "UPDATE anonymizer.principal_identifier SET id = uuidv7() WHERE principal = $1"
    await house.rows("wardline", later, min(who))
    wanted = OfStore(store="billing", of=[Subject(step=uuid4(), principal=one) for one in who])
    async with house.client.collect_together(CollectionsRequest(stores=[wanted]), tenant=PRIVATE.id) as [stream]:
        lines = [orjson.loads(line) for line in (await _whole(stream)).splitlines()]
    customers = [line[:2] for line in lines[1:3]]
    assert sorted(customers) == [[place, number] for place, number in enumerate(CROWD[:2])]


@dataclass
class Given:
    """table → rows, in one order · file → what of its sound."""

    tables: dict[str, list[Any]] = field(default_factory=dict)
    sounds: dict[str, str] = field(default_factory=dict)


def given_to(stream: bytes, people: int) -> tuple[list[Given], dict[str, Any]]:
    """What each of them is given by a stream, and its last line."""
    *lines, end = map(orjson.loads, stream.splitlines())
    given, columns, table, file = [Given() for _ in range(people)], [], "", None
    for line in lines:
        if isinstance(line, dict):
            table, columns, file = line["table"], [one["name"] for one in line["columns"]], line["file"]
            for place in (line["subjects"] or range(people)) if file is None else ():
                given[place].tables.setdefault(table, [])
            whose = (line["subjects"] or [0])[0]
        elif file is None:
            place, *row = line if people > 1 else [0, *line]
            given[place].tables[table].append(dict(zip(columns, row, strict=True)))
        else:
            given[whose].sounds[file] = given[whose].sounds.get(file, "") + line[-1]
    for each in given:
        each.tables = {name: sorted(rows, key=str) for name, rows in each.tables.items()}
    return given, end


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


async def _whole(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])
