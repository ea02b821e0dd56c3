"""What a customer organisation gets back at its contract's end: everything that is processed for it, and nothing of anybody else."""

import asyncio
import json
from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from sample.cases import FJALLRESOR
from services.anonymizer.contract import StoreUnavailable, VerbUnsupported
from tests.anonymizer.conftest import House
from tests.patience import PATIENCE
from tests.serving import SlowReader, slow_readers

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


_MUCH = """
INSERT INTO ticket (id, tenant, requester_name, requester_email, subject, body, language, created_at, closed_at)
SELECT $2::bigint + n, $1, 'Kim', 'kim@example.com', 'Mycket', repeat('x', 1000000), 'sv', now(), now() FROM generate_series(1, 16) n"""


async def test_who_fetches_slowly_keeps_nobody_from_the_store_and_fetches_once_at_a_time(house: House):
    """The store has four connections for everybody."""
    companies = [uuid4() for _ in range(4)]
    for number, company in enumerate(companies):
        await house.rows("helpdesk", _MUCH, company, 10**12 + 100 * number)
    anna = await house.principal("anna")
    try:
        async with AsyncExitStack() as stack:
            fetching = [await stack.enter_async_context(_slowly(house, company)) for company in companies]
            assert await house.collected("helpdesk", anna)
            with pytest.raises(StoreUnavailable, match="being fetched"):
                await given_back(house, "helpdesk", companies[0])
            whole = await fetching[0].reads_on()
            assert whole.count(b'"Mycket"') == 16 and orjson.loads(whole.splitlines()[-1])["end"] is True
            await given_back(house, "helpdesk", FJALLRESOR.id)
        assert len((await _soon_given_back(house, companies[1]))["ticket"]) == 16
    finally:
        await house.rows("helpdesk", "DELETE FROM ticket WHERE tenant = ANY ($1)", companies)


async def _soon_given_back(house: House, tenant: UUID) -> dict[str, list[Any]]:
    """As soon as the anonymizer has noticed that who fetched it went away."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await given_back(house, "helpdesk", tenant)
            except StoreUnavailable:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def _slowly(house: House, tenant: UUID) -> AsyncIterator[SlowReader]:
    token = house.issuer.token("anonymizer", "data.return", tenant, client_id="registry")
    async with slow_readers([f"{house.url}/v1/returns/helpdesk"], {"authorization": f"Bearer {token}"}) as [reader]:
        yield reader
