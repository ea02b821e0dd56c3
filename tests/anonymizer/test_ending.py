"""What a customer organisation gets back at its contract's end: everything that is processed for it, and nothing of anybody else."""

import json
from base64 import b64decode
from collections import defaultdict
from typing import Any
from uuid import UUID

import orjson
import pytest

from sample.cases import FJALLRESOR
from services.anonymizer.contract import VerbUnsupported
from tests.anonymizer.conftest import House

TABLES = ("ticket", "email_message", "chat", "chat_message")


async def given_back(house: House, store: str, tenant: UUID = FJALLRESOR.id) -> dict[str, list[Any]]:
    """table → rows as dicts; file → its bytes."""
    rows, columns, name = defaultdict[str, list[Any]](list), [], ""
    async with house.client.give_back(store, tenant=tenant) as pieces:
        lines = b"".join([piece async for piece in pieces]).splitlines()
    for line in map(orjson.loads, lines[:-1]):
        if isinstance(line, dict):
            name, columns = line.get("file") or line["table"], [column["name"] for column in line["columns"]]
        else:
            rows[name].append(dict(zip(columns, line, strict=True)) if columns else b64decode(line[0]))
    assert orjson.loads(lines[-1])["end"] is True
    return rows


async def test_every_row_of_the_organisation_comes_back_whole_and_nobody_else_s(house: House):
    given = await given_back(house, "helpdesk")
    for table in TABLES:
        [(there,)] = await house.rows(
            "helpdesk", f"SELECT json_agg(t ORDER BY t.id) FROM {table} t WHERE tenant = $1", FJALLRESOR.id
        )
        theirs = json.loads(there) if isinstance(there, str) else there
        assert theirs and sorted(given[table], key=lambda row: row["id"]) == theirs, "keys and links too"


async def test_its_recordings_come_back_with_their_whole_sound(house: House):
    given = await given_back(house, "recordings")
    assert given["recording"], "the sample has some"
    for row in given["recording"]:
        assert row["tenant"] == str(FJALLRESOR.id)
        [file] = [path for path in house.stores.rglob(row["sound"]) if ".wardline" not in path.parts]
        assert b"".join(given[row["sound"]]) == file.read_bytes()


async def test_what_the_operator_keeps_for_itself_is_not_counted_among_it(house: House):
    told = {one.store: one for one in (await house.client.holdings(tenant=FJALLRESOR.id)).items}
    assert told.keys() == {"helpdesk", "recordings"}, "agreements and traffic are the operator's own"
    given = {store: await given_back(house, store) for store in told}
    assert told["helpdesk"].count == sum(len(given["helpdesk"][table]) for table in TABLES) > 0
    assert told["recordings"].count == len(given["recordings"]["recording"])
    assert all(one.can_return for one in told.values())
    nobody = await house.client.holdings(tenant=UUID(int=1))
    assert {one.count for one in nobody.items} == {0}


async def test_a_source_by_hand_is_returned_by_people(house: House):
    with pytest.raises(VerbUnsupported):
        await given_back(house, "mailbox")
