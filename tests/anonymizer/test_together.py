"""Several people in one scan of a store: each is given what they are given alone, and nothing of the others'."""

from uuid import uuid4

import orjson
import pytest

from sample.cases import PRIVATE
from services.anonymizer.contract import (
    CollectionsRequest,
    FindPrincipal,
    Identifier,
    IdentifierType,
    PrincipalUnknown,
    Subject,
)
from tests.anonymizer.conftest import House

PEOPLE = ("anna", "erik", "nadia")  # Anna and Erik called each other
CROWD = ("K1001055", "K1001056", "K1001057", "K1001058")  # of whom other tests erase nothing


@pytest.mark.parametrize("store", ["billing", "calls", "helpdesk", "lake", "authlog", "recordings"])
async def test_of_several_people_each_is_given_what_they_are_given_alone(house: House, store: str):
    who = [await house.principal(key) for key in PEOPLE]
    for number in CROWD:
        wish = FindPrincipal(identifiers=[Identifier(type=IdentifierType.customer, value=number)])
        who.append(await house.client.principal(wish, tenant=PRIVATE.id))
    alone = [await house.collected(store, one) for one in who]
    wish = CollectionsRequest(store=store, of=[Subject(step=uuid4(), principal=one) for one in who])
    async with house.client.collect_together(wish, tenant=PRIVATE.id) as stream:
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
        one["subject"] for one in await house.events("data.collected") if one["data"]["step"] in map(str, _steps(wish))
    }
    assert told == {str(one) for one in who}


async def test_with_one_whom_nobody_knows_nobody_is_given_anything(house: House):
    of = [Subject(step=uuid4(), principal=one) for one in (await house.principal("anna"), uuid4())]
    with pytest.raises(PrincipalUnknown):
        async with house.client.collect_together(CollectionsRequest(store="calls", of=of), tenant=PRIVATE.id):
            raise AssertionError("it began")


def by_row(tables: dict[str, list]) -> dict[str, list]:
    return {name: sorted(rows, key=str) for name, rows in tables.items()}


def _steps(wish: CollectionsRequest) -> list:
    return [one.step for one in wish.of]
