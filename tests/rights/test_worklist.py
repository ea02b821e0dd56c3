"""What is open by the day on which it is due: a helpdesk agent sees what is overdue, and who moves it next."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from chassis.errors import Forbidden
from services.anonymizer.contract import Identifier, IdentifierType
from services.registry.contract import Text
from services.requests.rights.contract import Ask, Kind, OpenRequest, PostTicket, WaitsFor, Worklist
from tests.rights.conftest import House
from tests.rights.operator import Row

WORDS = Text(sv="Är det du, Anna Testlind?", en="Is it you, Anna Testlind?")


def key() -> str:
    return str(uuid4())


def a_person(house: House) -> UUID:
    return house.operator.person(("billing", Row("customer", uuid4().hex)), ("helpdesk", Row("ticket", uuid4().hex)))


async def a_ticket(house: House, tenant: UUID) -> UUID:
    who = [Identifier(type=IdentifierType.email, value=f"{uuid4().hex}@epost.example")]
    ticket = PostTicket(ticket=uuid4().hex, kind=Kind.access, identifiers=who)
    return (await house.ticket_system(tenant).post_ticket(ticket, key=key())).request


async def asked(house: House, tenant: UUID, kind: Kind, person: UUID | None = None, **more: str) -> UUID:
    who = house.person(person or a_person(house), tenant)
    return (await who.open(OpenRequest(kind=kind, **more), key=key())).request


async def of(house: House, tenant: UUID, request: UUID, waits_for: WaitsFor) -> None:
    """The request comes to stand in the list as somebody's."""

    async def listed() -> set[UUID]:
        return {item.request for item in (await house.helpdesk(tenant).worklist(waits_for=waits_for)).items}

    await house.seen(listed, lambda found: request in found)


async def test_each_request_says_who_moves_it_next(house: House, tenant: UUID):
    desk = house.helpdesk(tenant)
    await of(house, tenant, await a_ticket(house, tenant), "identity")
    unsure = await a_ticket(house, tenant)
    await desk.question(unsure, Ask(about="identity", text=WORDS), key=key())
    await of(house, tenant, unsure, "person")
    await of(house, tenant, await asked(house, tenant, Kind.complaint, text="Ni svarar aldrig"), "decision")
    await of(house, tenant, await asked(house, tenant, Kind.access), "person")
    await of(house, tenant, (await house.confirmed(house.person(a_person(house), tenant))).request, "nobody")
    house.operator.down.add("billing")
    try:
        await of(house, tenant, await asked(house, tenant, Kind.access), "store")
    finally:
        house.operator.down.clear()


async def test_what_a_source_s_owner_does_by_hand_is_hers(house: House, tenant: UUID):
    anna = a_person(house)
    house.operator.by_hand.add(where := (anna, "billing"))
    try:
        request = (await house.confirmed(house.person(anna, tenant))).request
        house.later(hours=73)
        await of(house, tenant, request, "by_hand")
    finally:
        house.operator.by_hand.discard(where)


async def test_the_overdue_come_first_and_a_clock_that_stands_still_has_no_day(house: House, tenant: UUID):
    desk = house.helpdesk(tenant)
    late, unsure = await a_ticket(house, tenant), await a_ticket(house, tenant)
    await desk.question(unsure, Ask(about="identity", text=WORDS), key=key())
    house.later(days=20)
    fresh = await a_ticket(house, tenant)
    due = (await desk.request(late)).due_on
    await house.until_day(due + timedelta(days=3))
    seen = await desk.worklist()
    days = {item.request: item.days_left for item in seen.items}
    assert days == {late: -3, unsure: None, fresh: days[fresh]} and 0 < days[fresh] < 31
    assert seen.items[-1].request == fresh and seen.overdue == 1
    assert seen.open["identity"] == 2 and seen.open["person"] == 1
    await desk.withdraw(late, key=key())
    assert (await desk.worklist()).overdue == 0


async def pages(house: House, tenant: UUID) -> list[Worklist]:
    desk, read = house.helpdesk(tenant), []
    while not read or read[-1].next:
        read.append(await desk.worklist(limit=2, after=read[-1].next if read else None))
    return read


async def test_page_by_page_everything_comes_once_in_order_and_nothing_of_another_organisation(
    house: House, tenant: UUID
):
    mine = {await a_ticket(house, tenant) for _ in range(5)}
    await a_ticket(house, other := uuid4())
    items = [item for page in await pages(house, tenant) for item in page.items]
    assert {item.request for item in items} == mine and len(items) == 5
    assert [item.due_on for item in items] == sorted(item.due_on for item in items)
    assert len((await house.helpdesk(other).worklist()).items) == 1


async def test_neither_a_person_nor_the_helpdesk_s_system_reads_it(house: House, tenant: UUID):
    for stranger in (house.person(a_person(house), tenant), house.ticket_system(tenant)):
        with pytest.raises(Forbidden):
            await stranger.worklist()
