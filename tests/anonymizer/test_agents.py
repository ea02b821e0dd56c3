"""An agent's rows are the work of a company: shown to the agent without the others in it, and never theirs to erase."""

from uuid import UUID, uuid4

import pytest

from sample.cases import CASES, KUSTBANKEN, OMAR, PEOPLE, PRIVATE
from services.anonymizer.contract import FindPrincipal, Identifier, IdentifierType, StepRequest, Verb
from tests.anonymizer.conftest import House

TENANT = KUSTBANKEN.id


async def omar(house: House, tenant: UUID = TENANT) -> UUID:
    number = Identifier(type=IdentifierType.agent, value=OMAR.number)
    return await house.client.principal(FindPrincipal(identifiers=[number]), tenant=tenant)


async def test_an_agent_known_by_number_alone_is_shown_the_work_in_every_store_and_nobody_else_in_it(house: House):
    his = await omar(house)
    [recordings] = (await house.collected("recordings", his, TENANT)).values()
    assert len(recordings) == CASES[7].facts["recordings"]
    shown = {store: await house.collected(store, his, TENANT) for store in ("billing", "calls", "lake", "helpdesk")}
    assert [row["msisdn"] for row in shown["billing"]["service"]] == [OMAR.msisdn], "the line he works by"
    assert len(shown["calls"]["call_record"]) == 3
    rows = [row for tables in shown.values() for table in tables.values() for row in table] + recordings
    assert {row["agent_number"] for row in rows} == {OMAR.number}
    others = {value for person in PEOPLE.values() for value in (person.msisdn, person.customer_number, person.email)}
    assert not [row for row in rows if others & {str(value) for value in row.values()}]


@pytest.mark.parametrize("store", ["recordings", "calls", "lake", "helpdesk"])
async def test_another_employer_s_agent_of_the_same_number_sees_none_of_it(house: House, store: str):
    namesake = await omar(house, PRIVATE.id)
    assert not [row for rows in (await house.collected(store, namesake)).values() for row in rows]


@pytest.mark.parametrize("store", ["recordings", "calls", "helpdesk", "billing"])
async def test_an_agent_s_erasure_takes_nothing_of_the_company_s_and_nothing_is_found_amiss(house: House, store: str):
    his = await omar(house)
    before = await house.collected(store, his, TENANT)
    for verb in (Verb.preview, Verb.erase, Verb.verify):
        wish = StepRequest(verb=verb, store=store, principal=his)
        done = await house.client.step(uuid4(), wish, tenant=TENANT)
        assert done.outcomes == [] and done.findings == []
    assert await house.collected(store, his, TENANT) == before


async def test_nothing_of_an_agent_s_work_is_portable(house: House):
    his = await omar(house)
    for store in ("recordings", "calls", "billing"):
        tables = await house.collected(store, his, TENANT, portable=True)
        assert not [row for rows in tables.values() for row in rows]
