"""A worker that lost its step is refused where it would record, and asking again for what is done does nothing."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.db import Database
from ops.home import ROOT
from services.anonymizer.contract import Identifier, IdentifierType, StoreUnavailable
from services.registry.books import read_book
from services.requests.rights import jobs
from services.requests.rights.client import RightsClient
from services.requests.rights.commands import doing
from services.requests.rights.contract import (
    Evidence,
    Kind,
    OpenRequest,
    PostTicket,
    ProveIdentity,
    Refuse,
    Request,
    Review,
)
from services.requests.rights.office import Office
from services.requests.rights.package import spool
from services.requests.rights.package.build import Built
from services.requests.rights.package.spool import Kept
from tests.patience import until
from tests.rights.conftest import House
from tests.rights.operator import Row
from tests.rights.test_rights import WORDS


@pytest.fixture
async def database(house: House) -> AsyncIterator[Database]:
    opened = Database(house.settings, "rights")
    yield opened
    await opened.close()


LONG = Row("customer", "1", "x" * 400_000)  # too much for the database: it lies in the request's folder


@pytest.fixture
async def held(house: House) -> AsyncIterator[asyncio.Event]:
    """Until it is set whoever of the house collects first is given nothing, and nobody else tries what it does."""
    house.operator.gate = gate = asyncio.Event()
    yield gate
    gate.set()


async def _collecting(house: House, person: RightsClient) -> Request:
    asked = await person.open(OpenRequest(kind=Kind.access), key=str(uuid4()))
    await until(lambda: house.operator.gate is None)
    return asked


async def _billing(person: RightsClient, asked: Request) -> UUID:
    [step] = [step.step for step in (await person.request(asked.request)).steps if step.store == "billing"]
    return step


async def test_a_thawed_worker_finds_its_step_taken_over(
    house: House, tenant: UUID, database: Database, held: asyncio.Event
):
    client = house.person(house.operator.person(("billing", Row("customer", "1"))), tenant)
    step, office = await _billing(client, await _collecting(house, client)), _office(house)
    claims = []
    for _ in range(2):
        async with database.transaction(tenant) as tx:
            claims += await doing.claim(tx, office, [step])
    frozen, second = claims
    assert second.fence == frozen.fence + 1

    async with database.transaction(tenant) as tx:
        await doing.record(tx, office, [(frozen, Kept({"customer": 99}))], _later)
    async with database.transaction(tenant) as tx:
        await doing.record(tx, office, [(frozen, StoreUnavailable())], _later)
    assert await _state(house, step) == ("running", None, None)

    async with database.transaction(tenant) as tx:
        await doing.record(tx, office, [(second, Kept({"customer": 1}))], _later)
    async with database.transaction(tenant) as tx:
        await doing.record(tx, office, [(second, Kept({"customer": 2}))], _later)
    assert await _state(house, step) == ("done", '{"counts": {"customer": 1}}', None)
    async with database.transaction(tenant) as tx:
        assert await doing.claim(tx, office, [step]) == [None]


async def test_a_thawed_worker_s_finding_counts_no_more_once_somebody_else_proved_to_be_who_asks(
    house: House, tenant: UUID, database: Database, monkeypatch: pytest.MonkeyPatch
):
    first, second = [f"{uuid4().hex}@epost.example" for _ in range(2)]
    anna = house.operator.person(("billing", Row("customer", "1")), email=first)
    bo = house.operator.person(("billing", Row("customer", "2")), email=second)
    desk, found = house.helpdesk(tenant), jobs.Work._found
    thawed, slow, looked_up = asyncio.Event(), asyncio.Event(), list[UUID]()

    async def frozen(self: jobs.Work, tenant: UUID, unnamed: doing.Unnamed) -> UUID:
        principal = await found(self, tenant, unnamed)
        looked_up.append(principal)
        await {anna: thawed, bo: slow}[principal].wait()
        return principal

    ticket = PostTicket(ticket=uuid4().hex, kind=Kind.access, identifiers=[_email(first)])
    asked = (await house.ticket_system(tenant).post_ticket(ticket, key=str(uuid4()))).request
    monkeypatch.setattr(jobs.Work, "_found", frozen)
    await desk.prove_identity(asked, _seen(first), key=str(uuid4()))
    await until(lambda: looked_up == [anna])
    # Another worker has taken the job over, and found that this is no person at all.
    async with database.transaction(tenant) as tx:
        await doing.clarification_needed(tx, asked)
    await desk.prove_identity(asked, _seen(second), key=str(uuid4()))
    await until(lambda: looked_up == [anna, bo])
    thawed.set()
    await until(lambda: len(looked_up) == 3)
    slow.set()
    assert (await house.until(desk, asked, lambda seen: seen.principal is not None)).principal == bo


async def test_of_what_is_collected_while_the_request_is_refused_nothing_is_left(
    house: House, tenant: UUID, held: asyncio.Event
):
    person = house.person(house.operator.person(("billing", LONG)), tenant)
    asked = await _collecting(house, person)
    one, other = house.officer(tenant), house.officer(tenant, "petronella")
    await one.refuse(asked.request, Refuse(reason="excessive", text=WORDS), key=str(uuid4()))
    [task] = (await other.tasks(state="proposed")).items
    await other.review(task.task, Review(proposal=task.digest, agreed=True), key=str(uuid4()))
    assert (await person.answer(asked.request)).refusal.reason == "excessive"
    held.set()
    await house.until(person, asked.request, lambda seen: all(step.state == "done" for step in seen.steps))
    assert not (house.settings.packages / str(asked.request)).exists()


async def test_of_what_a_thawed_worker_collected_for_a_request_that_was_withdrawn_nothing_is_left(
    house: House, tenant: UUID, database: Database, held: asyncio.Event, monkeypatch: pytest.MonkeyPatch
):
    person = house.person(house.operator.person(("billing", LONG)), tenant)
    asked = await _collecting(house, person)
    steps = [step.step for step in (await person.request(asked.request)).steps]
    async with database.transaction(tenant) as tx:
        taken_over = await doing.claim(tx, _office(house), steps)
    async with database.transaction(tenant) as tx:
        await doing.record(tx, _office(house), [(each, Kept({})) for each in taken_over if each], _later)
    await person.withdraw(asked.request, key=str(uuid4()))
    folder, keep, written = house.settings.packages / str(asked.request), spool.keep, list[bool]()

    async def kept(*of: Any) -> list[Kept]:
        found = await keep(*of)
        written.append(folder.exists())
        return found

    monkeypatch.setattr(spool, "keep", kept)
    held.set()
    await until(lambda: any(written))
    await until(lambda: not folder.exists())


async def test_of_what_a_killed_worker_wrote_for_a_request_that_was_withdrawn_nothing_is_left(
    house: House, tenant: UUID, database: Database
):
    person = house.person(house.operator.person(), tenant)
    asked = await person.open(OpenRequest(kind=Kind.access), key=str(uuid4()))
    await house.until_state(person, asked.request, "awaiting_passphrase")
    await person.withdraw(asked.request, key=str(uuid4()))
    folder = house.settings.packages / str(asked.request)
    folder.mkdir(parents=True)
    (folder / ".a.spool").write_bytes(b"of somebody who was killed")
    async with database.transaction(tenant) as tx:
        await tx.enqueue("rights.prepare", asked.request)
    await until(lambda: not folder.exists())


def _email(address: str) -> Identifier:
    return Identifier(type=IdentifierType.email, value=address)


def _seen(address: str) -> ProveIdentity:
    return ProveIdentity(identifiers=[_email(address)], evidence=Evidence(method="call_back"))


async def _later(_packages) -> dict[UUID, Built]:
    return {}


def _office(house: House) -> Office:
    book = read_book(ROOT / "policy" / "book.yaml")
    return Office.open(house.settings, SimpleNamespace(current=lambda: book))


async def _state(house: House, step: UUID) -> tuple[str, str | None, str | None]:
    row = await house.rows("SELECT state, result, problem FROM rights.request_step WHERE id = $1", step)
    return tuple(row[0])
