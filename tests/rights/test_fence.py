"""A worker that lost its step is refused where it would record, and asking again for what is done does nothing."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from chassis.db import Database
from ops.home import ROOT
from services.anonymizer.contract import StoreUnavailable
from services.registry.books import read_book
from services.requests.rights.commands import doing
from services.requests.rights.contract import Kind, OpenRequest
from services.requests.rights.office import Office
from services.requests.rights.package.spool import Kept
from tests.rights.conftest import House
from tests.rights.operator import Row


@pytest.fixture
async def database(house: House) -> AsyncIterator[Database]:
    opened = Database(house.settings, "rights")
    yield opened
    await opened.close()


async def test_a_thawed_worker_finds_its_step_taken_over(house: House, tenant: UUID, database: Database):
    client = house.person(house.operator.person(("billing", Row("customer", "1"))), tenant)
    house.operator.down.add("billing")
    try:
        asked = await client.open(OpenRequest(kind=Kind.access, passphrase="en hemlig mening"), key=str(uuid4()))
        seen = await house.until(client, asked.request, lambda seen: any(step.problem for step in seen.steps))
        step = next(step.step for step in seen.steps if step.store == "billing")
        office = _office(house)
        claims = []
        for _ in range(2):
            async with database.transaction(tenant) as tx:
                claims += await doing.claim(tx, office, [step])
        frozen, second = claims
        assert second.fence == frozen.fence + 1

        async with database.transaction(tenant) as tx:
            await doing.record(tx, office, [(frozen, Kept({"customer": 99}))])
        async with database.transaction(tenant) as tx:
            await doing.record(tx, office, [(frozen, StoreUnavailable())])
        assert await _state(house, step) == ("running", None, "anonymizer.store_unavailable")

        async with database.transaction(tenant) as tx:
            await doing.record(tx, office, [(second, Kept({"customer": 1}))])
        async with database.transaction(tenant) as tx:
            await doing.record(tx, office, [(second, Kept({"customer": 2}))])
        assert await _state(house, step) == ("done", '{"counts": {"customer": 1}}', None)
        async with database.transaction(tenant) as tx:
            assert await doing.claim(tx, office, [step]) == [None]
    finally:
        house.operator.down.clear()


def _office(house: House) -> Office:
    book = read_book(ROOT / "policy" / "book.yaml")
    return Office.open(house.settings, SimpleNamespace(current=lambda: book))


async def _state(house: House, step: UUID) -> tuple[str, str | None, str | None]:
    row = await house.rows("SELECT state, result, problem FROM rights.request_step WHERE id = $1", step)
    return tuple(row[0])
