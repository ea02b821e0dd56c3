"""Several people in one scan of a store: each is given what they are given alone, and nothing of the others'."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from chassis.errors import Unavailable
from sample.cases import FJALLRESOR, KUSTBANKEN, OMAR, PRIVATE
from sample.cases import PEOPLE as CASES
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
from services.anonymizer.datamap import load
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
    cilla, lars = [await house.principal(key, KUSTBANKEN.id) for key in ("cilla", "lars")]
    who = [cilla, await known(house, "agent", OMAR.number, KUSTBANKEN.id), lars]
    await each_as_alone(house, store, who, KUSTBANKEN.id)


async def test_a_row_that_is_hers_twice_and_one_of_another_employers_agent_are_given_as_alone(house: House):
    """Who hid her number from herself sees it; and two employers may number their agents alike."""
    anna, erik = await house.principal("anna"), await house.principal("erik")
    herself = {
        "caller": CASES["anna"].msisdn,
        "callee": CASES["anna"].msisdn,
        "withheld": True,
        "tenant": str(PRIVATE.id),
    }
    other = {
        "caller": "46700000001",
        "callee": "46700000002",
        "agent_number": OMAR.number,
        "tenant": str(FJALLRESOR.id),
    }
    for n, row in enumerate((herself, other)):
        await house.rows("calls", _MORE, orjson.dumps(row | {"id": -1 - n}).decode())
    try:
        await each_as_alone(house, "calls", [anna, erik], PRIVATE.id)
        who = [await known(house, "agent", OMAR.number, KUSTBANKEN.id), await house.principal("cilla", KUSTBANKEN.id)]
        await each_as_alone(house, "calls", who, KUSTBANKEN.id)
        [seen] = [
            row
            for row in (await house.collected("calls", anna))["call_record"]
            if row["callee"] == CASES["anna"].msisdn == row["caller"]
        ]
        assert seen["caller"] == CASES["anna"].msisdn
    finally:
        await house.rows("calls", "DELETE FROM call_record WHERE id < 0")


_MORE = """
INSERT INTO call_record
SELECT (jsonb_populate_record(NULL::call_record, to_jsonb(t) || $1::jsonb)).*
FROM (SELECT * FROM call_record ORDER BY started_at DESC LIMIT 1) t"""


async def test_of_several_people_each_takes_along_what_they_may_alone(house: House):
    """Neither what others called them for, nor what they did for their employer."""
    who = [await house.principal(key) for key in ("anna", "erik")]
    whole = await each_as_alone(house, "calls", who, PRIVATE.id)
    assert rows_of(await each_as_alone(house, "calls", who, PRIVATE.id, portable=True)) < rows_of(whole)
    who = [await known(house, "agent", OMAR.number, KUSTBANKEN.id), await house.principal("cilla", KUSTBANKEN.id)]
    whole = await each_as_alone(house, "recordings", who, KUSTBANKEN.id)
    portable = await each_as_alone(house, "recordings", who, KUSTBANKEN.id, portable=True)
    assert 0 < rows_of(portable) < rows_of(whole)


async def each_as_alone(
    house: House, store: str, who: list[UUID], tenant: UUID, portable: bool = False
) -> "list[Given]":
    alone = []
    for one in who:
        wish = CollectionRequest(step=uuid4(), store=store, principal=one, portable=portable)
        async with house.client.collect(wish, tenant=tenant) as stream:
            [given], _ = given_to(await _whole(stream), 1)
        alone.append(given)
    wanted = OfStore(store=store, of=[Subject(step=uuid4(), principal=one) for one in who])
    asked = CollectionsRequest(stores=[wanted], portable=portable)
    async with house.client.collect_together(asked, tenant=tenant) as [stream]:
        found, end = given_to(await _whole(stream), len(who))
    # Also the tables in which nothing of theirs was found.
    assert found == alone
    if store in ("billing", "calls", "helpdesk"):
        in_order_of_time(house, store, found)
        in_order_of_time(house, store, alone)
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
    return found


def rows_of(given: "list[Given]") -> int:
    return sum(len(rows) for each in given for rows in each.tables.values())


def in_order_of_time(house: House, store: str, given: "list[Given]") -> None:
    tables = load(house.settings.data_map).stores[store].tables
    for each in given:
        for name, rows in each.as_they_came.items():
            at = [datetime.fromisoformat(row[tables[name].at]) for row in rows if tables[name].at in row]
            assert at == sorted(at), name


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
    """table → rows, in one order and as they came · file → what of its sound."""

    tables: dict[str, list[Any]] = field(default_factory=dict)
    as_they_came: dict[str, list[Any]] = field(default_factory=dict, compare=False)
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
        each.as_they_came = each.tables
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


@pytest.mark.parametrize("stores", [("calls",), ("calls", "billing")], ids=["one store", "two at once"])
async def test_nobody_is_given_anything_that_could_not_be_noted(house: House, stores: tuple[str, ...]):
    """The database loses whoever is just writing down that they are given it."""
    who = [await house.principal(key) for key in ("anna", "erik")]
    of = [OfStore(store=store, of=[Subject(step=uuid4(), principal=one) for one in who]) for store in stores]
    given: list[bytes] = []

    async def read(stream: AsyncIterator[bytes]) -> None:
        async for piece in stream:
            given.append(piece)

    async with writers_lost(house, "anonymizer.event"):
        async with house.client.collect_together(CollectionsRequest(stores=of), tenant=PRIVATE.id) as streams:
            ends = await asyncio.gather(*map(read, streams), return_exceptions=True)
    assert given == []
    assert [type(end) for end in ends] == [Unavailable] * len(stores)
    noted = {one["data"]["step"] for one in await house.events("data.collected")}
    assert noted.isdisjoint(str(one.step) for each in of for one in each.of)


@asynccontextmanager
async def writers_lost(house: House, table: str) -> AsyncIterator[None]:
    """Whoever is about to write there loses the connection at just that statement."""
    connection = await house.server.connect("wardline")

    async def lost() -> None:
        while True:
            await connection.execute(_LOST, table)
            await asyncio.sleep(0.05)

    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            losing = asyncio.create_task(lost())
            try:
                yield
            finally:
                losing.cancel()
                await asyncio.wait({losing})
    finally:
        await connection.close()


_LOST = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted"


async def _whole(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])
